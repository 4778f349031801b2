"""What the user named as data or model: on disk, in an archive, on the network."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from edge_runtime.alphabet import MOST_SYMBOLS, Alphabet, AnyCharacter
from edge_runtime.archives import default_cache
from edge_runtime.errors import InputError, LabelError, SettingsError
from edge_runtime.icdar2003 import Photograph
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.sources import (
    find_source_images,
    find_source_photographs,
    find_unlabeled_images,
    is_url,
)

log = logging.getLogger(__name__)

SYNTHETIC = "synthetic"
WEIGHTS_FILE = "best.npz"  # of a trained model's folder
UNLABELED = "unlabeled"  # kind of source of images that came without any label


def parse_sources(given: str | Sequence[str]) -> list[str]:
    """Take lists apart at their commas; what exists under its whole name is one source.

    Raises
    ------
    SettingsError
        An empty name; "synthetic" beside others.
    """
    sources: list[str] = []
    for text in [given] if isinstance(given, str) else given:
        sources += [text] if _exists(text) else [part.strip() for part in text.split(",")]
    if "" in sources:
        text = given if isinstance(given, str) else " ".join(given)
        raise SettingsError(f"{text!r} names an empty source: remove a comma, or name a path")
    if SYNTHETIC in sources and len(sources) > 1:
        raise SettingsError(
            "'synthetic' stands alone; beside real images, set data.added_per_class for drawn ones"
        )
    return list(dict.fromkeys(sources))


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # a long list is no file name
        return False


def find_images(
    sources: Sequence[str],
    alphabet: Alphabet,
    unlabeled: Sequence[str] = (),
    cache: Path | None = None,
    problems: list[str] | None = None,
) -> list[LabeledImage]:
    """List the images of all sources, each file once; those of ``unlabeled`` have the label "".

    An address (http, https) is downloaded into the cache because the user named it; see
    `semi_supervised.download`. With ``problems``, wrong labels are told there instead of raised
    and every split of a manifest is listed, for audits.

    Raises
    ------
    InputError
        A source that cannot be used; one file with two labels.
    """
    found: dict[Path, LabeledImage] = {}
    for source in sources:
        path = _fetched(source, cache)
        images = find_source_images(path, alphabet, cache=cache, problems=problems)
        log.info("found %s labeled images in %s", f"{len(images):,}", source)
        for image in images:
            earlier = found.setdefault(image.path.resolve(), image)
            if earlier.label != image.label:
                problem = (
                    f"{image.path}: is labeled {image.label!r} in {source} and {earlier.label!r} "
                    "in another source; correct one of them"
                )
                if problems is None:
                    raise LabelError(problem)
                problems.append(problem)
    for source in unlabeled:
        paths = find_unlabeled_images(_fetched(source, cache), cache)
        log.info("found %s images without labels in %s", f"{len(paths):,}", source)
        for path in paths:
            found.setdefault(path.resolve(), LabeledImage(path, "", UNLABELED))
    return list(found.values())


def find_alphabet(sources: Sequence[str], cache: Path | None = None) -> Alphabet:
    """The symbols that the sources' labels name, in the order of their code points.

    Folders named SampleNNN stand for 0-9A-Za-z, as in Chars74K.

    Raises
    ------
    InputError
        A source that cannot be used, a label of more than one character; fewer than 2 symbols or
        more than 4,096.
    """
    if SYNTHETIC in sources or not sources:
        raise SettingsError("no labels name the alphabet: give it with --alphabet")
    symbols: set[str] = set()
    for source in sources:
        images = find_source_images(_fetched(source, cache), AnyCharacter(), cache=cache)
        symbols |= {image.label for image in images}
    if not 2 <= len(symbols) <= MOST_SYMBOLS:
        where = ", ".join(map(short_name, sources))
        only = f" ({min(symbols)!r})" if len(symbols) == 1 else ""
        raise LabelError(
            f"{where}: its labels name {len(symbols):,} symbol(s){only}; a classifier has 2 to "
            f"{MOST_SYMBOLS:,}: add images of others, or name all symbols with --alphabet"
        )
    return Alphabet(tuple(sorted(symbols)))


def find_scenes(sources: Sequence[str], cache: Path | None = None) -> list[Photograph]:
    """List the photographs of all sources, to cut background from; `InputError` as above."""
    found: dict[Path, Photograph] = {}
    for source in sources:
        for photograph in find_source_photographs(_fetched(source, cache), cache):
            found.setdefault(photograph.path.resolve(), photograph)
    return list(found.values())


def find_weights(given: Path) -> Path:
    """The weights of a model: ``best.npz`` of its folder or of a build's, or the file itself.

    Raises
    ------
    InputError
        There is no such file.
    """
    places = (given, given / WEIGHTS_FILE, given / "training" / WEIGHTS_FILE)
    for path in places:
        if path.is_file():
            return path
    what = f"has no {WEIGHTS_FILE}" if given.is_dir() else "no such file or folder"
    raise InputError(
        f"{given}: {what}; to start from a trained model, name its folder (models/scene62) or its "
        f"{WEIGHTS_FILE}"
    )


def _fetched(source: str, cache: Path | None) -> Path:
    if not is_url(source):
        return Path(source)
    from semi_supervised.download import download  # only who downloads pays for the library

    host = urlsplit(source).hostname or "unknown"
    return download(source, (cache or default_cache()) / "downloads" / host)


def short_name(source: str) -> str:
    """Name a source without saying where it is on this machine."""
    if source == SYNTHETIC:
        return source
    if is_url(source):
        return PurePosixPath(urlsplit(source).path).name
    return Path(source).resolve().name


def fingerprint(sources: str | Iterable[str]) -> str:
    """Hash of names, sizes and times of the sources' files: changes when images come or go.

    Nothing is read or fetched. A CSV, a list and an archive stand for what they hold, an XML file
    for the folder around it. What is not on disk has no part in it.
    """
    digest = hashlib.sha256()
    for source in [sources] if isinstance(sources, str) else sources:
        root = Path(source)
        if source == SYNTHETIC or not root.exists():
            continue
        if root.suffix.lower() == ".xml":
            root = root.parent
        for path in sorted([root, *root.rglob("*")]):
            status = path.stat() if path.exists() else path.lstat()  # a link to nowhere
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
