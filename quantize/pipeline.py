"""The quantization of one model, step by step, from its file to the files of `artifacts`.

import     file → IR graph, as in the source
passes     → the few operators that the integer network has
inputs     calibration and validation inputs; they must not overlap
quantize   fix points, and the integer network
measure    accuracy before and after, and its limit; what each layer costs
export     model_int8.onnx, equal to the integer network in ONNX Runtime, and models for other tools
write      all files and the page quantization.html, quantization.json last
"""

import contextlib
import functools
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime import calibration_images
from edge_runtime.alphabet import ALPHABET_62, Alphabet
from edge_runtime.errors import GraphError, InputError
from edge_runtime.files import sha256_of, write_bytes, write_text
from edge_runtime.labeled_images import LabeledImage, find_labeled_images
from edge_runtime.preprocess import to_float
from quantize import artifacts, execute, inputs, quality
from quantize.analysis import analyze
from quantize.artifacts import Quantization
from quantize.check_onnx import verify_onnx
from quantize.export_deploy import deploy_model
from quantize.export_eval import eval_model, stock_model
from quantize.export_onnx import export
from quantize.export_qdq import export_qdq
from quantize.import_graph import import_graph
from quantize.inputs import Calibration, Validation
from quantize.ir import Graph
from quantize.lower import check_supported, tensor_names
from quantize.methods import Options, Quantized, integer_inputs, quantize
from quantize.page import page
from quantize.passes import simplify
from quantize.settings import Settings
from quantize.tf_nodes import Source

log = logging.getLogger(__name__)

_STEPS = ("import", "passes", "inputs", "quantize", "measure", "export", "write")
_CHECKED_INPUTS = 256  # calibration inputs that model_int8.onnx is checked on


@dataclass(frozen=True)
class Request:
    """What `run` is asked for; see the options of ``python -m quantize run``.

    alphabet : None takes the one that the freeze stage recorded beside the model, else 0-9A-Za-z
        where the network has 62 classes
    """

    model: Path
    calibration: Path
    output: Path
    settings: Settings
    input_node: str | None = None
    output_node: str | None = None
    validation: Path | None = None
    held_out: Path | None = None
    alphabet: Alphabet | None = None

    @property
    def uses_images(self) -> bool:
        """Whether calibration inputs are images, not a ready array."""
        return self.calibration.suffix.lower() != ".npz"


@dataclass(frozen=True)
class Result:
    """What `run` did."""

    quantization: Quantization
    accuracy: quality.Accuracy | None
    compared: int  # inputs on which ONNX Runtime gave the reference's integers


def run(request: Request) -> Result:
    """Quantize a model and write the result into ``request.output``.

    Raises
    ------
    EdgeGlyphError
        `InputError` and its kinds for what the user can mend; `VerificationError` where int8
        loses too much accuracy, or ONNX Runtime computes other integers.
    """
    with _step("import"):
        source = import_graph(request.model, request.input_node, request.output_node)
    with _step("passes"):
        graph = simplify(source, vendor=True)  # with all weights, as the vendor's rules see them
        better = simplify(source)
        check_supported(graph)
        classes = _classes(graph)
        alphabet = _alphabet(request, classes)
    with _step("inputs"):
        calibration, validation = _inputs(request, graph, alphabet)
    with _step("quantize"):
        settings = request.settings
        options = Options(
            settings.method,
            settings.calib_batch_size,
            settings.head,
            settings.align_pool,
            settings.bias == "evaluation",
            calibration.fix_point,
        )
        judges = None if validation is None else to_float(validation.inputs)
        quantized = quantize(graph, calibration.values, options, better, judges)
    with _step("measure"):
        accuracy = None
        if validation is not None:
            accuracy = quality.measure(graph, quantized.network, validation)
            if not settings.report_only:
                quality.check_loss(accuracy, settings.max_accuracy_loss)
        if validation is None:
            analysis = analyze(quantized, calibration.values)
        else:
            analysis = analyze(quantized, to_float(validation.inputs), validation.labels)
    with _step("export"):
        model = export(quantized.network)
        probes = integer_inputs(quantized.network, calibration.values[:_CHECKED_INPUTS])
        compared = verify_onnx(model, quantized.network, probes, artifacts.ONNX_NAME)
        files, stock_output = _exports(quantized, source)
    with _step("write"):
        for name, data in ({artifacts.ONNX_NAME: model} | files).items():
            write_bytes(request.output / name, data)
        digest = artifacts.write_arrays(
            request.output / artifacts.CALIBRATION_NAME, {graph.input: calibration.values}
        )
        quantization = _quantization(
            request, quantized, alphabet, accuracy, digest, len(calibration.values)
        ).with_provenance(
            stock_output=stock_output,
            analysis={layer.name: layer.as_json() for layer in analysis.layers},
        )
        write_text(request.output / artifacts.PAGE_NAME, page(quantization, analysis))
        artifacts.write_quantization(request.output, quantization)
    return Result(quantization, accuracy, compared)


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    number = _STEPS.index(name) + 1
    log.info("[%d/%d] %s: %.1f s", number, len(_STEPS), name, time.monotonic() - started)


