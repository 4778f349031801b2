"""Reading what dnnc and vai_c write: `quantize info` and `quantize verify … ARTIFACT`."""

import dataclasses
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.bundle import write_bundle
from edge_runtime.errors import InputError
from edge_runtime.layers import Conv
from quantize.__main__ import main
from quantize.vendor.dnndk_elf import kernels_of
from quantize.vendor.elf_file import parse_elf
from quantize.vendor.find_integers import Area, find_bias, find_weights
from quantize.vendor.info import describe_artifact
from quantize.vendor.xmodel import parse_xmodel
from tests import xmodel_files
from tests.conftest import toy_bundle, toy_network
from tests.dnndk_files import dnndk_elf, elf_file


@pytest.fixture
def toy(tmp_path):
    """A bundle, and the ELF file that dnnc would make of its network."""
    write_bundle(tmp_path / "toy.egb", toy_bundle())
    (tmp_path / "toy.elf").write_bytes(dnndk_elf(toy_network(62)))
    return tmp_path


def test_info_of_an_elf(toy, run_cli):
    code, out, err = run_cli(main, "info", toy / "toy.elf")
    assert (code, err) == (0, "")
    for words in (
        "kernel          chars_0\n",
        "DPU             B1152, target v1.4.0, low RAM usage\n",
        "4 pixels, 12 input channels, 12 output channels",
        "compiler        dnnc 3.00\n",
        "ABI             2.0\n",
        "input           conv: 32×32×1, 1,024 bytes, fix point 7\n",
        "output          dense: 1×1×62, 62 bytes, fix point 3\n",
    ):
        assert words in out
    rows = [line.split() for line in out.splitlines()]
    assert ["weights", "1×1×6×62", "6", "80–452", "372"] in rows
    assert ["parameter", "528"] in rows


def test_what_is_read_is_what_was_written():
    network = toy_network(62)
    elf = parse_elf(dnndk_elf(network, "net_0"), "x")
    (kernel,) = kernels_of(elf, "x")
    assert (elf.bits, elf.machine, kernel.name, kernel.remarks) == (32, "arm", "net_0", ())
    assert [node.name for node in kernel.nodes] == ["conv", "pool", "dense"]
    assert [tensor.fix_point for tensor in kernel.tensors] == [7, 5, 5, 3]
    for node, layer in zip(kernel.nodes, network.layers, strict=True):
        data = [kernel.sections["parameter"][p.offset :][: p.size] for p in node.parameters]
        if isinstance(layer, Conv):
            assert data == [layer.weights.tobytes(), layer.bias.tobytes()]


def test_files_of_64_bits_and_several_kernels():
    network = toy_network(62)
    sections = {
        section.name: section.data
        for name in ("a_0", "a_1")
        for section in parse_elf(dnndk_elf(network, name), "x").sections
        if section.name.startswith(".deephi.")
    }
    elf = parse_elf(elf_file(sections, bits=64), "x")
    assert (elf.bits, elf.machine) == (64, "aarch64")
    kernels = kernels_of(elf, "x")
    assert [kernel.name for kernel in kernels] == ["a_0", "a_1"]
    assert kernels[1].ends(inputs=True)[0][0] == "conv"


