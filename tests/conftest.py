"""Small real inputs, drawn by the tests themselves."""

from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from edge_runtime.alphabet import ALPHABET_62, Alphabet
from edge_runtime.bundle import Bundle, GoldenVectors
from edge_runtime.layers import Activation, Add, AvgPool, Concat, Conv, IntegerNetwork, MaxPool
from edge_runtime.scores import ScoreTable, WideScoreTable

# The same examples in every run and no deadlines, so that a failure is a change's, not chance's
# nor a busy machine's; `pytest --hypothesis-profile=default` looks for new examples.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")


def draw_character(symbol: str, size: int = 28, shade: int = 0, shift: int = 0) -> Image.Image:
    """A dark character on white, in Pillow's own font."""
    image = Image.new("L", (size, size + 4), 255)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text((size / 4 + shift, 0), symbol, fill=shade, font=font)
    return image


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of the ten digits, five different images each."""
    root = tmp_path_factory.mktemp("digits")
    for symbol in "0123456789":
        folder = root / f"Sample{int(symbol) + 1:03d}"
        folder.mkdir()
        for i in range(5):
            draw_character(symbol, 24 + 3 * i, 10 * i, i % 3).save(folder / f"{i}.png")
    return root


def toy_network(classes: int, seed: int = 0) -> IntegerNetwork:
    """A small random integer network with every kind of layer."""
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> np.ndarray:
        return rng.integers(-128, 128, shape).astype(np.int8)

    return IntegerNetwork(
        (32, 32, 1),
        7,
        (
            Conv(
                "conv",
                -1,
                random(6, 3, 3, 1),
                random(6),
                (4, 4),
                (0, 1, 0, 1),
                Activation.RELU,
                6,
                2,
                5,
            ),
            AvgPool("pool", 0, (8, 8), (8, 8), 1, 6, 5),
            Conv(
                "dense",
                1,
                random(classes, 1, 1, 6),
                random(classes),
                (1, 1),
                (0, 0, 0, 0),
                Activation.NONE,
                8,
                3,
                3,
            ),
        ),
    )


def toy_bundle(alphabet: Alphabet = ALPHABET_62, seed: int = 0) -> Bundle:
    network = toy_network(len(alphabet), seed)
    rng = np.random.default_rng(seed + 1)
    inputs = rng.integers(-128, 128, (3, 32, 32, 1)).astype(np.int8)
    return Bundle(
        "toy",
        alphabet,
        network,
        ScoreTable.build(3, 1.0, 1.0),
        GoldenVectors.record(network, inputs),
    )


def branched_network(classes: int, seed: int = 0) -> IntegerNetwork:
    """A random network of every kind of layer and activation, with branches and int32 logits."""
    rng = np.random.default_rng(seed)
    none = (0, 0, 0, 0)

    def conv(name: str, source: int, shape: tuple[int, ...], function: str, **changes: int) -> Conv:
        weights = rng.integers(-128, 128, shape).astype(np.int8)
        bias = rng.integers(-128, 128, shape[0]).astype(np.int8)
        values = {"shift_cut": 9, "shift_bias": 3, "fix_point": 4} | changes
        pad = (1, 1, 1, 1) if shape[1] == 3 else none
        options = {
            "depthwise": shape[3] == 1 and source >= 0,
            "int32_output": values["shift_cut"] == 0,
        }
        return Conv(
            name, source, weights, bias, (1, 1), pad, Activation(function), **values, **options
        )

    return IntegerNetwork(
        (32, 32, 1),
        7,
        (
            MaxPool("shrink", -1, (3, 3), (4, 4), (1, 0, 0, 1), 1, 6),
            conv("stem", 0, (4, 3, 3, 1), "relu6"),
            conv("depthwise", 1, (8, 3, 3, 1), "leaky_relu", fix_point=3),
            conv("point", 1, (8, 1, 1, 4), "none"),
            Add("sum", (2, 3), (1, 0), Activation.LEAKY_RELU, 1, 3),
            Concat("join", (4, 2), 3),
            AvgPool("mean", 5, (8, 8), (8, 8), 1, 5, 4),
            conv("dense", 6, (classes, 1, 1, 16), "none", shift_cut=0, fix_point=9),
        ),
    )


def branched_bundle(alphabet: Alphabet = ALPHABET_62, seed: int = 0) -> Bundle:
    network = branched_network(len(alphabet), seed)
    inputs = np.random.default_rng(seed).integers(-128, 128, (3, 32, 32, 1)).astype(np.int8)
    golden = GoldenVectors.record(network, inputs)
    return Bundle("branched", alphabet, network, WideScoreTable.build(9, 1.0, 1.0), golden)


@pytest.fixture(scope="session")
def quantized_for_dpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped float network quantized by the vendor's rule with int8 logits, on noise."""
    from quantize.__main__ import main

    folder = tmp_path_factory.mktemp("dpu") / "quantized"
    noise = np.random.default_rng(0).integers(-128, 128, (48, 32, 32, 1)) / 128
    np.savez(folder.with_name("noise.npz"), images=noise.astype(np.float32))
    model = Path(__file__).parents[1] / "models/scene62/frozen_model.pb"
    arguments = ["run", model, "--calibration", folder.with_name("noise.npz"), "--output", folder]
    arguments += ["--preset", "tiny", "--method", "min-mse", "--head", "dpu"]
    assert main([str(a) for a in arguments]) == 0
    return folder


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call a command line's main(); return exit code, stdout and stderr."""

    def run(main: Callable[[list[str]], int], *arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
