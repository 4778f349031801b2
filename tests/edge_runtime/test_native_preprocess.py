"""C++ preprocessing against the Python one, value by value.

A network that copies its 1,024 inputs to its logits shows what preprocessing made.
"""

import json

import numpy as np
import pytest

from edge_runtime.alphabet import Alphabet
from edge_runtime.bundle import Bundle, GoldenVectors, write_bundle
from edge_runtime.integer import Activation, Conv, IntegerNetwork
from edge_runtime.preprocess import preprocess
from edge_runtime.scores import build_table
from tests.networks import hard_inputs


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """Path of a bundle whose logits are its inputs."""
    weights = np.eye(1024, dtype=np.int8).reshape(1024, 32, 32, 1)
    bias, no_pad = np.zeros(1024, np.int8), (0, 0, 0, 0)
    copy = Conv("copy", -1, weights, bias, (1, 1), no_pad, Activation.NONE, 0, 0, 7, False, True)
    network = IntegerNetwork((32, 32, 1), 7, (copy,))
    bundle = Bundle(
        "mirror",
        Alphabet(tuple(chr(0x4E00 + i) for i in range(1024))),
        network,
        build_table(True, network.logits_fix_point, 1.0, 1.0),
        GoldenVectors.record(network, hard_inputs(0)[:2]),
    )
    path = tmp_path_factory.mktemp("mirror") / "a.egb"
    write_bundle(path, bundle)
    return path


def pictures():
    """Sizes that are halved, cut in whole pixels or not, enlarged, long, above 2^24 pixels."""
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (32, 32), (96, 32), (160, 64), (1, 1), (2, 3), (31, 33), (63, 65), (64, 100)]
    sizes += [(100, 64), (7, 2000), (3000, 5), (33, 640), (16384, 1), (1, 16384), (4100, 4100)]
    sizes += [(int(h), int(w)) for h, w in rng.integers(1, 200, (40, 2))]
    for height, width in sizes:
        yield rng.integers(0, 256, (height, width), dtype=np.uint8)
    for low in range(0, 250, 7):  # every contrast, and flat ones
        high = int(rng.integers(low, 256))
        yield rng.integers(low, high + 1, (64, 64), dtype=np.uint8)
    for span in range(5, 12):
        steps = np.linspace(100, 100 + span, 64).astype(np.uint8)
        yield np.broadcast_to(steps, (64, 64)).copy()
    yield np.where(rng.integers(0, 50, (32, 32)) > 0, 255, 0).astype(np.uint8)


def test_every_value_is_that_of_python(mirror, classify_native, tmp_path):
    expected = []
    for i, gray in enumerate(pictures()):
        header = f"P5 {gray.shape[1]} {gray.shape[0]} 255\n".encode()
        (tmp_path / f"{i:03d}.pgm").write_bytes(header + gray.tobytes())
        expected.append(preprocess(gray).ravel())
    code, out, _ = classify_native("--bundle", mirror, "--json", "--top-k", "1", tmp_path)
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == len(expected)
    for line, wanted in zip(lines, expected, strict=True):
        answer = json.loads(line)
        assert np.array_equal(answer["logits"], wanted), answer["path"]