def test_files_before_abi_1_6():
    """One row of 21 words a node; names in the symbol table; weights and bias in two sections."""
    node = [0, 5000, 0, 32, 32, 1, 0, 1024, 8, 7, 1, 1, 62, 0, 62, 8, 3, 8, 6, 8, 0xFFFFFFFE]
    strings = b"\0DPU_1152FA\0dnnc 2\0"
    metadata = struct.pack("<16I", 1, 12, 0, 1, 84, 2048, 0, 0, 0, 0x10000, 2 << 16 | 8, *[0] * 5)
    names = b"\0_dpu_n_0_code_conv\0"
    symbols = bytes(16) + struct.pack("<IIIBBH", 1, 0, 4, 0x12, 0, 2)
    sections = {
        ".deephi.metadata.n_0": metadata,
        ".deephi.code.n_0": b"code",
        ".deephi.tensor.n_0": struct.pack("<21I", *node),
        ".deephi.strtab.n_0": strings,
        ".deephi.weights.n_0": bytes(range(100)),
        ".deephi.bias.n_0": bytes(range(62)),
        ".symtab": symbols,
        ".strtab": names,
    }
    data = bytearray(elf_file(sections))
    (table,) = struct.unpack_from("<I", data, 32)
    struct.pack_into("<I", data, table + 40 * 7 + 24, 8)  # .symtab names its strings
    (kernel,) = kernels_of(parse_elf(bytes(data), "x"), "x")
    assert (kernel.dpu, kernel.compiler, kernel.abi) == ("B1152, target v1.4.0", "dnnc 2", (1, 0))
    (found,) = kernel.nodes
    assert (found.name, found.operations) == ("conv", 5000)
    assert [p.fix_point for p in found.parameters] == [6, -2]
    assert [end.size for _, end in kernel.ends(True) + kernel.ends(False)] == [1024, 62]


def test_what_can_be_read_of_a_damaged_kernel_is_kept():
    whole = {s.name: s.data for s in parse_elf(dnndk_elf(toy_network(62)), "x").sections}
    whole[".deephi.node.chars_0"] = whole[".deephi.node.chars_0"][:200]
    (kernel,) = kernels_of(parse_elf(elf_file(whole), "x"), "x")
    assert [node.name for node in kernel.nodes] == ["conv"]
    assert kernel.remarks == ("1 of its 3 nodes can be read (the section node ends inside a node)",)
    whole[".deephi.metadata.chars_0"] = b""
    (kernel,) = kernels_of(parse_elf(elf_file(whole), "x"), "x")
    assert kernel.remarks == ("its metadata are missing or cut off",)


