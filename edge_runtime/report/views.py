"""What the page shows of report.json, put into the order in which it is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_runtime.ladder.rungs import TITLES
from edge_runtime.report import charts

Json = dict[str, Any]
MOST_CLASSES: Final = 100  # that a confusion matrix can show
_SHADES: Final = 5
_TABLED: Final = 30  # confusions that are listed with pictures
_BUSY: Final = 1.25  # load a core from which on times are in doubt
SAFE_POINTS: Final = 1.0  # of accuracy that quantizing may cost and still be called safe


@dataclass(frozen=True)
class Cell:
    """``count`` of the images labeled ``label`` were read as ``found``.

    kind : right, alike (of one group) or wrong;  shade : 1 to 5 by the share of the label's images
    examples : pictures of wrong ones
    """

    label: str
    found: str
    count: int
    n: int
    kind: str
    shade: int
    examples: list[Json]


@dataclass(frozen=True)
class Matrix:
    """Confusion matrix, look-alikes side by side.

    rows : symbol, number of images, cells (None where empty);  edges : symbols that begin a group
    hidden : classes left out, because no page shows so many
    """

    symbols: list[str]
    rows: list[tuple[str, int, list[Cell | None]]]
    edges: frozenset[str]
    hidden: int
    wrong: list[Cell]

    @property
    def elsewhere(self) -> int:
        """Mistakes outside the groups of look-alikes."""
        return sum(cell.count for cell in self.wrong if cell.kind == "wrong")

    @property
    def alike(self) -> int:
        """Mistakes between look-alikes."""
        return sum(cell.count for cell in self.wrong if cell.kind == "alike")


def matrix(report: Json, network: str) -> Matrix:
    """Matrix of one network's answers."""
    found = report["details"][network]["confusion"]
    group = {symbol: k for k, members in enumerate(report["groups"]) for symbol in members}
    totals: dict[str, int] = {}
    for row in found:
        totals[row["label"]] = totals.get(row["label"], 0) + row["count"]
    cells = {}
    for row in found:
        label, answer, n = row["label"], row["found"], totals[row["label"]]
        alike = label in group and group.get(answer) == group[label]
        kind = "right" if label == answer else "alike" if alike else "wrong"
        shade = min(_SHADES, 1 + int(_SHADES * row["count"] / n))
        cells[label, answer] = Cell(label, answer, row["count"], n, kind, shade, row["examples"])
    wrong = sorted(
        (cell for cell in cells.values() if cell.kind != "right"), key=lambda c: -c.count
    )
    every = [*report["order"], *(s for s in totals if s not in group)]
    symbols = every if len(every) <= MOST_CLASSES else _most_confused(every, wrong)
    rows = [
        (label, totals.get(label, 0), [cells.get((label, answer)) for answer in symbols])
        for label in symbols
    ]
    firsts = frozenset(
        symbol
        for before, symbol in zip([None, *symbols], symbols, strict=False)
        if before is None or group.get(before) != group.get(symbol)
    )
    return Matrix(symbols, rows, firsts, len(every) - len(symbols), wrong)


def _most_confused(symbols: Sequence[str], wrong: Sequence[Cell]) -> list[str]:
    kept: dict[str, None] = {}
    for cell in wrong:
        if len(kept) > MOST_CLASSES - 2:
            break
        kept |= {cell.label: None, cell.found: None}
    return [symbol for symbol in symbols if symbol in kept]


def classes(report: Json, network: str) -> list[Json]:
    """Recall and precision of each class, the least recall first; unlabeled classes last."""
    rows = [{"symbol": s} | both for s, both in report["networks"][network]["per_class"].items()]
    return sorted(
        rows, key=lambda row: (row["recall"] is None, (row["recall"] or {"value": 0})["value"])
    )


