"""Shapes, worth and slicing, against brute force, sampling, integrals and other counts."""

import itertools
import json
import math

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import InputError, SettingsError
from edge_runtime.tensorflow_import import import_tensorflow

import_tensorflow()

import tensorflow as tf  # noqa: E402

from semi_supervised import __main__ as command_line  # noqa: E402
from semi_supervised.freeze import _Exported, _frozen_graph, _to_onnx  # noqa: E402
from semi_supervised.pruning.importance import importance, relu_variance  # noqa: E402
from semi_supervised.pruning.prune import Wanted, prune, sliced  # noqa: E402
from semi_supervised.pruning.shapes import multiply_adds, shape_within  # noqa: E402
from semi_supervised.settings import load_settings  # noqa: E402
from semi_supervised.training import trainer  # noqa: E402
from semi_supervised.training.checkpoints import load_best, save_best  # noqa: E402
from semi_supervised.training.networks import CHANNELS, Discriminator, widened  # noqa: E402
from semi_supervised.training.start import Start  # noqa: E402

DIGITS = parse_alphabet("0123456789")
COUNTS = st.sampled_from((16, 32, 48))


def shaken(channels, seed=0):
    """A network of random weights and moving statistics."""
    network = Discriminator(len(DIGITS), 0.0, seed, channels)
    rng = np.random.default_rng(seed)
    for norm in network.norms:
        size = norm.gamma.shape
        norm.gamma.assign(rng.normal(0, 1, size))
        norm.beta.assign(rng.normal(0, 0.5, size))
        norm.mean.assign(rng.normal(0, 0.5, size))
        norm.variance.assign(rng.uniform(0.5, 2, size))
    network.dense_bias.assign(rng.normal(0, 1, len(DIGITS)))
    return network