def test_a_node_without_a_name_is_described(tmp_path):
    broken = bytearray(dnndk_elf(toy_network(4)))
    broken[936] = 0  # the first byte of a node's name
    path = tmp_path / "nameless.elf"
    path.write_bytes(broken)
    assert "parameter" in describe_artifact(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_files_get_one_line(data, tmp_path_factory):
    """Cut off anywhere, or any bytes changed: read, or refused in one line; nothing else."""
    kind = data.draw(st.sampled_from(["elf", "xmodel"]))
    whole = dnndk_elf(toy_network(4)) if kind == "elf" else XMODEL
    cut = data.draw(st.integers(0, len(whole)))
    broken = bytearray(whole if data.draw(st.booleans()) else whole[:cut])
    for at in data.draw(st.lists(st.integers(0, max(len(broken) - 1, 0)), max_size=4)):
        if broken:
            broken[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"broken.{kind}"
    path.write_bytes(bytes(broken))
    try:
        text = f"{path}: {describe_artifact(path)}"
    except InputError as refused:
        text = str(refused)
        lines = text.splitlines()
        assert len(lines) == 1, lines
    assert text.startswith(str(path))
    assert all(c.isprintable() or c == "\n" for c in text)


def test_what_is_no_artifact(tmp_path, run_cli):
    for name, content, words in [
        ("a.elf", None, "no such file"),
        ("a.elf", b"", "is no xmodel"),
        ("a.elf", b"\x7fELF", "or cut off"),
        ("a.elf", elf_file({".text": b"code"}), "without a DPU kernel"),
        ("a.xmodel", b"PK\3\4 zip", "is no xmodel"),
        ("a.txt", b"text", "expected a bundle"),
    ]:
        path = tmp_path / name
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        code, out, err = run_cli(main, "info", path)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert words in err


# --- xmodel --------------------------------------------------------------------------------------


def xmodel(network, devices=1):
    """The xmodel of a network: its weights lie in a map of the DPU subgraph."""
    parameters = b"".join(
        layer.weights.tobytes() + layer.bias.tobytes()
        for layer in network.layers
        if isinstance(layer, Conv)
    )
    return xmodel_files.xmodel((7, -3), network.classes, parameters, devices)


XMODEL = xmodel(toy_network(62))


def test_info_of_an_xmodel(tmp_path, run_cli):
    (tmp_path / "a.xmodel").write_bytes(XMODEL)
    code, out, _ = run_cli(main, "info", tmp_path / "a.xmodel")
    assert code == 0
    for words in (
        "graph      chars\nsubgraphs  3\n",
        "device       DPU\n",
        "DPU          DPUCZDX8G_ISA1_B4096\nfingerprint  0x0101000056010407\n",
        "input        input: 1×32×32×1, fix point 7\n",
        "output       dense: 1×1×1×62, fix point -3\n",
        "parameters   494 bytes",
    ):
        assert words in out
    assert len(parse_xmodel(xmodel(toy_network(62), 2), "x").on_dpu()) == 2


def test_verify_finds_integers_in_an_xmodel(toy, run_cli):
    (toy / "a.xmodel").write_bytes(XMODEL)
    code, out, _ = run_cli(main, "verify", toy / "toy.egb", toy / "a.xmodel")
    assert code == 0
    assert "at 0 of subgraph_0, reg_id_to_parameter_value[REG_0] (out, height, width, in)" in out


# --- finding integers ----------------------------------------------------------------------------


def test_verify_finds_every_layer(toy, run_cli):
    code, out, err = run_cli(main, "verify", toy / "toy.egb", toy / "toy.elf")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first == (
        "found      conv: weights at 0 of .deephi.parameter.chars_0 (out, height, width, in); "
        "bias at 64 of .deephi.parameter.chars_0 (plain); fix point of weights 4; fix point of "
        "bias 9"
    )
    assert second.startswith("found      dense: weights at 80 of ")


@pytest.mark.parametrize("which", ["weights", "bias", "fix_point"])
def test_one_number_that_differs_is_not_found(which, toy, run_cli):
    network = toy_network(62)
    dense = network.layers[2]
    if which == "fix_point":
        changed = dataclasses.replace(dense, shift_bias=4)
    else:
        values = getattr(dense, which).copy()
        values.flat[17] ^= 1
        changed = dataclasses.replace(dense, **{which: values})
    other = dataclasses.replace(network, layers=(*network.layers[:2], changed))
    (toy / "b.elf").write_bytes(dnndk_elf(other))
    code, out, err = run_cli(main, "verify", toy / "toy.egb", toy / "b.elf")
    assert code == 1
    first, second = out.splitlines()
    assert first.startswith("found      conv")
    words = {"weights": "372 weights stand", "bias": "bias stands", "fix_point": "bias 7 there, 8"}
    assert second.startswith("NOT FOUND  dense: ")
    assert words[which] in second
    assert "1 of 2 layers were not found" in err


def blocked(weights, channels_in, channels_out, order):
    """Channels in blocks, by another way than the searcher's: one value after another."""
    out, height, width, depth = weights.shape
    sizes = {
        "O": -(-out // channels_out),
        "o": channels_out,
        "H": height,
        "W": width,
        "I": -(-depth // channels_in),
        "i": channels_in,
    }
    result = bytearray()
    for index in np.ndindex(*(sizes[axis] for axis in order)):
        at = dict(zip(order, index, strict=True))
        o, i = at["O"] * channels_out + at["o"], at["I"] * channels_in + at["i"]
        inside = o < out and i < depth
        value = int(weights[o, at["H"], at["W"], i]) if inside else 0
        result.append(value % 256)
    return bytes(result)


def padded_to(weights, n):
    return b"".join(
        row.tobytes() + bytes(-len(row) % n) for row in weights.reshape(-1, weights.shape[-1])
    )


LAYOUTS = {
    "order OHWI": lambda w: w.tobytes(),
    "order HWIO": lambda w: w.transpose(1, 2, 3, 0).tobytes(),
    "order IOHW": lambda w: w.transpose(3, 0, 1, 2).tobytes(),
    "in padded to 12": lambda w: padded_to(w, 12),
    "in padded to 16": lambda w: padded_to(w, 16),
    "kernels padded": lambda w: padded_to(w.reshape(len(w), -1), 16),
    "kernels apart": lambda w: b"".join(k.tobytes() + bytes(37) for k in w),
    "blocks without padding": lambda w: b"".join(
        w[o : o + 12, :, :, i : i + 12].transpose(1, 2, 0, 3).tobytes()
        for o in range(0, len(w), 12)
        for i in range(0, w.shape[3], 12)
    ),
    "kernels of blocks": lambda w: b"".join(
        k[:, :, i : i + 12].tobytes() for k in w for i in range(0, w.shape[3], 12)
    ),
    "blocks": lambda w: blocked(w, 12, 12, "OIHWoi"),
    "blocks, in first": lambda w: blocked(w, 12, 12, "IOHWoi"),
    "rows apart": lambda w: b"".join(
        r.tobytes() + b"\1\2" for r in w.reshape(-1, w.shape[-1])[::-1]
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_weights_are_found_in_any_layout(layout):
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, 3000).astype(np.uint8).tobytes()
    for shape in [(20, 3, 3, 14), (13, 1, 1, 31)]:
        weights = rng.integers(-128, 128, shape).astype(np.int8)
        areas = [Area("noise", noise), Area("area", noise + layout(weights) + noise, (12, 12))]
        place = find_weights(weights, areas)
        assert place is not None
        assert (place.area, place.offset) == ("area", 3000)
        weights.flat[-1] ^= 1
        assert find_weights(weights, areas) is None


def test_biases_are_found_in_blocks():
    rng = np.random.default_rng(2)
    bias = rng.integers(-128, 128, 62).astype(np.int8)
    noise = rng.integers(0, 256, 500).astype(np.uint8).tobytes()
    data = bias.tobytes()
    for stored in (
        data,
        b"".join(data[i : i + 12] + bytes(4) for i in range(0, 62, 12)),
        b"".join(data[i : i + 12] + noise for i in range(0, 62, 12)),
    ):
        place = find_bias(bias, [Area("area", noise + stored + noise, (12, 12))])
        assert place is not None
        assert place.offset == 500
    assert find_bias(bias, [Area("area", noise)]) is None


def test_integers_of_a_deploy_model(toy, run_cli, tmp_path):
    """The vendor's graph; a bias finer than its sums is searched as the board has it."""
    from quantize import graph_def

    network = toy_network(62)
    writer = graph_def.GraphWriter()
    for layer in (network.layers[0], network.layers[2]):
        dense = layer.weights.shape[1:3] == (1, 1)
        order = layer.weights.reshape(62, 6).T if dense else layer.weights.transpose(1, 2, 3, 0)
        writer.add(
            "MatMul" if dense else "Conv2D",
            layer.name,
            weights=np.ldexp(order.astype(np.float32), -4),
            bias=np.ldexp(layer.bias.astype(np.float32), -9),
            wpos=[8, 4],
            bpos=[8, 9],
            ipos=[8, 7 if not dense else 4],
        )
    path = toy / "deploy_model.pb"
    path.write_bytes(writer.serialized())
    code, out, _ = run_cli(main, "verify", path, toy / "toy.elf")
    assert code == 1
    first, second = out.splitlines()
    assert first.startswith("found      conv: weights at 0 of ")
    assert second.startswith("NOT FOUND  dense: its bias stands nowhere")  # halved: pb 9, sums at 8
    halved = (network.layers[2].bias.astype(int) + 1) >> 1
    changed = dataclasses.replace(network.layers[2], bias=halved.astype(np.int8))
    other = dataclasses.replace(network, layers=(*network.layers[:2], changed))
    (toy / "c.elf").write_bytes(dnndk_elf(other))
    _, out, _ = run_cli(main, "verify", path, toy / "c.elf")
    assert "bias at 464 of" in out.splitlines()[1]
    empty = graph_def.GraphWriter()
    empty.add("Placeholder", "x")
    path.write_bytes(empty.serialized())
    assert "it is no deploy_model.pb" in run_cli(main, "verify", path, toy / "toy.elf")[2]
