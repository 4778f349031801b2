"""Smaller networks from a trained one: accuracy against multiply-adds and time. `make curve`.

For each share of the multiply-adds the network is pruned, trained on with itself as the teacher,
frozen, quantized, compiled, proved and measured on the validation images. One shape is trained from
nothing as well, to tell what pruning is worth. A budget picks the most accurate network within it.
"""

import argparse
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smaller.measure import Measured, measure
from smaller.point import Point, Source, make_from_nothing, make_pruned, make_whole
from smaller.show import draw, table
from tqdm import tqdm

from edge_runtime.bench.machine import describe_machine
from edge_runtime.console import run_command
from edge_runtime.errors import InputError, MissingDependencyError, SettingsError
from edge_runtime.files import replacing_folder, write_json, write_text
from edge_runtime.metrics import mcnemar
from edge_runtime.tensorflow_import import import_tensorflow

SHARES = "0.75,0.5,0.35,0.25,0.12"
COMPARED = 0.25
_OWN = ("training", "pruned.npz", "pruned.json", "point.json")  # of a point, not of its network

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """What a network may take at most for an image; None does not limit.

    multiply_adds : their number;  us : microseconds, one thread of this machine
    """

    multiply_adds: int | None = None
    us: float | None = None

    def __bool__(self) -> bool:
        return self.multiply_adds is not None or self.us is not None

    def __str__(self) -> str:
        parts = []
        if self.multiply_adds is not None:
            parts.append(f"{self.multiply_adds:,} multiply-adds")
        if self.us is not None:
            parts.append(f"{self.us:g} µs")
        return " and ".join(parts)

    def allows(self, point: Measured) -> bool:
        """Whether a network is within it."""
        if self.multiply_adds is not None and point.multiply_adds > self.multiply_adds:
            return False
        return self.us is None or (point.time is not None and point.time.median <= self.us)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="measure_curve", description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"), help="of the trained network")
    parser.add_argument("--name", default="chars", help="of the bundles (default: chars)")
    parser.add_argument(
        "--keep", default=SHARES, metavar="SHARE,…", help=f"of multiply-adds (default: {SHARES})"
    )
    parser.add_argument(
        "--compare",
        type=float,
        metavar="SHARE",
        help="the one of --keep that is trained from nothing as well (default: the one nearest to "
        f"{COMPARED:g}); 0: none",
    )
    parser.add_argument("--preset", default="smaller", help="of training and quantizing the points")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    parser.add_argument("--workers", type=int, metavar="N", help="that prepare training batches")
    parser.add_argument("--rounds", type=int, default=60, metavar="R", help="of timing")
    parser.add_argument("--max-macs", type=int, metavar="N", help="multiply-adds to pick within")
    parser.add_argument("--max-us", type=float, metavar="T", help="microseconds to pick within")
    return run_command(_run, parser, arguments)


def _run(options: argparse.Namespace) -> int:
    shares = _shares(options.keep)
    nearest = min(shares, key=lambda share: abs(share - COMPARED), default=0.0)
    compared = nearest if options.compare is None else options.compare
    if compared and compared not in shares:
        raise SettingsError(f"--compare {compared:g}: is not among --keep {options.keep}")
    if options.rounds < 1:
        raise SettingsError("--rounds must be at least 1")
    source = Source(
        options.build, options.name, options.preset, tuple(options.set), options.workers
    )
    for path in (source.weights, source.manifest):
        if not path.is_file():
            raise InputError(f"{path}: no trained network; run `make train OUT={options.build}`")
    import_tensorflow()
    output = options.build / "curve"
    points = _make(source, output, shares, compared)
    found = measure(points, source.manifest, options.rounds)
    _write(found, options, output)
    budget = Budget(options.max_macs, options.max_us)
    if budget:
        print(f"\n{_pick(found, budget, source)}")
    return 0


def _shares(text: str) -> list[float]:
    """Shares from the largest on; the whole network is among the points anyhow."""
    try:
        shares = sorted({float(word) for word in text.split(",")}, reverse=True)
    except ValueError:
        raise SettingsError(f"--keep {text}: numbers with commas between") from None
    if not all(0 < share <= 1 for share in shares):
        raise SettingsError(f"--keep {text}: shares are above 0, up to 1")
    return [share for share in shares if share < 1]