def logits(network, count=7):
    x = np.random.default_rng(5).uniform(-1, 1, (count, 32, 32, 1)).astype(np.float32)
    return network(tf.constant(x)).logits.numpy()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Weights of a small network on disk."""
    path = tmp_path_factory.mktemp("small") / "best.npz"
    save_best(path, shaken((48, 32, 32, 48, 32, 48)), DIGITS, 3)
    return path


@settings(max_examples=8)
@given(st.tuples(*[COUNTS] * 6), st.integers(0, 99), st.data())
def test_channels_that_are_zero_are_taken_out_without_a_trace(channels, seed, data):
    network = shaken(channels, seed)
    rng = np.random.default_rng(seed)
    left = []
    for count, norm in zip(channels, network.norms, strict=True):
        some = data.draw(st.sampled_from([c for c in (16, 32, 48) if c <= count]))
        alive = np.sort(rng.permutation(count)[:some])
        mask = np.isin(np.arange(count), alive)
        norm.gamma.assign(norm.gamma * mask)
        norm.beta.assign(norm.beta * mask)
        left.append(alive)
    for worth, alive in zip(importance(network), left, strict=True):
        assert set(np.flatnonzero(worth)) <= set(alive)
    before, after = logits(network), logits(sliced(network, left))
    assert np.abs(after - before).max() <= 1e-5 * max(1, np.abs(before).max())


def test_the_command_finds_those_channels_by_itself(tmp_path, capsys):
    network, dead = shaken((32,) * 6), slice(3, 19)
    for norm in network.norms:
        for variable in (norm.gamma, norm.beta):
            value = variable.numpy()
            value[dead] = 0
            variable.assign(value)
    save_best(tmp_path / "best.npz", network, DIGITS, 3)
    line = ["prune", "--checkpoint", tmp_path, "--channels", "16,16,16,16,16,16"]
    code = command_line.main([*map(str, line), "--output", str(tmp_path / "pruned.npz")])
    assert code == 0
    assert "channels 16,16,16,16,16,16 of 32,32,32,32,32,32" in capsys.readouterr().out
    pruned, alphabet, digest = load_best(tmp_path / "pruned.npz")
    assert (pruned.channels, alphabet) == ((16,) * 6, DIGITS)
    assert np.allclose(logits(pruned), logits(network), rtol=1e-5, atol=1e-4)
    record = json.loads((tmp_path / "pruned.json").read_text("utf-8"))
    assert record["worth_kept"] == [1.0] * 6
    assert record["weights_sha256"] == digest


def test_pruning_twice_gives_the_same_bytes(small, tmp_path):
    for name in "ab":
        prune(small, tmp_path / f"{name}.npz", Wanted(keep=0.4))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(("mean", "deviation"), [(0, 1), (0.7, 0.4), (-1.5, 1), (3, 0.1), (2, 0)])
def test_the_variance_behind_a_relu_is_its_integral(mean, deviation):
    (found,) = relu_variance(np.array([float(mean)]), np.array([float(deviation)]))
    if deviation == 0:
        assert found == 0
        return

    def moment(power):
        def inside(y):
            z = (y - mean) / deviation
            return y**power * math.exp(-z * z / 2) / (deviation * math.sqrt(2 * math.pi))

        top = mean + 12 * deviation
        return integrate.quad(inside, 0, top, points=[max(0, mean)])[0] if top > 0 else 0

    assert found == pytest.approx(moment(2) - moment(1) ** 2, abs=1e-9)


def test_worth_is_what_the_next_layers_sums_lose():
    """Sampled: normalized sums of 1×1 maps, without one channel after the other."""
    network = shaken((16,) * 6, 4)
    rng = np.random.default_rng(0)
    norm, reader = network.norms[4], network.norms[5]
    maps = np.maximum(rng.normal(size=(40_000, 9, 16)) * norm.gamma.numpy() + norm.beta.numpy(), 0)
    weights = network.kernels[5].numpy().reshape(9, 16, 16)
    scale = reader.gamma.numpy() / np.sqrt(reader.variance.numpy() + 1e-3)
    lost = np.array(
        [((maps[:, :, c] @ weights[:, c]) * scale).var(axis=0).sum() for c in range(16)]
    )
    assert np.allclose(importance(network)[4], lost / lost.sum(), rtol=0.05, atol=1e-4)


def count_in_onnx(network):
    """Multiply-adds by the shapes that ONNX infers."""
    graph = onnx.load_from_string(_to_onnx(_frozen_graph(_Exported(network))))
    graph = onnx.shape_inference.infer_shapes(graph).graph
    shapes = {
        value.name: [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        for value in [*graph.value_info, *graph.output]
    }
    sizes = {weights.name: weights.dims for weights in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            total += math.prod(sizes[node.input[1]]) * math.prod(shapes[node.output[0]][2:])
        if node.op_type in ("MatMul", "Gemm"):
            total += math.prod(sizes[node.input[1]])
    return total


@pytest.mark.parametrize("channels", [CHANNELS, (16, 32, 48, 64, 80, 96), widened(0.25)])
def test_multiply_adds_are_those_of_the_exported_graph(channels):
    network = Discriminator(10, 0.0, 0, channels)
    assert multiply_adds(channels, 10) == count_in_onnx(network)


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.floats(0.05, 1))
def test_the_shape_is_the_best_of_all_within_the_budget(seed, share):
    rng = np.random.default_rng(seed)
    own = (48, 32, 40, 48, 16, 32)  # 40: no multiple, so 16, 32 or all of it
    worth = [rng.exponential(size=count) ** 2 for count in own]
    options = [[c for c in (16, 32, 48) if c < count] + [count] for count in own]
    budget = round(share * multiply_adds(own, 10))
    best, kept = None, 0.0
    for shape in itertools.product(*options):
        if multiply_adds(shape, 10) <= budget:
            found = math.prod(
                np.sort(w)[::-1][:c].sum() / w.sum() for w, c in zip(worth, shape, strict=True)
            )
            if found > kept:
                best, kept = shape, found
    if best is None:
        with pytest.raises(SettingsError, match="too small; the smallest network has 304,288,"):
            shape_within(worth, 10, budget)
    else:
        assert shape_within(worth, 10, budget) == best


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--keep=0", "--keep 0: a share above 0, up to 1"),
        ("--keep=1.5", "--keep 1.5: a share above 0, up to 1"),
        ("--max-macs=1000", "a budget of 1,000 multiply-adds is too small; the smallest network"),
        ("--channels=16,16", "channels 16,16: of a network with 48,32,32,48,32,48"),
        ("--channels=48,32,20,48,32,48", "keeps all channels or a multiple of 16"),
        ("--channels=64,32,32,48,32,48", "keeps all channels or a multiple of 16"),
        ("--channels=a,b", "--channels a,b: whole numbers with commas between"),
    ],
)
def test_what_cannot_be_had_is_refused(small, tmp_path, capsys, option, reason):
    line = ["prune", "--checkpoint", str(small), option, "--output", str(tmp_path / "p.npz")]
    assert command_line.main(line) == 2
    message = capsys.readouterr().err.strip()
    assert reason in message
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


def test_the_source_is_not_overwritten(small, capsys):
    line = ["prune", "--checkpoint", str(small), "--keep=0.5", "--output", str(small)]
    before = small.read_bytes()
    assert command_line.main(line) == 2
    assert "would overwrite the network that it is made of" in capsys.readouterr().err
    assert small.read_bytes() == before
    line[-1] = str(small.with_suffix(".txt"))
    assert command_line.main(line) == 2
    assert "weights are a .npz file" in capsys.readouterr().err


def test_a_checkpoint_of_another_shape_is_damaged(small, tmp_path):
    with np.load(small) as loaded:
        arrays = dict(loaded)
    meta = json.loads(bytes(arrays["meta"]))
    for channels in ([48, 32, 32, 48, 32, 64], [48, 32]):
        arrays["meta"] = np.frombuffer(json.dumps(meta | {"channels": channels}).encode(), np.uint8)
        np.savez(tmp_path / "best.npz", **arrays)
        with pytest.raises(InputError, match="damaged weights"):
            load_best(tmp_path / "best.npz")


def test_weights_of_earlier_releases_tell_a_width(tmp_path):
    network = shaken(widened(0.25))
    save_best(tmp_path / "best.npz", network, DIGITS, 3)
    with np.load(tmp_path / "best.npz") as loaded:
        arrays = dict(loaded)
    meta = {"alphabet": list(DIGITS.symbols), "epoch": 3, "width": 0.25}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(tmp_path / "best.npz", **arrays)
    assert np.array_equal(logits(load_best(tmp_path / "best.npz")[0]), logits(network))


def test_a_start_of_another_shape_says_which_it_has(tmp_path):
    start = Start(shaken((16,) * 6), DIGITS, tmp_path / "pruned.npz")
    reason = r"has channels 16,16.* with 16,16,16,16,16,32 .*set train\.channels=16,16,16,16,16,16"
    with pytest.raises(InputError, match=reason):
        start.copy_to(shaken((16, 16, 16, 16, 16, 32)), DIGITS)


def test_a_teacher_of_other_symbols_is_refused(small, tmp_path):
    with pytest.raises(InputError, match="its symbols are not those to be learned"):
        trainer._read_teacher(small, parse_alphabet("9876543210"))


def test_width_and_channels_are_settings_of_the_training(tmp_path):
    def told(*options):
        path = tmp_path / "stamp"
        assert command_line.main(["stamp", "train", "--file", str(path), *options]) == 0
        train = json.loads(path.read_text("utf-8"))["train"]
        return train["width"], train["channels"]

    assert told() == (1.0, [])
    assert told("--width", "0.5") == (0.5, [])
    assert told("--set", "train.channels=16,16,32,48,32,128") == (1.0, [16, 16, 32, 48, 32, 128])
    assert load_settings("tiny", ["train.channels=[16, 32]"]).train.channels == (16, 32)
    with pytest.raises(SettingsError, match="channels must be whole numbers with commas"):
        load_settings("tiny", ["train.channels=16,wide"])
    assert widened(0.5) == (32, 32, 32, 64, 64, 64)
    with pytest.raises(SettingsError, match="channels 16,16: the network has 6 convolutions"):
        Discriminator(10, 0.0, 0, (16, 16))
