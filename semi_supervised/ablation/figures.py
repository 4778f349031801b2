"""Statistics of what the cells measured: means, spreads, paired differences."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from edge_runtime.errors import InputError
from edge_runtime.metrics import McNemar, Metric, mcnemar
from semi_supervised.ablation.cells import Job
from semi_supervised.ablation.plan import Cell, Labels, Plan

Row = tuple[str, Labels, str]  # method, labels per class, what is removed
Correct = npt.NDArray[np.bool_]

_CONFIDENCE = 0.975  # one-sided: 95 % intervals


def interval_of_mean(values: npt.NDArray[np.float64]) -> Metric:
    """Mean of values [seeds, images] with its 95 % interval, for other seeds and other images.

    Variance: that of the mean over images plus that of the mean over seeds, which counts a little
    twice (what a seed does to an image) and so errs to the wide side; Student's t with the degrees
    of freedom of Welch and Satterthwaite (Satterthwaite 1946). Of one seed, over images alone.
    """
    seeds, images = values.shape
    of_images = float(values.mean(axis=0).var(ddof=1)) / images if images > 1 else 0.0
    of_seeds = float(values.mean(axis=1).var(ddof=1)) / seeds if seeds > 1 else 0.0
    mean, variance = float(values.mean()), of_images + of_seeds
    if variance == 0:
        return Metric(mean, images, mean, mean)
    spread = of_images**2 / max(1, images - 1) + of_seeds**2 / max(1, seeds - 1)
    half = float(student.ppf(_CONFIDENCE, variance**2 / spread)) * variance**0.5
    return Metric(mean, images, mean - half, mean + half)


@dataclass(frozen=True)
class Measured:
    """What all seeds of a cell of the table measured.

    correct : bool [seeds, test images];  records : a seed each, as `measure` has them
    trained_as : the row whose trainings these are, where another cell's are the same
    """

    row: Row
    seeds: tuple[int, ...]
    correct: Correct
    records: tuple[dict[str, Any], ...]
    trained_as: Row

    @property
    def accuracy(self) -> Metric:
        """Mean over seeds, and its interval."""
        found = interval_of_mean(self.correct.astype(np.float64))
        return Metric(found.value, found.n, max(0.0, found.low), min(1.0, found.high))

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the seeds' accuracies; None for one seed."""
        shares = self.correct.mean(axis=1)
        return float(shares.std(ddof=1)) if len(shares) > 1 else None

    def mean_of(self, name: str) -> float:
        """Mean over seeds of one of `edge_runtime.metrics`' figures."""
        return float(np.mean([record["metrics"][name]["value"] for record in self.records]))

    @property
    def let_in(self) -> float | None:
        """Share of non-characters that the gate lets in, the seeds' mean; None if not measured."""
        found = list(self.let_in_of_seeds().values())
        return float(np.mean(found)) if found else None

    def let_in_of_seeds(self) -> dict[int, float]:
        """The same for each seed of which it was measured."""
        of = zip(self.seeds, self.records, strict=True)
        return {seed: float(record["gate"]["value"]) for seed, record in of if record["gate"]}

    @property
    def minutes(self) -> float:
        """Median time of a training."""
        return float(np.median([record["seconds"] for record in self.records])) / 60


@dataclass(frozen=True)
class Difference:
    """One row's accuracy minus another's on the same images, by the seeds that both have.

    values : float [seeds, test images], in percentage points: -100, 0 or 100
    points : their mean with its 95 % interval
    deviation : over seeds, in points; None for one seed
    tests : McNemar's, a seed each
    """

    values: npt.NDArray[np.float64]
    points: Metric
    seeds: tuple[int, ...]
    deviation: float | None
    tests: tuple[McNemar, ...]

    @property
    def is_clear(self) -> bool:
        """Whether neither the choice of images nor that of seeds explains it; never of one seed."""
        return len(self.seeds) > 1 and (self.points.low > 0 or self.points.high < 0)

    def as_json(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "points": self.points.as_json(),
            "deviation": None if self.deviation is None else round(self.deviation, 6),
            "seeds": list(self.seeds),
            "mcnemar": [test.as_json() for test in self.tests],
            "clear": self.is_clear,
        }


def difference(first: Measured, second: Measured) -> Difference | None:
    """Compare two rows; None where no seed has both."""
    seeds = tuple(seed for seed in first.seeds if seed in second.seeds)
    if not seeds:
        return None
    pairs = [
        (first.correct[first.seeds.index(s)], second.correct[second.seeds.index(s)]) for s in seeds
    ]
    values = np.array([100.0 * (a.astype(np.float64) - b) for a, b in pairs])
    each = values.mean(axis=1)
    return Difference(
        values,
        interval_of_mean(values),
        seeds,
        float(each.std(ddof=1)) if len(seeds) > 1 else None,
        tuple(mcnemar(a, b) for a, b in pairs),
    )


def together(differences: Iterable[Difference]) -> Metric:
    """Mean of several differences on the same images, in points, with its 95 % interval.

    Each pair of trainings counts as one: what differs between numbers of labels widens the
    interval as what differs between seeds does.
    """
    return interval_of_mean(np.concatenate([found.values for found in differences]))


def gate_difference(pairs: Iterable[tuple[Measured, Measured]]) -> Metric | None:
    """By how many points more non-characters pass the gate of each first row than of the second.

    The mean over pairs of trainings with the same seed and its 95 % interval (Student's t of the
    pairs' differences); None where no two were measured.
    """
    values = [
        100 * (of_first[seed] - of_second[seed])
        for first, second in pairs
        for of_first, of_second in [(first.let_in_of_seeds(), second.let_in_of_seeds())]
        for seed in sorted(of_first.keys() & of_second.keys())
    ]
    return interval_of_mean(np.array(values)[:, None]) if len(values) > 1 else None


def gather(plan: Plan, jobs: Mapping[Cell, Job]) -> dict[Row, Measured]:
    """Read all cells that are done, by row, in the plan's order; the others have no entry.

    Raises
    ------
    InputError
        Cells that were not measured on the same images.
    """
    of_row: dict[Row, list[tuple[Cell, dict[str, Any]]]] = {}
    for cell in sorted(jobs, key=lambda cell: plan.seeds.index(cell.seed)):
        record = jobs[cell].measured()
        if record is not None:
            of_row.setdefault(cell.row, []).append((cell, record))
    rows = {row: of_row[row] for row in (cell.row for cell in jobs) if row in of_row}
    numbers = {len(record["correct"]) for own in rows.values() for _, record in own}
    if len(numbers) > 1:
        raise InputError(
            f"cells measured on {sorted(numbers)} images: remove the ablation's folder"
        )
    return {row: _measured(row, own, jobs) for row, own in rows.items()}


def _measured(
    row: Row, own: Iterable[tuple[Cell, dict[str, Any]]], jobs: Mapping[Cell, Job]
) -> Measured:
    cells, records = zip(*own, strict=True)
    correct = np.array([[c == "1" for c in record["correct"]] for record in records])
    trained = jobs[cells[0]].cell.row
    trained = trained if any(cell.row == trained for cell in jobs) else row
    return Measured(row, tuple(cell.seed for cell in cells), correct, tuple(records), trained)