def _make(source: Source, output: Path, shares: Sequence[float], compared: float) -> list[Point]:
    total = 1 + len(shares) + bool(compared)
    with tqdm(total=total, desc="curve", unit="network", disable=None) as bar:
        points = [make_whole(source, output)]
        bar.update()
        for share in shares:
            points.append(make_pruned(source, output, share))
            bar.update()
        if compared:
            points.append(make_from_nothing(source, output, compared))
            bar.update()
    return points


def _write(found: Sequence[Measured], options: argparse.Namespace, output: Path) -> None:
    text = table(found)
    sentence = _comparison(found)
    machine = describe_machine()
    write_text(output / "curve.txt", f"{text}\n\n{sentence}\n" if sentence else f"{text}\n")
    write_json(
        output / "curve.json",
        {
            "schema": 1,
            "name": options.name,
            "preset": options.preset,
            "settings": options.set,
            "split": "validation",
            "machine": machine,
            "rounds": options.rounds,
            "points": [each.as_json() for each in found],
            "pruned_against_from_nothing": _test(found),
        },
    )
    print(text)
    if sentence:
        print(f"\n{sentence}")
    try:
        title = f"{options.name}, pruned; 95 % intervals; times on {machine['processor']}"
        pictures = draw(found, title, output)
    except MissingDependencyError as error:
        log.warning("%s", error)
        pictures = []
    if found[0].time is None:
        log.warning("no times: `make runtime` builds the native program, then run this again")
    print("\nWrote", ", ".join(map(str, [output / "curve.json", *pictures])))


def _pair(found: Sequence[Measured]) -> tuple[Measured, Measured] | None:
    """The pruned network and that of its shape from nothing."""
    for nothing in (each for each in found if each.point.from_nothing):
        for each in found:
            if each.point.share == nothing.point.share and not each.point.from_nothing:
                return each, nothing
    return None


def _test(found: Sequence[Measured]) -> dict[str, float | int] | None:
    pair = _pair(found)
    return mcnemar(pair[0].correct, pair[1].correct).as_json() if pair else None


def _comparison(found: Sequence[Measured]) -> str:
    pair = _pair(found)
    if not pair:
        return ""
    pruned, nothing = pair
    test = mcnemar(pruned.correct, nothing.correct)
    return (
        f"Of one shape, after as many steps: pruned {pruned.int8.percent}, from nothing "
        f"{nothing.int8.percent} (McNemar's p = {test.p:.2g})."
    )


def _pick(found: Sequence[Measured], budget: Budget, source: Source) -> str:
    """Copy the most accurate network within the budget to smaller/; return what to tell."""
    points = [each for each in found if not each.point.from_nothing]
    if budget.us is not None and points[0].time is None:
        raise InputError("--max-us needs times: `make runtime` builds what measures them")
    within = [each for each in points if budget.allows(each)]
    if not within:
        least = min(points, key=lambda each: each.multiply_adds)
        time = f", {least.time.median:.1f} µs" if least.time else ""
        raise SettingsError(
            f"no network is within {budget}; the smallest, {least.point.title}, takes "
            f"{least.multiply_adds:,} multiply-adds{time}: allow more, or add a smaller share"
        )
    best = max(within, key=lambda each: (each.int8.value, -each.multiply_adds))
    folder, trained = source.build / "smaller", best.point.folder / "training/best.npz"
    with replacing_folder(folder) as new:
        shutil.copytree(
            best.point.folder, new, ignore=lambda _, names: set(names) & set(_OWN),
            dirs_exist_ok=True,
        )  # fmt: skip
        shutil.copyfile(trained if trained.exists() else source.weights, new / "best.npz")
    time = f", {best.time.median:.1f} µs" if best.time else ""
    return (
        f"Within {budget}: {best.point.title}, {best.multiply_adds:,} multiply-adds{time}, int8 "
        f"{best.int8.percent} ({best.int8.interval}, n = {best.int8.n:,}).\n"
        f"The classifier is {folder / best.point.bundle.name}."
    )


if __name__ == "__main__":
    sys.exit(main())
