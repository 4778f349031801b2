"""A stand-in for decent_q and vai_q_tensorflow: documented options, the input function, refusals.

What it writes are the graphs in the folder $GRAPHS, "quantized before". $FAULT: quiet writes none,
nodes writes others.
"""

import importlib
import os
import shutil
import sys
from pathlib import Path

NEEDED = ("input_frozen_graph", "input_nodes", "input_shapes", "output_nodes", "input_fn")
OPTIONAL = (
    *("method", "calib_iter", "gpu", "output_dir", "weight_bit", "activation_bit"),
    *("ignore_nodes", "skip_check"),
)


def main(tool: str, arguments: list[str]) -> None:
    """Quantize, or end as argparse and TensorFlow do."""
    version = os.environ.get("VAI_VERSION", "1.1.0")
    if arguments == ["--version"]:
        print(f"{tool} v{version} build for Tensorflow 1.12.0")
        return
    if arguments[:1] != ["quantize"]:
        end(2, f"{tool}: error: invalid choice: {arguments[:1]}")
    given = parse(tool, arguments[1:])
    print("INFO: Checking Float Graph...")
    graph = Path(given["input_frozen_graph"]).read_bytes()
    for node in (given["input_nodes"], given["output_nodes"]):
        if node.encode() not in graph:
            end(1, f"ValueError: Cannot find node {node} in the graph")
    calibrate(given)
    folder = Path(given.get("output_dir", "quantize_results"))
    if os.environ.get("FAULT") != "quiet":
        write(folder, deploy=tool == "decent_q" or version < "1.4")
    print("********************* Quantization Summary *********************")


def parse(tool: str, rest: list[str]) -> dict[str, str]:
    """Read the options; refuse unknown, missing and impossible ones."""
    given: dict[str, str] = {}
    while rest:
        name = rest.pop(0)
        if name[:2] != "--" or name[2:] not in (*NEEDED, *OPTIONAL) or not rest:
            end(2, f"{tool}: error: unrecognized arguments: {name}")
        given[name[2:]] = rest.pop(0)
    missing = [key for key in NEEDED if key not in given]
    if missing:
        end(2, f"{tool}: error: the following arguments are required: {missing}")
    if given.get("method", "1") not in "012":
        end(2, f"{tool}: error: argument --method: invalid choice")
    return given


def calibrate(given: dict[str, str]) -> None:
    """Import the input function from the working folder and take its batches."""
    import numpy as np

    module, _, function = given["input_fn"].rpartition(".")
    batch = getattr(importlib.import_module(module), function)
    shape = given["input_shapes"].split(",")
    for i in range(int(given.get("calib_iter", "100"))):
        ((name, images),) = batch(i).items()
        assert name == given["input_nodes"], name
        assert images.dtype == np.float32
        sizes = zip(shape, images.shape, strict=True)
        assert all(want in ("?", str(have)) for want, have in sizes), images.shape
        print(f"\r{i + 1} of {given.get('calib_iter')}", end="")
    print("\nINFO: Calibration Done.")


def write(folder: Path, deploy: bool) -> None:
    """Write the graphs; the second one ceased to be written in Vitis AI 1.4."""
    for name in ("quantize_eval_model.pb", *(["deploy_model.pb"] if deploy else [])):
        shutil.copy(Path(os.environ["GRAPHS"]) / name, folder / name)
        if os.environ.get("FAULT") == "nodes":
            data = (folder / name).read_bytes()
            (folder / name).write_bytes(data.replace(b"input_real", b"INPUT_REAL"))


def end(code: int, why: str) -> None:
    """Fail with a message on standard error."""
    print(why, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
