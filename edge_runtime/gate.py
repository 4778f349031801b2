"""The gate: how well p_real tells characters from everything else.

An image passes the gate where its p_real, in millionths, is at least the threshold. Nothing here
runs a network: all figures are of p_real alone, so of whatever back end gave it.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from edge_runtime.metrics import Metric, Z, wilson
from edge_runtime.scores import Millionths, decimal

WANTED_ACCEPTANCE: Final = 0.95  # share of characters that a threshold is chosen to let pass
_HALVINGS = 60

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class KindFigures:
    """The gate on one kind of non-character, or on all of them.

    auroc : chance that a character has the larger p_real of the two; n counts both
    false_positives : share of the non-characters that pass
    seen : whether training saw this kind
    """

    auroc: Metric
    false_positives: Metric
    seen: bool

    def as_json(self) -> dict[str, Any]:
        """Return both metrics, and whether the kind was seen in training."""
        return {
            "auroc": self.auroc.as_json(),
            "false_positives": self.false_positives.as_json(),
            "seen_in_training": self.seen,
        }


@dataclass(frozen=True)
class GateReport:
    """The gate of one back end on one set of characters and of non-characters.

    threshold : in millionths;  given : False where it was chosen on these very characters
    acceptance : share of the characters that pass
    kinds : kinds that training saw, then those that it did not;  every : all together
    """

    threshold: int
    given: bool
    acceptance: Metric
    kinds: dict[str, KindFigures]
    every: KindFigures | None

    def table(self) -> str:
        """A row per kind of non-character, and one of all."""
        rows = [
            [name if f.seen else f"{name} (never seen in training)", *_columns(f)]
            for name, f in self.kinds.items()
        ]
        if self.every is not None and len(rows) > 1:
            rows.append(["all", *_columns(self.every)])
        return _table(["not a character", "n", *_HEADERS], rows)

    def as_json(self) -> dict[str, Any]:
        """Return all figures; where the threshold is from; "all" is null without negatives."""
        return {
            "threshold_millionths": self.threshold,
            "threshold_from": "the bundle" if self.given else "these characters",
            "acceptance": self.acceptance.as_json(),
            "all": None if self.every is None else self.every.as_json(),
            "kinds": {name: figures.as_json() for name, figures in self.kinds.items()},
        }


_HEADERS = ("AUROC", "95 % interval", "false positives", "95 % interval")


def measure_gate(
    characters: Millionths,
    others: Mapping[str, Millionths],
    threshold: int | None = None,
    unseen: Collection[str] = (),
) -> GateReport:
    """Measure the gate.

    Parameters
    ----------
    characters : int64 [N], p_real of characters
    others : int64 [n] of each kind of non-character; may be empty, a kind may not
    threshold : in millionths; None takes the one that lets 95 % of ``characters`` pass
    unseen : kinds that training never saw
    """
    chosen = threshold_at(characters) if threshold is None else threshold
    ordered = sorted(others, key=lambda kind: kind in unseen)
    kinds = {k: _figures(characters, others[k], chosen, k not in unseen) for k in ordered}
    every = None
    if kinds:
        together = np.concatenate([others[kind] for kind in ordered])
        every = _figures(characters, together, chosen, all(f.seen for f in kinds.values()))
    return GateReport(chosen, threshold is not None, passing(characters, chosen), kinds, every)


def summary_table(reports: Mapping[str, GateReport]) -> str:
    """A row per back end: characters that pass, and the figures over all non-characters."""
    rows = [
        [name, decimal(r.threshold), r.acceptance.percent, *(_columns(r.every)[1:])]
        for name, r in reports.items()
        if r.every is not None
    ]
    return _table(["network", "threshold", "accepted", *_HEADERS], rows)


def headline(report: GateReport) -> str:
    """Where the threshold of the figures is from."""
    if report.given:
        return "The gate at the bundle's threshold"
    share = f"{100 * WANTED_ACCEPTANCE:.0f} %"
    return (
        f"The gate at the threshold that accepts {share} of these characters (the bundle has none)"
    )


def threshold_at(characters: Millionths, acceptance: float = WANTED_ACCEPTANCE) -> int:
    """Largest threshold, in millionths, that lets at least this share of characters pass."""
    if not len(characters):
        raise ValueError("a threshold needs characters")
    refused = math.floor(len(characters) * (1 - acceptance) + 1e-9)
    return int(np.sort(characters)[refused])


def passing(p_real: Millionths, threshold: int) -> Metric:
    """Share that passes the gate: of characters the acceptance, of others the false positives."""
    return wilson(int((p_real >= threshold).sum()), len(p_real))


def auroc(characters: Values, others: Values) -> Metric:
    """Area under the ROC curve: the share of pairs in which the character has the larger value.

    Ties count half (Mann and Whitney 1947). The interval inverts the variance of Hanley and
    McNeil (1982) as Wilson's does that of a proportion, so that it is right at 0 and 1 too:
    Newcombe (2006), "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2", method 5. n counts characters and others.
    """
    m, n = len(characters), len(others)
    if not m or not n:
        raise ValueError("an AUROC needs characters and others")
    ordered = np.sort(others)
    below = np.searchsorted(ordered, characters, "left")
    upto = np.searchsorted(ordered, characters, "right")
    value = float(below.sum() + upto.sum()) / (2 * m * n)
    return Metric(value, m + n, _bound(value, 0.0, m, n), _bound(value, 1.0, m, n))


def _bound(value: float, end: float, m: int, n: int) -> float:
    """Bound of the interval between ``value`` and ``end``, by halving."""
    inside, outside = value, end
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if (value - middle) ** 2 <= Z * Z * _variance(middle, m, n):
            inside = middle
        else:
            outside = middle
    return inside


def _variance(area: float, m: int, n: int) -> float:
    both = (m + n) / 2 - 1
    spread = (1 - area) / (2 - area) + area / (1 + area)
    return area * (1 - area) * (1 + both * spread) / (m * n)


def _figures(characters: Millionths, others: Millionths, threshold: int, seen: bool) -> KindFigures:
    return KindFigures(auroc(characters, others), passing(others, threshold), seen)


def _columns(figures: KindFigures) -> list[str]:
    area, passed = figures.auroc, figures.false_positives
    return [
        f"{passed.n:,}",
        f"{area.value:.4f}",
        f"{area.low:.4f} to {area.high:.4f}",
        passed.percent,
        passed.interval,
    ]


def _table(headers: list[str], rows: list[list[str]]) -> str:
    align = ("left", *["right"] * (len(headers) - 1))
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align)
