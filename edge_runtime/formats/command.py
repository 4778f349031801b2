"""Command line: ``python -m edge_runtime convert``."""

import argparse
import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from edge_runtime import __version__
from edge_runtime.bundle import read_bundle
from edge_runtime.errors import InputError, MissingDependencyError
from edge_runtime.files import content_bytes, replacing_folder, sha256_of, write_json
from edge_runtime.formats import FORMATS
from edge_runtime.formats.format import Format, Load, Source, versions
from edge_runtime.formats.images import find_images, read_inputs, read_measured
from edge_runtime.formats.verify import Reference, Verified, answer, verify
from edge_runtime.preprocess import FIX_POINT, SIDE

SCHEMA = 1
log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``convert`` takes."""
    parser.add_argument(
        "--format",
        action="append",
        required=True,
        metavar="NAME",
        help=f"one of {', '.join(FORMATS)}, or all; may be repeated",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        required=True,
        metavar="FILE.egb",
        help="the classifier; its float models are looked for beside it. Or the folder of one",
    )
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="PATH",
        help="labeled images: a manifest, of which split train calibrates, or any source, of "
        "which every fourth picture does; the others verify",
    )
    parser.add_argument("--split", help="of a manifest, to verify on (default: test or validation)")
    parser.add_argument(
        "--calibration", type=Path, metavar="PATH", help="other images to calibrate on"
    )
    parser.add_argument(
        "--count", type=int, default=2000, metavar="N", help="verify on N images; 0: all (2000)"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="gets a folder for each format"
    )


def run(options: argparse.Namespace) -> int:
    """Convert and verify; return the exit code."""
    if options.count < 0:
        raise InputError("--count must not be negative")
    chosen, path = _choose(options.format), find_bundle(options.bundle)
    bundle = read_bundle(path)
    bundle.self_test()
    found = find_images(
        options.images, bundle.alphabet, options.split, options.calibration, options.count
    )
    calibration = np.zeros((0, SIDE, SIDE, 1), np.int8)
    if any(one.calibrated for one in chosen):
        if not found.calibrating:
            raise InputError(f"{options.images}: no images left to calibrate on")
        calibration = read_inputs(found.calibrating, "calibration images")
    source = Source(bundle, path, calibration)
    reference = answer(source, read_measured(found, bundle.alphabet))
    all_of_them = "all" in options.format
    made: dict[str, Verified] = {}
    for one in tqdm(chosen, desc="convert", unit="format", disable=None, leave=False):
        try:
            made[one.name] = convert(one, source, reference, options.output / one.name)
        except MissingDependencyError as error:
            if not all_of_them:
                raise
            log.warning("%s: left out: %s", one.name, error)
    print(table(options.output, made))
    print()
    split = f" of split {found.split}" if found.split else ""
    print(
        f"Verified on {len(reference.images.inputs)} images{split}; "
        f"accuracy of {reference.float_name}: {_share(reference)}. "
        f"How to run each without EdgeGlyph: docs/convert.md."
    )
    return 0


def convert(one: Format, source: Source, reference: Reference, folder: Path) -> Verified:
    """Make one format in ``folder``, verified before it takes that name, with its convert.json."""
    name = source.bundle.name
    with replacing_folder(folder) as new:
        path = new / f"{name}{one.suffix}"
        with _quiet():
            one.make(source, path)
        verified = verify(one, source, path, reference)
        write_json(new / "convert.json", describe(one, source, path, verified))
    return verified


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what converters say out of the results and hide what they warn of."""
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def describe(one: Format, source: Source, path: Path, verified: Verified) -> dict[str, Any]:
    """All that a program needs to run the file, where it is from, and what it was found to be."""
    session = one.open(source, path, Load(1, 1))
    made_of = source.model(one.model) if one.model else source.path
    calibration = source.calibration if one.calibrated else None
    return {
        "schema": SCHEMA,
        "edgeglyph": __version__,
        "format": one.name,
        "files": {
            file.name: {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
            for file in sorted(path.parent.iterdir())
        },
        "name": source.bundle.name,
        "alphabet": list(source.bundle.alphabet.symbols),
        "input": {
            "dtype": "int8",
            "shape": ["N", SIDE, SIDE, 1],
            "preprocessing": source.bundle.manifest.get("preprocessing", {}).get("version"),
            "fix_point": FIX_POINT,
        },
        # A real logit is (output - zero_point) · scale; probabilities are softmax(logit / T).
        "output": {"scale": session.scale, "zero_point": session.zero_point},
        "temperature": source.bundle.temperature,
        "p_real_threshold_millionths": source.bundle.threshold,
        "made_from": {"file": made_of.name, "sha256": sha256_of(made_of)},
        "bundle_sha256": sha256_of(source.path),
        "packages": versions(one.packages),
        "calibration": None if calibration is None else len(calibration),
        "verified": verified.as_json(),
    }


def find_bundle(path: Path) -> Path:
    """Return a bundle's path; of a folder the one bundle in it."""
    if not path.is_dir():
        return path
    bundles = sorted(path.glob("*.egb"))
    if len(bundles) != 1:
        raise InputError(f"{path}: holds {len(bundles)} bundles (.egb); name one")
    return bundles[0]


def table(output: Path, made: dict[str, Verified]) -> str:
    """A row for each conversion."""
    rows = [
        [
            name,
            f"{(content_bytes(output / name) - _json_bytes(output / name)) / 1000:,.0f}",
            f"{one.largest:.2g}",
            f"{100 * one.agreement.value:.2f} %",
            f"{100 * one.accuracy.value:.2f} %",
            f"{one.lost.value:+.2f} ({one.lost.low:+.2f} to {one.lost.high:+.2f})",
            "" if one.identical is None else "identical",
        ]
        for name, one in made.items()
    ]
    headers = ["format", "kB", "largest logit difference", "as float", "accuracy"]
    headers += ["points lost (95 %)", "integer reference"]
    align = ("left", "right", "right", "right", "right", "right", "left")
    return tabulate(rows, headers, disable_numparse=True, colalign=align if rows else None)


def _json_bytes(folder: Path) -> int:
    return (folder / "convert.json").stat().st_size


def _share(reference: Reference) -> str:
    right = reference.float_logits.argmax(axis=1) == reference.images.labels
    return f"{100 * right.mean():.2f} %"


def _choose(names: Sequence[str]) -> list[Format]:
    for name in names:
        if name not in FORMATS and name != "all":
            raise InputError(f"no format {name!r}; there are {', '.join(FORMATS)}, or all")
    return [one for one in FORMATS.values() if one.name in names or "all" in names]
