"""A bundle's section ``dpu``: written, read, and refused where it is not the network's."""

import json
import struct
from dataclasses import asdict, replace

import pytest

from edge_runtime import container
from edge_runtime.bundle import read_bundle, write_bundle
from edge_runtime.dpu_kernel import DpuKernel
from edge_runtime.errors import BundleError
from tests.conftest import branched_bundle, toy_bundle

KERNEL = DpuKernel(
    flow="dnndk",
    kind="elf",
    net="toy",
    kernel="toy_0",
    input_node="conv",
    input_size=1024,
    input_fix_point=7,
    output_node="dense",
    output_size=62,
    output_fix_point=3,
    target="B1152",
    fingerprint="",
    artifact=b"\x7fELF and more",
)
XMODEL = replace(
    KERNEL, flow="vitis-ai", kind="xmodel", artifact=b"\x0a\x03toy", fingerprint="0x0101"
)


@pytest.mark.parametrize("kernel", [KERNEL, XMODEL])
def test_round_trip(kernel, tmp_path):
    path = tmp_path / "b.egb"
    write_bundle(path, replace(toy_bundle(), dpu=kernel))
    assert read_bundle(path).dpu == kernel
    section = container.unpack(path.read_bytes(), "b")["dpu"]
    (size,) = struct.unpack_from("<I", section)
    assert section[4 + size :] == kernel.artifact
    header = json.loads(section[4 : 4 + size])
    assert len(header.pop("sha256")) == 64
    assert header == {k: v for k, v in asdict(kernel).items() if k != "artifact"}
    write_bundle(path, toy_bundle())
    assert read_bundle(path).dpu is None
    assert "dpu" not in container.unpack(path.read_bytes(), "b")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flow": "hls"}, "no artifact 'elf' of the flow 'hls'"),
        ({"kind": "xmodel"}, "no artifact 'xmodel' of the flow 'dnndk'"),
        ({"kernel": ""}, "a name is empty"),
        ({"artifact": b"text"}, "its artifact is no elf file"),
        ({"artifact": b""}, "its artifact is no elf file"),
        ({"input_size": "1024"}, "input_size is of another type: '1024'"),
        ({"input_size": True}, "input_size is of another type: True"),
        ({"target": None}, "target is of another type: None"),
    ],
)
def test_impossible_kernels(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(KERNEL, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_size": 784}, "input_size is 784, but the network's is 1024"),
        ({"input_fix_point": 6}, "input_fix_point is 6, but the network's is 7"),
        ({"output_size": 10}, "output_size is 10, but the network's is 62"),
        ({"output_fix_point": 4}, "output_fix_point is 4, but the network's is 3"),
    ],
)
def test_kernels_of_another_network(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(toy_bundle(), dpu=replace(KERNEL, **changes))
    with pytest.raises(ValueError, match="int8 logits"):
        replace(branched_bundle(), dpu=KERNEL)


def damaged(change):
    """The section of KERNEL with another header."""
    section = KERNEL.pack()
    (size,) = struct.unpack_from("<I", section)
    header = json.loads(section[4 : 4 + size])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + section[4 + size :]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (b"", "unpack_from requires"),
        (struct.pack("<I", 50) + b"{}", "lies outside the section"),
        (struct.pack("<I", 70000) + bytes(80000), "lies outside the section"),
        (struct.pack("<I", 2) + b"[]", "must have the keys"),
        (damaged(lambda h: h.pop("net")), "must have the keys"),
        (damaged(lambda h: h.update(more=1)), "must have the keys"),
        (damaged(lambda h: h.update(sha256="0" * 64)), "has another SHA-256"),
        (damaged(lambda h: h.update(output_size=10)), "but the network's is 62"),
        (KERNEL.pack()[:-1], "has another SHA-256"),
    ],
)
def test_damaged_sections(section, words, tmp_path):
    path = tmp_path / "b.egb"
    write_bundle(path, replace(toy_bundle(), dpu=KERNEL))
    sections = container.unpack(path.read_bytes(), "b") | {"dpu": section}
    path.write_bytes(container.pack(sections))
    with pytest.raises(BundleError) as error:
        read_bundle(path)
    assert words in str(error.value)
