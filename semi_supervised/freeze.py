"""Freeze the trained discriminator: frozen_model.pb, saved_model/ and model.onnx, proved equal.

Their scores are calibrated on validation images then, which gate.json tells to what follows.

The node names are a contract (design of the project): input ``input_real``, convolutions
``discriminator/conv2d…/Conv2D``, logits ``discriminator/dense/BiasAdd``, softmax
``discriminator/out``. Training-only nodes (dropout, batch statistics) are not in the graph,
because it is traced in inference mode.
"""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tabulate import tabulate
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from edge_runtime.errors import MissingDependencyError, VerificationError
from edge_runtime.files import sha256_of, write_bytes, write_json
from edge_runtime.preprocess import SIDE, to_float
from semi_supervised import calibration
from semi_supervised.calibration import Calibration, calibrate
from semi_supervised.negatives import FILE_NAME as NEGATIVES_FILE
from semi_supervised.training.checkpoints import load_best
from semi_supervised.training.images import load_evaluation, load_negatives
from semi_supervised.training.networks import Discriminator

INPUT = "input_real"
LOGITS = "discriminator/dense/BiasAdd"
SOFTMAX = "discriminator/out"
TOLERANCE = 1e-4  # largest difference of a logit between any two of the exported forms
OPSET = 13

_COUNTED = re.compile(r"__\d+")

# Which inputs of an operator are weights, and what a layer calls them.
_WEIGHT_INPUTS = {
    "Conv2D": {1: "kernel"},
    "MatMul": {1: "kernel"},
    "BiasAdd": {1: "bias"},
    "FusedBatchNormV3": {1: "gamma", 2: "beta", 3: "moving_mean", 4: "moving_variance"},
}


@dataclass(frozen=True)
class FreezeReport:
    """What the stage found.

    differences : largest logit difference of each exported form from the trained network, over the
        ``n`` validation images
    """

    differences: dict[str, float]
    n: int
    calibration: Calibration

    def table(self) -> str:
        """Return the tables that the stage prints."""
        rows = [
            [name, f"{value:.1e}", f"{TOLERANCE:.0e}"] for name, value in self.differences.items()
        ]
        headers = [f"logits on {self.n:,} validation images", "largest difference", "allowed"]
        same = tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)
        return f"{same}\n\n{self.calibration.table()}"


