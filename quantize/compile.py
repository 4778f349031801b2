"""From the files of `run` to a bundle: everything that a board needs, in one file."""

from dataclasses import dataclass
from pathlib import Path

from edge_runtime import __version__, preprocess
from edge_runtime.alphabet import ALPHABET_62, Alphabet
from edge_runtime.board import read_board
from edge_runtime.bundle import Bundle, GoldenVectors, read_bundle, write_bundle
from edge_runtime.errors import InputError
from edge_runtime.files import sha256_of
from edge_runtime.layers import Int8
from edge_runtime.scores import build_table
from quantize import artifacts, gate, golden, inputs
from quantize.artifacts import Quantization, read_quantization
from quantize.core.pack import with_core
from quantize.methods import integer_inputs
from quantize.vendor import positions
from quantize.vendor.kernel import read_artifact

_RECORDED = (
    "model.onnx",
    "frozen_model.pb",
    artifacts.ONNX_NAME,
    artifacts.STOCK_NAME,
    artifacts.DEPLOY_NAME,
    artifacts.JSON_NAME,
)
_SEED = 20160610


@dataclass(frozen=True)
class CompileRequest:
    """What `compile` is asked for.

    folder : where `run` wrote its files
    dpu_kernel : what the vendor's compiler made for the board, put into the bundle
    vendor : folder of the vendor quantizer's graphs, where the kernel was made of them
    core : name of the open core's configuration that the network is compiled for, too
    """

    folder: Path
    output: Path
    name: str
    board: str = "host"
    dpu_kernel: Path | None = None
    alphabet: Alphabet | None = None
    vendor: Path | None = None
    core: str | None = None


def compile_bundle(request: CompileRequest) -> Bundle:
    """Write a bundle, read it back and run its self-test.

    Raises
    ------
    GraphError
        When the open core cannot run the network.
    InputError
        When files of `run` are missing or changed since, the network's input is not what a
        board's preprocessing makes, or the kernel is not this network's or for this board.
    VerificationError
        When the vendor's graphs that the kernel was made of are not this network.
    """
    quantization = read_quantization(request.folder)
    _check_input(quantization, request.folder)
    _check_source(quantization, request.folder)
    calibrated = gate.read_gate(
        request.folder / gate.FILE_NAME, quantization.provenance["source"]["sha256"]
    )
    network = quantization.network
    if request.vendor is not None:
        positions.check_same(quantization, request.vendor)
    board = read_board(request.board)
    path = request.dpu_kernel
    kernel = None if path is None else read_artifact(path, network, board)
    bundle = Bundle(
        name=request.name,
        alphabet=_alphabet(quantization, request),
        network=network,
        scores=build_table(
            network.int32_logits,
            network.logits_fix_point,
            quantization.logit_scale,
            calibrated.temperature,
        ),
        golden=GoldenVectors.record(network, golden_inputs(quantization, request.folder)),
        manifest={
            "created_by": f"edgeglyph {__version__}",
            "board": request.board,
            "source": quantization.provenance["source"],
            "calibration": quantization.provenance["calibration"],
            "method": quantization.provenance["method"],
            "accuracy": quantization.provenance["accuracy"],
            "scores": {
                "logit_scale": quantization.logit_scale,
                "temperature": calibrated.temperature,
                "gate": calibrated.as_json(),
            },
            "files": {
                name: sha256_of(request.folder / name)
                for name in _RECORDED
                if (request.folder / name).is_file()
            }
            | calibrated.files,
        },
        dpu=kernel,
    )
    if request.core is not None:
        bundle = with_core(bundle, request.core)
    write_bundle(request.output, bundle)
    written = read_bundle(request.output)
    written.self_test()
    return written


def golden_inputs(quantization: Quantization, folder: Path) -> Int8:
    """Inputs of the self-test, chosen from the calibration's and from noise; int8."""
    network = quantization.network
    path = folder / artifacts.CALIBRATION_NAME
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `python -m quantize run` again")
    if sha256_of(path) != quantization.provenance["calibration"]["sha256"]:
        raise InputError(
            f"{path}: is not the file that {artifacts.JSON_NAME} was written with; "
            "run `python -m quantize run` again"
        )
    values = inputs.calibration_from_npz(path, network.input_shape).values
    return golden.choose(network, integer_inputs(network, values), _SEED)


def _check_input(quantization: Quantization, folder: Path) -> None:
    network = quantization.network
    if network.input_fix_point != preprocess.FIX_POINT:
        raise InputError(
            f"{folder / artifacts.JSON_NAME}: its input has fix point {network.input_fix_point}, "
            f"but a board's preprocessing emits fix point {preprocess.FIX_POINT}; calibrate with "
            "images, or with an .npz of preprocessed ones"
        )
    inputs.check_image_shape(network.input_shape, folder / artifacts.JSON_NAME)


def _check_source(quantization: Quantization, folder: Path) -> None:
    """Refuse a folder whose float model was replaced after it was quantized."""
    source = quantization.provenance["source"]
    path = folder / source["file"]
    if path.is_file() and sha256_of(path) != source["sha256"]:
        raise InputError(
            f"{path}: is not the model that {artifacts.JSON_NAME} was made from; "
            "run `python -m quantize run` again"
        )


def _alphabet(quantization: Quantization, request: CompileRequest) -> Alphabet:
    found = request.alphabet or quantization.alphabet
    if found is None and quantization.classes == len(ALPHABET_62):
        found = ALPHABET_62
    if found is None or len(found) != quantization.classes:
        has = "no alphabet" if found is None else f"an alphabet of {len(found)} symbols"
        raise InputError(
            f"{request.folder / artifacts.JSON_NAME}: has {quantization.classes} classes and "
            f"{has}; give the characters in order with --alphabet"
        )
    return found
