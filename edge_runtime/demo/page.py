"""The page: one HTML document that needs nothing else, and the policy that holds it to that."""

import base64
import hashlib
import html
import json
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from edge_runtime.alphabet import Alphabet
from edge_runtime.recognizer import Recognizer

# Shown to be tried, of those that the alphabet has; the last two show no single character.
_SAMPLES = ("upper_G", "lower_q", "digit_6", "lower_a", "upper_M", "digit_0", "upper_D", "lower_g")
_NO_CHARACTERS = ("other_ampersand", "other_two")


def build_page(recognizer: Recognizer, backend: str, most_bytes: int) -> tuple[bytes, str]:
    """Return the document and its Content-Security-Policy."""
    here = files(__package__)
    style, script = _text(here / "page.css"), _text(here / "page.js")
    alphabet = recognizer.bundle.alphabet
    settings = {"samples": list(_samples(alphabet)), "mostBytes": most_bytes}
    document = _text(here / "page.html")
    for name, value in {
        "bundle": html.escape(recognizer.bundle.name),
        "classes": f"{len(alphabet):,}",
        "backend": html.escape(backend),
        "style": style,
        "settings": json.dumps(settings).replace("<", "\\u003c"),
        "script": script,
    }.items():
        document = document.replace(f"{{{{ {name} }}}}", value)
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        f"script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data: blob:; media-src blob:; connect-src 'self'"
    )
    return document.encode("utf-8"), policy


def _samples(alphabet: Alphabet) -> Iterator[dict[str, str]]:
    folder = files("edge_runtime") / "samples"
    for name in (*_SAMPLES, *_NO_CHARACTERS):
        symbol = name.partition("_")[2]
        if name in _NO_CHARACTERS:
            said = "no single character"
        elif symbol in alphabet:
            said = f"the character {symbol}"
        else:
            continue
        data = base64.b64encode((folder / f"{name}.png").read_bytes()).decode("ascii")
        yield {"said": said, "png": data}


def _text(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