def ranges(rows: Sequence[Json], unit: str) -> list[Json]:
    """Bins of image size or contrast, named."""
    return [
        {
            "name": f"{row['from']:g} and more{unit}"
            if row["to"] is None
            else f"{row['from']:g} to {row['to'] - 1:g}{unit}",
            "metric": row["accuracy"],
        }
        for row in rows
    ]


def safety(report: Json) -> Json | None:
    """Whether int8 is as good as float: the verdict, and why; None where it was not measured."""
    drop = report["float_to_int8"]
    if drop is None:
        return None
    points = drop["points"]
    if points["high"] <= SAFE_POINTS:
        verdict = "Yes"
    elif points["low"] > SAFE_POINTS:
        verdict = "No"
    else:
        verdict = "Not settled"
    return {"verdict": verdict, **drop}


def race(report: Json) -> list[Json]:
    """The bench's engines by time of the network alone, one image, one thread."""
    if report["bench"] is None:
        return []
    engines = report["bench"]["engines"]
    rows = []
    for engine in engines:
        one = next((m for m in engine["measurements"] if _alone(m)), None)
        if one is None:
            continue
        ours = engine["engine"].startswith("EdgeGlyph")
        title = f"{engine['engine']}, {engine['form']}"
        rows.append({"title": title, "ours": ours, "accuracy": engine["accuracy"]} | one)
    largest = max((row["quartile3_us"] for row in rows), default=1.0)
    scale = charts.Scale(0, largest, 0, 100)
    for row in rows:
        places = {key: scale(row[f"{key}_us"]) for key in ("quartile1", "median", "quartile3")}
        row["percent"] = places
    rows.sort(key=lambda row: float(row["median_us"]))
    return [row | {"number": k} for k, row in enumerate(rows, 1)]


def _alone(row: Json) -> bool:
    return (row["what"], row["batch"], row["threads"]) == ("network", 1, 1)


def absent_engines(report: Json) -> list[tuple[str, str]]:
    """Engines that could not be raced, and why."""
    engines = (report["bench"] or {"engines": []})["engines"]
    return [(f"{e['engine']}, {e['form']}", e["absent"]) for e in engines if e["absent"]]


def busy(machine: Json) -> bool:
    """Whether a machine did so much else that its times are in doubt."""
    load: float = machine["load"][0]
    cores: int = machine["cores"] or 1  # None where the system does not tell
    return load > _BUSY * cores


def view(report: Json) -> Json:
    """All that the template needs beside the report itself."""
    network = report["summary"]["network"]
    details = report["details"][network]
    robustness, gate = report["robustness"], report["networks"][network].get("gate")
    curves = details["rejection"] or {}
    threshold = gate["threshold_millionths"] / 1e6 if gate else 0.0
    shown = matrix(report, network)
    rows = race(report)
    return {
        "network": network,
        "title": title_of(report, network),
        "figures": report["networks"][network],
        "details": details,
        "matrix": shown,
        "listed": [cell for cell in shown.wrong if cell.examples][:_TABLED],
        "classes": classes(report, network),
        "by_size": ranges(details["by_size"], " px"),
        "by_contrast": ranges(details["by_contrast"], ""),
        "safety": safety(report),
        "reliability": charts.reliability(details["reliability"]),
        "gate": gate,
        "roc": [charts.roc(k, curves[k], threshold) for k in (gate or {"kinds": ()})["kinds"]],
        "robustness": [
            charts.severities(name, found, robustness)
            for name, found in (robustness or {"corruptions": {}})["corruptions"].items()
        ],
        "race": rows,
        "not_raced": absent_engines(report),
        "tradeoff": charts.tradeoff(rows),
        "same_network": report["bench"] is not None
        and report["bench"]["network"]["sha256"] == report["bundle"]["sha256"],
        "busy": busy,
        "safe_points": SAFE_POINTS,
    }


def title_of(report: Json, network: str) -> str:
    """What a rung is called."""
    named = {row["rung"]: row["title"] for row in report["ladder"]}
    return named.get(network) or TITLES.get(network, network)
