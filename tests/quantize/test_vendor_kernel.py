"""What goes into a bundle as a DPU kernel, and what does not."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.board import read_board
from edge_runtime.errors import InputError
from quantize.vendor.elf_file import parse_elf
from quantize.vendor.kernel import expected_ends, read_artifact
from tests.conftest import branched_network, toy_network
from tests.dnndk_files import dnndk_elf, elf_file
from tests.xmodel_files import xmodel

NETWORK = toy_network(62)
ZEDBOARD, KV260 = read_board("zedboard"), read_board("kv260")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dpu_chars_0.elf"


def test_an_elf_of_dnnc(path: Path) -> None:
    path.write_bytes(dnndk_elf(NETWORK))
    found = read_artifact(path, NETWORK, ZEDBOARD)
    assert (found.flow, found.kind, found.net, found.kernel) == (
        *("dnndk", "elf", "chars", "chars_0"),
    )
    assert (found.input_node, found.input_size, found.input_fix_point) == ("conv", 1024, 7)
    assert (found.output_node, found.output_size, found.output_fix_point) == ("dense", 62, 3)
    assert (found.target, found.fingerprint) == ("B1152", "")
    assert found.artifact == path.read_bytes()
    path.write_bytes(dnndk_elf(NETWORK, "chars", target="B4096"))
    assert read_artifact(path, NETWORK, KV260).net == "chars"


def test_an_xmodel(tmp_path: Path) -> None:
    path = tmp_path / "mine.xmodel"
    path.write_bytes(xmodel())
    found = read_artifact(path, NETWORK, KV260)
    assert (found.flow, found.kind, found.net, found.kernel) == (
        *("vitis-ai", "xmodel", "mine", "subgraph_0"),
    )
    assert (found.input_node, found.output_node) == ("input", "dense")
    assert (found.input_size, found.output_size, found.target) == (1024, 62, "B4096")
    assert found.fingerprint == "0x0101000056010407"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is no xmodel"),
        (xmodel(devices=2), "has 2 DPU subgraphs"),
        (xmodel(devices=0), "has 0 DPU subgraphs"),
        (xmodel(fingerprint=0x101000016010407),
         "compiled for the DPU 0x0101000016010407, but board kv260 has 0x101000056010407"),
        (xmodel((6, 3)), "input_fix_point is 6, but the network's is 7"),
        (xmodel((7, 2)), "output_fix_point is 2, but the network's is 3"),
        (xmodel((7, None)), "tensor dense states no fix point"),
        (xmodel(classes=10), "output_size is 10, but the network's is 62"),
    ],
)  # fmt: skip
def test_other_xmodels(data: bytes, words: str, path: Path) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        read_artifact(path, NETWORK, KV260)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)


def two_kernels() -> bytes:
    sections = {
        section.name: section.data
        for name in ("a_0", "a_1")
        for section in parse_elf(dnndk_elf(NETWORK, name), "x").sections
        if section.name.startswith(".deephi.")
    }
    return elf_file(sections)


RENAMED = replace(NETWORK, layers=(replace(NETWORK.layers[0], name="other"), *NETWORK.layers[1:]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (elf_file({".text": b"code"}), "an ELF file without a DPU kernel"),
        (b"\x7fELF", "is no little-endian ELF file"),
        (two_kernels(), "holds 2 kernels (a_0, a_1)"),
        (dnndk_elf(RENAMED), "its input node is other, but this network's is conv"),
        (dnndk_elf(NETWORK, target="B4096"), "for a B4096 DPU, but board zedboard has a B1152"),
        (dnndk_elf(NETWORK, output_fix_point=2), "output_fix_point is 2, but the network's is 3"),
        (dnndk_elf(toy_network(10)), "output_size is 10, but the network's is 62"),
        (xmodel(), "is no ELF file; board zedboard takes what dnnc wrote"),
    ],
)
def test_other_elf_files(data: bytes, words: str, path: Path) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        read_artifact(path, NETWORK, ZEDBOARD)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_boards_and_networks_without_a_dpu(path: Path) -> None:
    path.write_bytes(dnndk_elf(NETWORK))
    with pytest.raises(InputError, match="board rpi has no DPU"):
        read_artifact(path, NETWORK, read_board("rpi"))
    wide = branched_network(62)
    with pytest.raises(InputError, match="quantize with --head dpu"):
        read_artifact(path, wide, ZEDBOARD)
    with pytest.raises(InputError, match="make HEAD=dpu"):
        expected_ends(wide)


def test_what_the_wrappers_are_told_to_expect() -> None:
    assert expected_ends(NETWORK) == [
        *("--input-node", "conv", "--input-size", "32*32*1"),
        *("--output-node", "dense", "--output-size", "1*1*62"),
    ]
