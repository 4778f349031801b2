"""What a vendor's compiler wrote, as text: kernels, nodes, sizes, fix points, DPU, parameters."""

from pathlib import Path
from typing import Any

from tabulate import tabulate

from edge_runtime.errors import InputError
from quantize.vendor.dnndk_elf import Kernel, Tensor, kernels_of
from quantize.vendor.elf_file import MAGIC, parse_elf
from quantize.vendor.xmodel import Subgraph, Xmodel, XTensor, parse_xmodel

SUFFIXES = (".elf", ".so", ".xmodel")


def read_bytes(path: Path) -> bytes:
    """Read an artifact's bytes; `InputError` where that cannot be."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give what dnnc or vai_c wrote") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def kernels_in(path: Path) -> list[Kernel] | Xmodel:
    """Read an artifact: the kernels of an ELF file, or an xmodel."""
    data = read_bytes(path)
    if data.startswith(MAGIC):
        return kernels_of(parse_elf(data, str(path)), str(path))
    return parse_xmodel(data, str(path))


def describe_artifact(path: Path) -> str:
    """Describe an ELF file of dnnc or vai_c, or an xmodel.

    Raises
    ------
    InputError
        When it is none of them, or damaged.
    """
    found = kernels_in(path)
    size = f"{path.name}, {path.stat().st_size:,} bytes"
    if isinstance(found, Xmodel):
        parts = [
            facts_table({"xmodel": size, "graph": found.name, "subgraphs": len(found.subgraphs)})
        ]
        parts += [_subgraph(each) for each in found.subgraphs]
    else:
        elf = parse_elf(read_bytes(path), str(path))
        parts = [facts_table({"ELF file": f"{size}, {elf.bits} bits, {elf.machine}"})]
        parts += [_kernel(each) for each in found]
    return "\n\n".join(parts)


def _kernel(kernel: Kernel) -> str:
    parallelism = kernel.parallelism
    facts: dict[str, Any] = {
        "kernel": f"{kernel.name}{' (debug mode)' if kernel.debug else ''}",
        "DPU": kernel.dpu or "not said",
        "parallelism": "not said"
        if parallelism is None
        else f"{parallelism[0]} pixels, {parallelism[1]} input channels, "
        f"{parallelism[2]} output channels",
        "features": ", ".join(kernel.features) or "none said",
        "compiler": kernel.compiler or "not said",
        "ABI": f"{kernel.abi[0]}.{kernel.abi[1]}",
        "memory of maps": f"{kernel.map_bytes:,} bytes",
    }
    for way, inputs in (("input", True), ("output", False)):
        for node, tensor in kernel.ends(inputs):
            facts.setdefault(way, f"{node or 'no node'}: {_shape(tensor)}")
    parts = [facts_table(facts), _nodes(kernel)]
    rows = [[kind, len(data)] for kind, data in kernel.sections.items()]
    parts.append(tabulate(rows, ["section", "bytes"], tablefmt="simple", intfmt=","))
    parts += [f"remark: {remark}" for remark in kernel.remarks]
    return "\n\n".join(part for part in parts if part)


def _nodes(kernel: Kernel) -> str:
    rows: list[list[Any]] = []
    for node in kernel.nodes:
        points = ["/".join(_point(kernel, i) for i in ids) for ids in (node.inputs, node.outputs)]
        shapes = [_shape_of(kernel.tensors[i]) for i in node.outputs if i < len(kernel.tensors)]
        rows.append([node.name, node.kind, " ".join(shapes), *points, node.operations, "", "", ""])
        for parameter in node.parameters:
            where = f"{parameter.offset:,}–{parameter.offset + parameter.size:,}"
            # A damaged file's node may have no name, which nothing can be parted at.
            own = parameter.name.rpartition(node.name)[2] if node.name else parameter.name
            name = own.strip("_") or "parameter"
            shape = "×".join(map(str, parameter.shape))
            rows.append(["", name, shape, "", "", "", parameter.fix_point, where, parameter.size])
    headers = ["node", "", "height×width×channels", "in p", "out p", "operations"]
    headers += ["fix point", "parameter bytes", "size"]
    return tabulate(rows, headers, tablefmt="simple", intfmt=",") if rows else ""


def _point(kernel: Kernel, index: int) -> str:
    return str(kernel.tensors[index].fix_point) if index < len(kernel.tensors) else "?"


def _shape_of(tensor: Tensor) -> str:
    return f"{tensor.height}×{tensor.width}×{tensor.channels}"


def _shape(tensor: Tensor) -> str:
    return f"{_shape_of(tensor)}, {tensor.size:,} bytes, fix point {tensor.fix_point}"


def _subgraph(subgraph: Subgraph) -> str:
    facts: dict[str, Any] = {
        "subgraph": subgraph.name,
        "device": subgraph.device or "not said",
        "operators": subgraph.operators,
    }
    if subgraph.target or subgraph.fingerprint:
        facts["DPU"] = subgraph.target or "not said"
        facts["fingerprint"] = subgraph.fingerprint or "not said"
    for way, tensors in (("input", subgraph.inputs), ("output", subgraph.outputs)):
        for i, tensor in enumerate(tensors):
            facts[way if i == 0 else f"{way} {i + 1}"] = _tensor(tensor)
    if subgraph.blobs:
        facts["parameters"] = f"{sum(map(len, subgraph.blobs.values())):,} bytes"
    return facts_table(facts)


def _tensor(tensor: XTensor) -> str:
    point = "no fix point" if tensor.fix_point is None else f"fix point {tensor.fix_point}"
    return f"{tensor.name}: {'×'.join(map(str, tensor.shape))}, {point}"


def facts_table(facts: dict[str, Any]) -> str:
    """Return names and values, one a line, in two columns."""
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())
