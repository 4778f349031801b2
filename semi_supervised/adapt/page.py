"""adapt.html: the figures, and every held-out crop that changed, as one page."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from edge_runtime.metrics import wilson
from semi_supervised.adapt.gain import Gain, changes
from semi_supervised.thumbnails import thumbnails

SHOWN = 120  # pictures of a section; adapt.json has all
_TITLES = {"mended": "Mended", "broken": "Broken", "wrong": "Wrong still"}


def render_page(gain: Gain, output: Path) -> str:
    """Write the page of a gain; ``output`` is the folder that it will be in."""
    environment = Environment(
        loader=PackageLoader("semi_supervised.adapt", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = changes(gain, output)
    sections = [
        (title, [row for row in rows if row["kind"] == kind]) for kind, title in _TITLES.items()
    ]
    files = [row["file"] for _, members in sections for row in members[:SHOWN]]
    pictures = thumbnails(str(output / file) for file in files)
    accuracies = {
        key: wilson(int(r.correct.sum()), len(r.correct)) for key, r in gain.readings.items()
    }
    page: str = environment.get_template("page.html.jinja").render(
        gain=gain,
        accuracies=accuracies,
        sections=sections,
        pictures={file: pictures.get(str(output / file)) for file in files},
        shown=SHOWN,
    )
    return page
