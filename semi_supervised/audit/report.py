"""The audit as one record: what audit.json holds, and what is printed of it."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from edge_runtime.alphabet import Alphabet
from edge_runtime.labeled_images import LabeledImage
from semi_supervised.audit.findings import FEW, Findings, labels_of
from semi_supervised.audit.gather import Gathered
from semi_supervised.audit.suspects import Suspect, Suspects

SCHEMA = 1
_PRINTED = 10  # lines of each list on the terminal

Record = dict[str, Any]


@dataclass(frozen=True)
class LabelCheck:
    """The out-of-fold check: its settings and what it found."""

    settings: dict[str, Any]
    checked: int
    suspects: Suspects


def make_record(
    sources: Sequence[str],
    alphabet: Alphabet,
    problems: Sequence[str],
    gathered: Gathered,
    findings: Findings,
    check: LabelCheck | None,
) -> Record:
    """Put everything into plain lists and dictionaries; images are objects with their file."""
    images = gathered.images

    def listed(groups: Iterable[Sequence[int]]) -> list[Record]:
        return [
            {"labels": labels_of(images, g), "images": [_image(images[i]) for i in g]}
            for g in groups
        ]

    return {
        "schema": SCHEMA,
        "sources": list(sources),
        "alphabet": list(alphabet.symbols),
        "readable": len(images),
        "counts": [
            {"label": label, "source": source, "split": split, "images": n}
            for (label, source, split), n in sorted(findings.counts.items())
        ],
        "sizes": [dataclasses.asdict(sizes) for sizes in findings.sizes],
        "shorter_sides": [
            {"from": low, "below": high, "images": n} for low, high, n in findings.shorter_sides
        ],
        "imbalance": dataclasses.asdict(findings.imbalance) | {"ratio": findings.imbalance.ratio},
        "unreadable": [_image(u.image) | {"reason": u.reason} for u in gathered.unreadable],
        "label_problems": list(problems),
        "changed": [_image(images[i]) for i in gathered.changed],
        "identical": listed(findings.identical),
        "near_identical": listed(findings.near),
        "conflicts": listed(findings.conflicts),
        "across_splits": listed(findings.across_splits),
        "calibration_overlap": listed(findings.calibration),
        "label_check": _check(images, check),
    }


def _shown(path: Path) -> str:
    """Name a file from the current folder if it is below it, and without detours."""
    file = path.parent.resolve() / path.name
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _image(image: LabeledImage) -> Record:
    return {
        "file": _shown(image.path),
        "label": image.label,
        "source": image.source,
        "split": image.split,
    }


def _check(images: Sequence[LabeledImage], check: LabelCheck | None) -> Record | None:
    if check is None:
        return None
    found = check.suspects

    def listed(suspects: Iterable[Suspect]) -> list[Record]:
        return [
            _image(images[s.image])
            | {
                "suggested": s.suggested,
                "p_label": s.p_label,
                "p_suggested": s.p_suggested,
                "odds": round(s.odds, 6),
            }
            for s in suspects
        ]

    return {
        "method": "confident learning, out-of-fold",
        "settings": check.settings,
        "images": check.checked,
        "accuracy": round(found.accuracy, 4),
        "accuracy_alike": round(found.accuracy_alike, 4),
        "wrong": listed(found.wrong),
        "ambiguous": listed(found.ambiguous),
    }


def summary(record: Record) -> list[tuple[str, int, str]]:
    """Each finding's name, its number and what to do about it, in the order of the page."""
    check = record["label_check"] or {"wrong": [], "ambiguous": []}
    lines = [
        ("unreadable files", "unreadable", "mend or remove them, or use --skip-unreadable"),
        ("label problems", "label_problems", "correct the folders or lines"),
        ("changed since the manifest", "changed", "run `make data` again"),
        ("byte-identical groups", "identical", "`make data` keeps each group in one split"),
        ("near-identical groups", "near_identical", "`make data` keeps each group in one split"),
        ("same picture, different labels", "conflicts", "correct one label or remove both"),
        ("same picture across splits", "across_splits", "run `make data` again"),
        ("calibration in held-out splits", "calibration_overlap", "calibrate on training images"),
    ]
    found = [(name, len(record[key]), advice) for name, key, advice in lines]
    if record["label_check"] is not None:
        found.append(("probably wrong labels", len(check["wrong"]), "look at them in audit.html"))
        found.append(("ambiguous look-alikes", len(check["ambiguous"]), "correct them if you know"))
    return found


def tables(record: Record) -> str:
    """Everything in short, to be printed."""
    parts = [
        _counts_table(record),
        _sizes_table(record),
        _imbalance_line(record),
        tabulate(
            [[name, n, advice if n else ""] for name, n, advice in summary(record)],
            headers=["finding", "number", "what to do"],
            intfmt=",",
        ),
        _first("unreadable", [f"{i['file']}: {i['reason']}" for i in record["unreadable"]]),
        _first("label problems", record["label_problems"]),
        _first("same picture, different labels", [_group_line(g) for g in record["conflicts"]]),
        _first("same picture across splits", [_group_line(g) for g in record["across_splits"]]),
        _suspects_table(record),
    ]
    return "\n\n".join(part for part in parts if part)


def _counts_table(record: Record) -> str:
    keys = sorted({(c["source"], c["split"]) for c in record["counts"]})
    rows = []
    for source, split in keys:
        mine = [c for c in record["counts"] if (c["source"], c["split"]) == (source, split)]
        classes = len({c["label"] for c in mine} - {""})
        rows.append([source, split or "-", sum(c["images"] for c in mine), classes])
    rows.append(["all", "", record["readable"], len({c["label"] for c in record["counts"]} - {""})])
    return tabulate(rows, headers=["source", "split", "images", "classes"], intfmt=",")


def _sizes_table(record: Record) -> str:
    rows = [
        [s["source"], *(f"{w}×{h}" for w, h in zip(s["width"], s["height"], strict=True))]
        for s in record["sizes"]
    ]
    headers = ["width×height, pixels", "smallest", "5 %", "median", "95 %", "largest"]
    return tabulate(rows, headers=headers)


def _imbalance_line(record: Record) -> str:
    i = record["imbalance"]
    text = f"Images per class: {i['smallest']:,} to {i['largest']:,}, median {i['median']:,.0f}."
    if i["few"]:
        text += f" Fewer than {FEW}: {' '.join(i['few'])}."
    if i["absent"]:
        text += f" Without any: {' '.join(i['absent'])}."
    return text


def _group_line(group: Record) -> str:
    return " = ".join(
        f"{i['file']} ({', '.join(filter(None, (i['label'], i['split'])))})"
        for i in group["images"]
    )


def _first(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    more = f"\n  … and {len(lines) - _PRINTED:,} more" if len(lines) > _PRINTED else ""
    return f"{title}:\n" + "\n".join(f"  {line}" for line in lines[:_PRINTED]) + more


def _suspects_table(record: Record) -> str:
    check = record["label_check"]
    if check is None or not check["wrong"]:
        return ""
    rows = [
        [s["label"], s["suggested"], s["p_label"], s["p_suggested"], s["file"]]
        for s in check["wrong"][:_PRINTED]
    ]
    headers = ["label", "looks like", "p(label)", "p(other)", "file"]
    title = f"probably wrong labels, the {len(rows)} most doubtful of {len(check['wrong']):,}:"
    return f"{title}\n{tabulate(rows, headers=headers, floatfmt='.2f', disable_numparse=[0, 1])}"
