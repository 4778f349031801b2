"""Run images through the simulated core: ``python scripts/simulate_core.py --bundle B --images I``.

Every logit must be the integer reference's, and the cycles within 1 % of the compiler's prediction.
The bundle is compiled for the core first where it holds no program for it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from build_core_model import RTL, build
from tqdm import tqdm

from edge_runtime import integer
from edge_runtime.bundle import read_bundle
from edge_runtime.core_model import CYCLES, STEPS, CoreModel
from edge_runtime.errors import EdgeGlyphError, InputError, VerificationError
from edge_runtime.images import read_gray
from edge_runtime.layers import Int8
from edge_runtime.preprocess import preprocess
from edge_runtime.sources import find_source_images
from quantize.core.pack import with_core
from quantize.core.target import TARGETS, find_target

BATCH = 20
TOLERANCE = 0.01  # of predicted cycles


def inputs_of(bundle: Path, source: Path, count: int, seed: int) -> Int8:
    """Preprocessed images, ``count`` of the source's, drawn at random with a seed."""
    found = find_source_images(source, read_bundle(bundle).alphabet)
    if len(found) < count:
        raise InputError(f"{source}: {len(found)} images, {count} are wanted; see --count")
    chosen = np.random.default_rng(seed).permutation(len(found))[:count]
    return np.stack([preprocess(read_gray(found[i].path)) for i in chosen])


def simulate(bundle_path: Path, target_name: str, inputs: Int8) -> str:
    """Compare the core's logits with the reference's; return what was found, in words.

    Raises
    ------
    VerificationError
        At the first image whose logits differ, or where the prediction of cycles is off.
    """
    target = find_target(target_name)
    bundle = read_bundle(bundle_path)
    bundle = bundle if bundle.core and bundle.core.target == target.name else with_core(
        bundle, target.name
    )  # fmt: skip
    assert bundle.core is not None
    core = CoreModel(build(target, RTL / "build" / target.name))
    for first in tqdm(range(0, len(inputs), BATCH), unit_scale=BATCH, disable=None):
        batch = inputs[first : first + BATCH]
        differ = core.classify(bundle.core, batch) != integer.run(bundle.network, batch)
        if differ.any():
            image, logit = np.argwhere(differ)[0]
            raise VerificationError(
                f"image {first + image}: logit {logit} is not the integer reference's"
            )
    cycles, steps = core.read(CYCLES), core.read(STEPS)
    off = bundle.core.cycles / cycles - 1
    if abs(off) > TOLERANCE:
        raise VerificationError(f"{bundle.core.cycles:,} cycles predicted, {cycles:,} simulated")
    return (
        f"{target.name}: {len(inputs):,} images, {inputs.shape[0] * bundle.network.classes:,} "
        f"logits, all as the integer reference's\n"
        f"{cycles:,} cycles an image ({bundle.core.cycles:,} predicted, {off:+.2%}), "
        f"{steps / cycles:.0%} of them multiplying"
    )


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="any labeled images")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=sorted(TARGETS), default="core128")
    options = parser.parse_args()
    try:
        inputs = inputs_of(options.bundle, options.images, options.count, options.seed)
        print(simulate(options.bundle, options.target, inputs))
    except EdgeGlyphError as error:
        print(f"simulate_core: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