class _Exported(tf.Module):
    """The averaged network as a function with named input and outputs."""

    def __init__(self, network: Discriminator) -> None:
        super().__init__()
        self.network = network

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 1], tf.float32, name=INPUT)])
    def __call__(self, input_real: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = self.network(input_real, training=False).logits
        with tf.name_scope("discriminator/"):
            softmax = tf.nn.softmax(logits, name="out")
        return {"logits": logits, "softmax": softmax}


def freeze(weights: Path, manifest: Path, output: Path) -> FreezeReport:
    """Export ``best.npz`` into ``output``, check that all forms give the same logits, calibrate.

    The gate is measured on the validation split of ``negatives.csv`` where one is beside the
    manifest.

    Raises
    ------
    VerificationError
        An export differs by more than 1e-4 in a logit on the validation images.
    """
    network, alphabet, digest = load_best(weights)
    exported = _Exported(network)
    graph_def = _frozen_graph(exported)
    onnx_model = _to_onnx(graph_def)
    images = load_evaluation(manifest, alphabet, "validation")
    inputs = to_float(images.inputs)
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "saved_model"
        tf.saved_model.save(exported, str(saved))
        found = {
            "saved_model": _run_saved(saved, inputs),
            "frozen_model.pb": _run_frozen(graph_def, inputs),
            "model.onnx": _run_onnx(onnx_model, inputs),
        }
        differences = _compare(exported(tf.constant(inputs))["logits"].numpy(), found)
        others = _negative_logits(graph_def, manifest.with_name(NEGATIVES_FILE))
        calibrated = calibrate(found["frozen_model.pb"], images.labels, others)
        write_bytes(output / "frozen_model.pb", graph_def.SerializeToString(deterministic=True))
        write_bytes(output / "model.onnx", onnx_model)
        _replace_folder(saved, output / "saved_model")
    files = {name: sha256_of(output / name) for name in ("frozen_model.pb", "model.onnx")}
    write_json(output / calibration.FILE_NAME, calibrated.as_json(files))
    write_json(
        output / "freeze.json",
        {
            "schema": 1,
            "weights_sha256": digest,
            "alphabet": list(alphabet.symbols),
            "verified_images": len(inputs),
            "largest_logit_difference": differences,
            "nodes": {"input": INPUT, "logits": LOGITS, "softmax": SOFTMAX},
            "files": files,
        },
    )
    return FreezeReport(differences, len(inputs), calibrated)


def _negative_logits(graph_def: Any, path: Path) -> dict[str, np.ndarray]:
    """Logits of each kind of validation non-character; empty without a ``negatives.csv``."""
    kinds = load_negatives(path, "validation") if path.exists() else {}
    return {kind: _run_frozen(graph_def, to_float(inputs)) for kind, inputs in kinds.items()}


def _frozen_graph(exported: _Exported) -> Any:
    concrete = exported.__call__.get_concrete_function()
    graph_def = convert_variables_to_constants_v2(concrete).graph.as_graph_def()
    graph_def = tf.compat.v1.graph_util.extract_sub_graph(graph_def, [LOGITS, SOFTMAX])
    graph_def.library.Clear()
    _name_weights(graph_def)
    for node in graph_def.node:
        # Hints of the tracing process; older readers of frozen graphs refuse them.
        for attribute in [a for a in node.attr if a.startswith("_")]:
            del node.attr[attribute]
    return graph_def


def _name_weights(graph_def: Any) -> None:
    """Feed weights without ReadVariableOp copies, and name them as TensorFlow 1 layers do."""
    nodes = {node.name: node for node in graph_def.node}
    copies = {
        n.name: n.input[0]
        for n in graph_def.node
        if n.op == "Identity" and nodes[n.input[0]].op == "Const"
    }
    renamed: dict[str, str] = {}
    for node in graph_def.node:
        scope = node.name.rpartition("/")[0]
        for i, name in enumerate(node.input):
            name = copies.get(name, name)
            if node.op in _WEIGHT_INPUTS and i in _WEIGHT_INPUTS[node.op]:
                renamed[name] = f"{scope}/{_WEIGHT_INPUTS[node.op][i]}"
            node.input[i] = renamed.get(name, name)
    kept = [node for node in graph_def.node if node.name not in copies]
    for node in kept:
        node.name = renamed.get(node.name, node.name)
    del graph_def.node[:]
    graph_def.node.extend(kept)


def _to_onnx(graph_def: Any) -> bytes:
    try:
        import tf2onnx
    except ImportError:
        raise MissingDependencyError(
            "freezing needs tf2onnx: pip install 'edgeglyph[train]'"
        ) from None
    model, _ = tf2onnx.convert.from_graph_def(
        graph_def,
        name="edgeglyph",
        opset=OPSET,
        input_names=[f"{INPUT}:0"],
        output_names=[f"{LOGITS}:0", f"{SOFTMAX}:0"],
    )
    _tidy_names(model.graph)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    import onnx

    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _tidy_names(graph: Any) -> None:
    """Drop TensorFlow's output numbers, and count tf2onnx's own names from 1.

    Its numbers come from a counter of the whole process: without this, exporting the same weights
    twice would give different files.
    """
    numbers: dict[str, str] = {}

    def tidy(name: str) -> str:
        return _COUNTED.sub(
            lambda match: numbers.setdefault(match[0], f"__{len(numbers) + 1}"),
            name.removesuffix(":0"),
        )

    for node in graph.node:
        node.name = tidy(node.name)
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = tidy(name)
    for value in [*graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        value.name = tidy(value.name)
    for values in (graph.initializer, graph.value_info):
        ordered = sorted(values, key=lambda value: str(value.name))
        del values[:]
        values.extend(ordered)


def _run_saved(folder: Path, inputs: np.ndarray) -> np.ndarray:
    loaded = tf.saved_model.load(str(folder))
    call = loaded.signatures["serving_default"]
    result: np.ndarray = call(input_real=tf.constant(inputs))["logits"].numpy()
    return result


def _run_frozen(graph_def: Any, inputs: np.ndarray) -> np.ndarray:
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            result: np.ndarray = session.run(f"{LOGITS}:0", {f"{INPUT}:0": inputs})
    return result


def _run_onnx(model: bytes, inputs: np.ndarray) -> np.ndarray:
    import onnxruntime as ort

    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run([LOGITS], {INPUT: inputs})[0]
    return result


def _compare(expected: np.ndarray, found: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest difference of each form; `VerificationError` where one is too large."""
    differences = {name: float(np.abs(got - expected).max()) for name, got in found.items()}
    for name, difference in differences.items():
        if not difference <= TOLERANCE:
            worst = int(np.abs(found[name] - expected).max(axis=1).argmax())
            raise VerificationError(
                f"{name}: logits differ from the trained network by {difference:.1e} "
                f"(allowed {TOLERANCE:.0e}), most on validation image {worst}"
            )
    return differences


def _replace_folder(new: Path, target: Path) -> None:
    """Put a finished folder in the place of an older one; a half-copied one is never seen."""
    arriving, leaving = (target.with_name(f".{target.name}.{word}") for word in ("new", "old"))
    for folder in (arriving, leaving):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(new, arriving)
    if target.exists():
        target.rename(leaving)
    arriving.rename(target)
    shutil.rmtree(leaving, ignore_errors=True)