def _classes(graph: Graph) -> int:
    shape = execute.shapes(graph)[graph.output]
    if int(np.prod(shape)) != shape[-1]:
        raise GraphError(
            f"output {graph.output!r} is a map of {shape[1:]}, not one logit per class; "
            "choose the logits with --output-node"
        )
    return shape[-1]


def _alphabet(request: Request, classes: int) -> Alphabet | None:
    """Return the alphabet; None only for an array of inputs, which needs no labels."""
    found = request.alphabet or _frozen_alphabet(request.model)
    if found is None and classes == len(ALPHABET_62):
        found = ALPHABET_62
    if found is None:
        if request.uses_images or request.validation or request.held_out:
            raise InputError(
                f"{request.model}: has {classes} classes; say which characters they are, in "
                "order, with --alphabet"
            )
        return None
    if len(found) != classes:
        raise InputError(
            f"{request.model}: has {classes} classes, but the alphabet has {len(found)} symbols; "
            "give the right one with --alphabet"
        )
    return found


def _frozen_alphabet(model: Path) -> Alphabet | None:
    """Return the alphabet in the freeze stage's record beside the model, if it is of this model."""
    record = model.with_name("freeze.json")
    try:
        table = json.loads(record.read_text("utf-8"))
        if table["files"][model.name] != sha256_of(model):
            return None
        return Alphabet(tuple(table["alphabet"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _inputs(
    request: Request, graph: Graph, alphabet: Alphabet | None
) -> tuple[Calibration, Validation | None]:
    """Read calibration and validation inputs, after making sure that they are different images."""
    source, settings = request.calibration, request.settings

    @functools.cache  # calibration, validation and held-out images are often of one manifest
    def listed(path: Path) -> list[LabeledImage]:
        return [] if alphabet is None else find_labeled_images(path, alphabet)

    apart = (
        [] if request.held_out is None else calibration_images.held_out(listed(request.held_out))
    )
    # Of a manifest that is calibrated on or validated on, the test images are held out as well.
    validation = None
    validation_source = request.validation
    if request.uses_images and validation_source is None and alphabet is not None:
        validation_source = source if inputs.has_split(listed(source), "validation") else None
    if validation_source is not None and alphabet is not None:
        inputs.check_image_shape(graph.input_shape, request.model)
        images, split = inputs.choose_validation(listed(validation_source))
        validation = inputs.read_validation(images, split, alphabet)
        apart = [*apart, *images, *calibration_images.held_out(listed(validation_source))]
    if not request.uses_images or alphabet is None:
        calibration = inputs.calibration_from_npz(source, graph.input_shape)
        inputs.check_array_disjoint(source, calibration.values, apart)
        return calibration, validation
    inputs.check_image_shape(graph.input_shape, request.model)
    candidates = calibration_images.calibration_candidates(source, listed(source))
    chosen = calibration_images.choose_calibration(
        candidates, alphabet, settings.calibration_count, settings.seed
    )
    if inputs.has_split(listed(source), "train"):
        apart = [*apart, *calibration_images.held_out(listed(source))]
    calibration_images.check_disjoint(candidates, chosen, apart)
    return inputs.calibration_from_images(chosen), validation


def _exports(quantized: Quantized, source: Graph) -> tuple[dict[str, bytes], str]:
    """Return all other models by file name, and the logits' node of the stock graph."""
    named = Source(quantized.graph, source)
    stock, output = stock_model(named, quantized.network)
    files = {
        artifacts.EVAL_NAME: eval_model(named, quantized.positions, quantized.method),
        artifacts.DEPLOY_NAME: deploy_model(named, quantized.positions),
        artifacts.STOCK_NAME: stock,
        artifacts.QDQ_NAME: export_qdq(quantized.network),
    }
    return files, output


def bias_positions(quantized: Quantized) -> dict[str, int]:
    """Fix points of biases, by name, as the method found them."""
    return {
        names.bias: quantized.positions[names.bias]
        for names in tensor_names(quantized.graph)
        if names.bias is not None
    }


def _quantization(
    request: Request,
    quantized: Quantized,
    alphabet: Alphabet | None,
    accuracy: quality.Accuracy | None,
    digest: str,
    count: int,
) -> Quantization:
    return Quantization(
        network=quantized.network,
        input_name=quantized.graph.input,
        tensors=tuple(tensor_names(quantized.graph)),
        alphabet=alphabet,
        logit_scale=quantized.logit_scale,
        bias_positions=bias_positions(quantized),
        provenance={
            "source": {"file": request.model.name, "sha256": sha256_of(request.model)},
            "method": quantized.method,
            "logit_errors": quantized.logit_errors,
            "ties": quantized.ties,
            "calibration": {
                "file": artifacts.CALIBRATION_NAME,
                "sha256": digest,
                "count": count,
                "source": request.calibration.name,
            },
            "accuracy": None if accuracy is None else accuracy.as_json(),
            "settings": request.settings.as_json(),
        },
    )
