"""audit.html: the record as one page that needs nothing but itself."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from semi_supervised.audit.report import Record, summary
from semi_supervised.thumbnails import thumbnails

SHOWN = 120  # suspects or groups with pictures in a section; audit.json has all
_GROUP_SHOWN = 12  # pictures of one group
_ANCHORS = (
    "unreadable",
    "problems",
    "changed",
    "identical",
    "near",
    "conflicts",
    "splits",
    "calibration",
    "wrong",
    "ambiguous",
)
_GRAVE = frozenset({"problems", "conflicts", "splits", "calibration", "wrong", "unreadable"})


def render_page(record: Record) -> str:
    """Write the page; the images are read again for their thumbnails."""
    environment = Environment(
        loader=PackageLoader("semi_supervised.audit", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cards = [
        {"name": name, "number": n, "anchor": anchor, "state": _state(anchor, n)}
        for (name, n, _), anchor in zip(summary(record), _ANCHORS, strict=False)
    ]
    largest = max((s["images"] for s in record["shorter_sides"]), default=0)
    page: str = environment.get_template("page.html.jinja").render(
        record=record,
        cards=cards,
        classes=list(_classes(record)),
        split_rows=list(_split_rows(record)),
        largest_side=max(1, largest),
        thumbnails=_thumbnails(record),
        shown=SHOWN,
        group_shown=_GROUP_SHOWN,
        short=lambda file: Path(file).parts[-2:],
    )
    return page


def _state(anchor: str, number: int) -> str:
    if number == 0:
        return "good"
    return "bad" if anchor in _GRAVE else "note"


def _classes(record: Record) -> Iterator[dict[str, Any]]:
    """Each class with its images by source, for the bars."""
    counts: dict[str, dict[str, int]] = {s: defaultdict(int) for s in record["alphabet"]}
    for row in record["counts"]:
        if row["label"] in counts:
            counts[row["label"]][row["source"]] += row["images"]
    largest = max((sum(c.values()) for c in counts.values()), default=0) or 1
    for symbol, per_source in counts.items():
        total = sum(per_source.values())
        yield {
            "symbol": symbol,
            "total": total,
            "percent": round(100 * total / largest, 2),
            "sources": dict(sorted(per_source.items())),
        }


def _split_rows(record: Record) -> Iterator[dict[str, Any]]:
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for row in record["counts"]:
        totals[row["source"], row["split"]] += row["images"]
    for (source, split), images in sorted(totals.items()):
        yield {"source": source, "split": split, "images": images}


def _thumbnails(record: Record) -> dict[str, str]:
    """Data URI of every picture that the page shows, by file."""
    check = record["label_check"] or {"wrong": [], "ambiguous": []}
    files = [s["file"] for s in [*check["wrong"][:SHOWN], *check["ambiguous"][:SHOWN]]]
    kinds = ("identical", "near_identical", "conflicts", "across_splits", "calibration_overlap")
    for kind in kinds:
        files += [i["file"] for g in record[kind][:SHOWN] for i in g["images"][:_GROUP_SHOWN]]
    return thumbnails(dict.fromkeys(files))
