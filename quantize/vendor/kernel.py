"""What a vendor's compiler wrote, checked against the network that it was made of.

The artifact goes into a bundle only if it is one DPU kernel with this network's first and last
node, its sizes and fix points, compiled for the board's DPU.
"""

import math
import re
from pathlib import Path

from edge_runtime.board import Board
from edge_runtime.dpu_kernel import ELF_MAGIC, DpuKernel
from edge_runtime.errors import InputError
from edge_runtime.layers import Conv, IntegerNetwork
from quantize.vendor.dnndk_elf import Kernel, Tensor, kernels_of
from quantize.vendor.elf_file import parse_elf
from quantize.vendor.xmodel import XTensor, parse_xmodel


def read_artifact(path: Path, network: IntegerNetwork, board: Board) -> DpuKernel:
    """Read an artifact and check it against the network and the board.

    Raises
    ------
    InputError
        When it cannot be read, is no artifact, has several kernels, other nodes, sizes or fix
        points than the network, or is for another DPU.
    """
    if board.dpu is None:
        raise InputError(
            f"{path}: board {board.name} has no DPU (no table [dpu] in its description)"
        )
    if network.int32_logits:
        raise InputError(
            f"{path}: a DPU kernel gives int8 logits, but this network leaves its "
            "last layer to the CPU; quantize with --head dpu"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if data.startswith(ELF_MAGIC):
        found = _of_elf(path, data, board)
        _check_nodes(path, found, network)
    else:
        found = _of_xmodel(path, data, board)
    try:
        found.check(network)
    except ValueError as error:
        raise InputError(f"{path}: {error}; it was compiled from another network") from None
    return found


def expected_ends(network: IntegerNetwork) -> list[str]:
    """Options of the compilers' wrappers: the ends that a kernel of this network must have.

    Raises
    ------
    InputError
        When no DPU kernel can give this network's int32 logits.
    """
    if network.int32_logits:
        raise InputError(
            "this network leaves its last layer to the CPU (int32 logits), so no DPU kernel can be "
            "made of it; quantize with --head dpu (make HEAD=dpu)"
        )
    first, last = _node_names(network)
    height, width, channels = network.input_shape
    return [
        *("--input-node", first, "--input-size", f"{height}*{width}*{channels}"),
        *("--output-node", last, "--output-size", f"1*1*{network.classes}"),
    ]


def _node_names(network: IntegerNetwork) -> tuple[str, str]:
    """Names of the first and the last convolution, as compilers write them."""
    names = [layer.name.replace("/", "_") for layer in network.layers if isinstance(layer, Conv)]
    return names[0], names[-1]


def _of_elf(path: Path, data: bytes, board: Board) -> DpuKernel:
    assert board.dpu is not None
    kernels = kernels_of(parse_elf(data, str(path)), str(path))
    if len(kernels) != 1:
        names = ", ".join(kernel.name for kernel in kernels)
        raise InputError(
            f"{path}: holds {len(kernels)} kernels ({names}); a bundle takes a network that is "
            "one: `python -m quantize check` names the operator that does not fit"
        )
    kernel = kernels[0]
    (input_node, source), (output_node, result) = (_end(path, kernel, way) for way in (True, False))
    size = re.match(r"B\d+", kernel.dpu)
    if size and size[0] != board.dpu.target:
        raise InputError(
            f"{path}: is compiled for a {size[0]} DPU, but board {board.name} has a "
            f"{board.dpu.target}; compile it with --board {board.name}, or "
            "with the board's own .dcf"
        )
    return DpuKernel(
        flow=board.dpu.flow,
        kind="elf",
        net=kernel.name.removesuffix("_0"),
        kernel=kernel.name,
        input_node=input_node,
        input_size=_bytes(source),
        input_fix_point=source.fix_point,
        output_node=output_node,
        output_size=_bytes(result),
        output_fix_point=result.fix_point,
        target=board.dpu.target,
        fingerprint="",
        artifact=data,
    )


def _of_xmodel(path: Path, data: bytes, board: Board) -> DpuKernel:
    """Read an xmodel; the tensors at its ends have names of the compiler's own."""
    assert board.dpu is not None
    if board.dpu.flow != "vitis-ai":
        raise InputError(
            f"{path}: is no ELF file; board {board.name} takes what dnnc wrote (dpu_NAME_0.elf)"
        )
    subgraphs = parse_xmodel(data, str(path)).on_dpu()
    if len(subgraphs) != 1:
        raise InputError(
            f"{path}: has {len(subgraphs)} DPU subgraphs; a bundle takes a network that is one: "
            "`python -m quantize check` names the operator that does not fit"
        )
    subgraph = subgraphs[0]
    wanted, found = board.dpu.fingerprint, subgraph.fingerprint
    if found and int(found, 16) != int(wanted, 16):
        raise InputError(
            f"{path}: is compiled for the DPU {found}, but board {board.name} has {wanted}; "
            "compile it for that, or change dpu.fingerprint in the board's file"
        )
    source, result = (
        _only(path, subgraph.name, way, tensors)
        for way, tensors in (("input", subgraph.inputs), ("output", subgraph.outputs))
    )
    return DpuKernel(
        flow=board.dpu.flow,
        kind="xmodel",
        net=path.stem,
        kernel=subgraph.name,
        input_node=source.name,
        input_size=math.prod(source.shape),
        input_fix_point=_point(path, source),
        output_node=result.name,
        output_size=math.prod(result.shape),
        output_fix_point=_point(path, result),
        target=board.dpu.target,
        fingerprint=f"0x{int(wanted, 16):016x}",
        artifact=data,
    )


def _only(path: Path, kernel: str, way: str, tensors: tuple[XTensor, ...]) -> XTensor:
    if len(tensors) != 1:
        raise InputError(f"{path}: subgraph {kernel} has {len(tensors)} {way}s, not one")
    return tensors[0]


def _point(path: Path, tensor: XTensor) -> int:
    if tensor.fix_point is None:
        raise InputError(f"{path}: tensor {tensor.name} states no fix point; it is not quantized")
    return tensor.fix_point


def _end(path: Path, kernel: Kernel, inputs: bool) -> tuple[str, Tensor]:
    """Return node and tensor of a kernel's only input, or output."""
    ends = kernel.ends(inputs)
    if len(ends) != 1:
        what = "inputs" if inputs else "outputs"
        why = f" ({'; '.join(kernel.remarks)})" if kernel.remarks else ""
        raise InputError(f"{path}: kernel {kernel.name} has {len(ends)} {what}, not one{why}")
    return ends[0]


def _bytes(tensor: Tensor) -> int:
    return tensor.height * tensor.width * tensor.channels


def _check_nodes(path: Path, found: DpuKernel, network: IntegerNetwork) -> None:
    """Compare the ends' names with the first and last convolution's, `_` being `/`."""
    first, last = _node_names(network)
    for way, have, wanted in (
        ("input", found.input_node, first),
        ("output", found.output_node, last),
    ):
        if have.replace("/", "_") != wanted:
            raise InputError(
                f"{path}: its {way} node is {have}, but this network's is {wanted}; it was "
                "compiled from another network"
            )
