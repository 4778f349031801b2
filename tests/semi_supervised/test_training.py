"""Networks, losses, training and freezing, against Keras, NumPy and plain formulas."""

import hashlib
import itertools
import json
import shutil

import numpy as np
import pytest

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import EdgeGlyphError, InputError, VerificationError
from edge_runtime.tensorflow_import import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from edge_runtime.preprocess import to_float  # noqa: E402
from quantize.__main__ import main as quantize_main  # noqa: E402
from quantize.artifacts import read_quantization  # noqa: E402
from quantize.methods import run_integers  # noqa: E402
from semi_supervised import freeze as freezing  # noqa: E402
from semi_supervised.data import make_data  # noqa: E402
from semi_supervised.settings import load_settings  # noqa: E402
from semi_supervised.training import step, trainer  # noqa: E402
from semi_supervised.training.batches import Batch  # noqa: E402
from semi_supervised.training.checkpoints import load_best  # noqa: E402
from semi_supervised.training.fake_quantization import FakeQuantizer  # noqa: E402
from semi_supervised.training.images import load_evaluation  # noqa: E402
from semi_supervised.training.losses import (  # noqa: E402
    align,
    loss_consistency,
    loss_distillation,
    loss_fake,
    loss_feature_matching,
    loss_labeled,
    loss_real,
    sharpen,
)
from semi_supervised.training.networks import Discriminator, Generator  # noqa: E402

DIGITS = parse_alphabet("0123456789")
SETTINGS = load_settings("tiny")


def shaken(network, seed=0):
    """Give every variable (moving statistics too) a random, legal value."""
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        value = rng.normal(0, 0.2, variable.shape)
        if "variance" in variable.name or "gamma" in variable.name:
            value = np.abs(value) + 0.5
        variable.assign(value.astype(np.float32))
    return network


def test_the_discriminator_is_the_specified_network():
    network = shaken(Discriminator(62, 0.2, 0))
    layers = [keras.Input((32, 32, 1))]
    for channels, stride, padding in [
        (64, 2, "same"),
        (64, 2, "same"),
        (64, 2, "same"),
        (128, 1, "same"),
        (128, 1, "same"),
        (128, 1, "valid"),
    ]:
        layers += [
            keras.layers.Conv2D(channels, 3, stride, padding, use_bias=False),
            keras.layers.BatchNormalization(epsilon=1e-3),
            keras.layers.ReLU(),
        ]
    layers += [keras.layers.AveragePooling2D(2), keras.layers.Flatten(), keras.layers.Dense(62)]
    reference = keras.Sequential(layers)
    convolutions = [x for x in reference.layers if isinstance(x, keras.layers.Conv2D)]
    norms = [x for x in reference.layers if isinstance(x, keras.layers.BatchNormalization)]
    for i in range(6):
        convolutions[i].set_weights([network.kernels[i].numpy()])
        norm = network.norms[i]
        norms[i].set_weights([v.numpy() for v in (norm.gamma, norm.beta, norm.mean, norm.variance)])
    reference.layers[-1].set_weights([network.dense_kernel.numpy(), network.dense_bias.numpy()])
    x = np.random.default_rng(1).uniform(-1, 1, (5, 32, 32, 1)).astype(np.float32)
    expected = reference(x, training=False).numpy()
    found = network(tf.constant(x)).logits.numpy()
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    weights = sum(v.numpy().size for v in (*network.kernels, network.dense_kernel))
    assert weights == 450_880  # "about 450k weights"


def test_batch_norm_uses_moving_statistics_outside_training_only():
    network = Discriminator(10, 0.0, 0)
    x = tf.random.stateless_normal([8, 32, 32, 1], [1, 2])
    before = [v.numpy() for v in network.variables]
    alone = network(x[:1]).logits.numpy()
    assert np.allclose(network(x).logits.numpy()[:1], alone, atol=1e-5)
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, network.variables, strict=True))
    trained = network(x, training=True, kept=network.dropout_mask(8, [0, 0])).logits.numpy()
    assert not np.allclose(trained[:1], alone, atol=1e-3)
    assert network.norms[0].mean.numpy().any()


def test_generated_images_lie_in_the_range_of_the_inputs():
    images = Generator(4, 0)(tf.random.stateless_normal([16, 100], [0, 1]) * 10, training=True)
    assert images.shape == (16, 32, 32, 1)
    assert -1 <= images.numpy().min() < 0 < images.numpy().max() <= 1


def test_losses_are_their_formulas():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (6, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 6).astype(np.int32)
    z = np.exp(logits.astype(np.float64)).sum(axis=1)
    p = np.exp(logits) / z[:, None]
    smooth = np.eye(5)[labels] * 0.9 + 0.02
    assert np.isclose(loss_labeled(logits, labels, 0.1), -(smooth * np.log(p)).sum(1).mean(), 1e-5)
    assert np.isclose(loss_real(logits), -np.log(z / (z + 1)).mean(), 1e-5)
    assert np.isclose(loss_fake(logits), -np.log(1 / (z + 1)).mean(), 1e-5)
    a, b = rng.normal(0, 1, (7, 4)), rng.normal(0, 1, (3, 4))
    assert np.isclose(loss_feature_matching(a, b), ((a.mean(0) - b.mean(0)) ** 2).mean(), 1e-6)


def test_consistency_is_cross_entropy_with_sharpened_aligned_guesses():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (40, 5)).astype(np.float32)
    guesses = rng.dirichlet([0.3] * 5, 40).astype(np.float32)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    total, sure = 0.0, 0
    for k in range(40):
        if max(guesses[k]) >= 0.8:
            sure += 1
            total -= sum(guesses[k, c] * np.log(p[k, c]) for c in range(5))
    assert 5 < sure < 35
    loss, share = loss_consistency(logits, guesses, 0.8)
    assert np.isclose(loss, total / 40, 1e-5)
    assert np.isclose(share, sure / 40)
    cubes = [[g**3 for g in row] for row in guesses.astype(float)]
    assert np.allclose(sharpen(guesses, 3.0), [np.array(r) / sum(r) for r in cubes], atol=1e-5)
    answered, expected = rng.dirichlet([1] * 5), rng.dirichlet([1] * 5)
    pulled = align(guesses, answered.astype(np.float32), expected.astype(np.float32)).numpy()
    wanted = [
        [g * e / a for g, a, e in zip(row, answered, expected, strict=True)] for row in guesses
    ]
    assert np.allclose(pulled, [np.array(row) / sum(row) for row in wanted], rtol=1e-4)


def test_distillation_is_the_divergence_of_softened_answers():
    rng = np.random.default_rng(4)
    ours, teacher = rng.normal(0, 3, (2, 9, 4)).astype(np.float32)

    def softened(z):
        e = np.exp(z.astype(np.float64) / 3)
        return e / e.sum(axis=1, keepdims=True)

    p, q = softened(teacher), softened(ours)
    wanted = 9 * (p * np.log(p / q)).sum(axis=1).mean()
    assert np.isclose(loss_distillation(ours, teacher, 3.0), wanted, 1e-4)
    assert abs(float(loss_distillation(teacher, teacher, 3.0))) < 1e-5


def test_learning_rate_warms_up_and_ends_at_zero():
    train = load_settings("full").train
    rates = [
        float(step.schedule(train, tf.constant(s)))
        for s in (0, train.warmup_steps, train.steps // 2, train.steps)
    ]
    assert rates[0] < 0.01
    assert rates[1] == pytest.approx(1, rel=0.01)
    assert rates[2] == pytest.approx(0.5, rel=0.01)
    assert rates[3] == pytest.approx(0, abs=1e-9)


@pytest.fixture(scope="module")
def data(class_folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    settings = load_settings("tiny", ["data.labels_per_class=2"])
    make_data(str(class_folders), folder, DIGITS, settings.data)
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "training"
    trainer.train(data, output, SETTINGS, workers=0)
    return output


def arrays(path):
    with np.load(path) as loaded:
        return {name: loaded[name] for name in loaded.files}


def test_training_leaves_its_files(trained):
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(row["validation_n"] == 10 for row in rows)
    assert (trained / "generated/epoch-002.png").exists()
    result = json.loads((trained / "result.json").read_text())
    assert result["best"]["validation_accuracy"] == max(r["validation_accuracy"] for r in rows)
    assert len(result["manifest_images_sha256"]) == 64


def test_killed_and_resumed_training_is_the_uninterrupted_one(data, trained, tmp_path, monkeypatch):
    output = tmp_path / "training"
    make_batches = trainer.make_batches

    def stops(*arguments):
        yield from itertools.islice(make_batches(*arguments), 6)  # into the second epoch
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "make_batches", stops)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(data, output, SETTINGS, workers=0)
    monkeypatch.undo()
    assert not (output / "result.json").exists()
    trainer.train(data, output, SETTINGS, workers=0)
    for name in ("checkpoint.npz", "best.npz"):
        expected, found = arrays(trained / name), arrays(output / name)
        assert expected.keys() == found.keys()
        assert all(np.array_equal(expected[k], found[k]) for k in expected), name


def test_the_epoch_that_is_kept_is_called_best_and_its_equals_are_not(
    data, tmp_path, monkeypatch, capsys
):
    accuracies = iter((0.5, 0.5, 0.75, 0.625, 0.75))
    figures = {"validation_nll": 1.0, "validation_n": 8}
    monkeypatch.setattr(
        trainer, "_validate", lambda *_: {"validation_accuracy": next(accuracies), **figures}
    )
    settings = load_settings("tiny", ["train.epochs=5", "train.method=supervised"])
    trainer.train(data, tmp_path / "training", settings, workers=0)
    shown = [line for line in capsys.readouterr().err.splitlines() if "min left" in line]
    assert [line.endswith("best") for line in shown] == [True, False, True, False, False]
    assert json.loads((tmp_path / "training/result.json").read_text())["best"]["epoch"] == 3
    meta = arrays(tmp_path / "training/best.npz")["meta"]
    assert json.loads(meta.tobytes())["epoch"] == 3


METHODS = {
    "supervised": {"labeled", "gate"},
    "sgan": {"labeled", "gate", "generator"},
    "consistency": {"labeled", "gate", "consistency", "sure"},
    "sgan-consistency": {"labeled", "gate", "consistency", "sure", "generator"},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_its_losses_and_the_same_graph(data, trained, tmp_path, method):
    settings = load_settings("tiny", [f"train.method={method}", "train.epochs=1"])
    trainer.train(data, tmp_path / "training", settings, workers=0)
    row = json.loads((tmp_path / "training/metrics.jsonl").read_text())
    losses = {name.removeprefix("loss_") for name in row if name.startswith("loss_")}
    assert losses == METHODS[method]
    assert (tmp_path / "training/generated").exists() == ("sgan" in method)
    usual, found = (
        load_best(folder / "best.npz")[0] for folder in (trained, tmp_path / "training")
    )
    assert [v.shape for v in found.variables] == [v.shape for v in usual.variables]


def test_every_weight_of_the_settings_reaches_what_is_learned():
    """Each loss changes the weights: none is computed and thrown away."""
    rng = np.random.default_rng(5)

    def images(n):
        return rng.integers(-128, 128, (n, 32, 32, 1)).astype(np.int8)

    classes = np.array([0, 1, 2, 0], np.int32)
    batch = Batch(images(4), classes, images(4), classes, images(4), images(4), images(4))
    learned = {}
    tf.config.run_functions_eagerly(True)
    try:
        for name in ("none", "consistency", "gate", "negatives", "drawn"):
            changes = [] if name == "none" else [f"train.weight_{name}=0.0"]
            small = ["train.width=0.25", *changes]
            learner = step.Learner(load_settings("tiny", small), np.full(3, 1 / 3))
            learner.learn(batch)
            learned[name] = learner.discriminator.kernels[0].numpy()
    finally:
        tf.config.run_functions_eagerly(False)
    for a, b in itertools.combinations(learned, 2):
        assert not np.array_equal(learned[a], learned[b]), (a, b)


def test_a_teacher_is_trained_first_and_learned_from(data, tmp_path):
    settings = load_settings("tiny", ["train.epochs=1", "teacher.epochs=1", "teacher.width=1.5"])
    trainer.train(data, tmp_path / "training", settings, workers=0)
    teacher = load_best(tmp_path / "training-teacher/best.npz")[0]
    assert teacher.kernels[0].shape[-1] == 96
    how = json.loads((tmp_path / "training-teacher/training.json").read_text())
    assert how["settings"]["train"]["method"] == "consistency"  # of sgan-consistency
    assert not (tmp_path / "training-teacher/generated").exists()
    result = json.loads((tmp_path / "training/result.json").read_text())
    assert result["best"]["loss_distillation"] > 0
    weights = (tmp_path / "training-teacher/best.npz").read_bytes()
    assert result["teacher_sha256"] == hashlib.sha256(weights).hexdigest()
    assert load_best(tmp_path / "training/best.npz")[0].kernels[0].shape[-1] == 64


def test_quantization_aware_training_validates_what_the_integers_will_say(
    data, trained, frozen, tmp_path
):
    """At the end, the integer network of the tuned weights answers as validation did."""
    run = [str(frozen / "frozen_model.pb"), "--method", "min-mse", "--head", "dpu"]
    run += ["--calibration", str(data), "--preset", "tiny"]
    assert quantize_main(["run", *run, "--output", str(tmp_path / "before")]) == 0
    file = tmp_path / "before/quantization.json"
    with pytest.raises(InputError, match="name that as start"):
        trainer.train(data, tmp_path / "training", SETTINGS, 0, None, file)
    settings = load_settings("tiny", ["train.epochs=1", "train.averaging=0.0"])
    trainer.train(data, tmp_path / "training", settings, 0, trained, file)
    result = json.loads((tmp_path / "training/result.json").read_text())
    assert result["quantization_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    tuned, _, _ = load_best(tmp_path / "training/best.npz")
    start, _, _ = load_best(trained / "best.npz")
    assert not np.array_equal(tuned.kernels[2].numpy(), start.kernels[2].numpy())
    assert np.array_equal(tuned.norms[2].mean.numpy(), start.norms[2].mean.numpy())
    images = load_evaluation(data, DIGITS, "validation")
    inputs = tf.constant(to_float(images.inputs))
    rounded = tuned(inputs, fake=FakeQuantizer.read(file)).logits.numpy()
    right = float((rounded.argmax(axis=1) == images.labels).mean())
    assert right == result["best"]["validation_accuracy"]
    integers = read_quantization(tmp_path / "before").network
    wanted = run_integers(integers, images.inputs) * 2.0**-integers.logits_fix_point
    found = start(inputs, fake=FakeQuantizer.read(file)).logits.numpy()
    assert np.array_equal(found, wanted)


def test_tensorboard_reads_what_training_writes(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "tensorboard"))
    events.Reload()
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    tensors = events.Tensors("validation/accuracy")
    found = [tf.make_ndarray(event.tensor_proto).item() for event in tensors]
    assert [event.step for event in tensors] == [1, 2]
    assert np.allclose(found, [row["validation_accuracy"] for row in rows])
    assert "generated" in events.Tags()["tensors"]


def test_a_finished_training_is_left_alone_and_another_one_set_aside(data, trained, tmp_path):
    output = tmp_path / "training"
    shutil.copytree(trained, output)
    before = (output / "checkpoint.npz").stat().st_mtime_ns
    trainer.train(data, output, SETTINGS, workers=0)
    assert (output / "checkpoint.npz").stat().st_mtime_ns == before
    other = load_settings("tiny", ["train.epochs=1", "train.steps_per_epoch=1"])
    trainer.train(data, output, other, workers=0)
    assert (tmp_path / "training.1/checkpoint.npz").stat().st_mtime_ns == before


def test_a_diverging_training_says_so(data, tmp_path):
    wild = load_settings("tiny", ["train.learning_rate=1e30"])
    with pytest.raises(EdgeGlyphError, match="training diverged at step"):
        trainer.train(data, tmp_path / "training", wild, workers=0)


def test_damaged_files_are_named(data, trained, tmp_path):
    output = tmp_path / "training"
    shutil.copytree(trained, output)
    (output / "result.json").unlink()
    (output / "checkpoint.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(InputError, match=r"checkpoint\.npz: damaged checkpoint"):
        trainer.train(data, output, SETTINGS, workers=0)
    (output / "best.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"best\.npz: damaged weights"):
        load_best(output / "best.npz")
    with pytest.raises(InputError, match="run `make train` first"):
        load_best(tmp_path / "none.npz")


@pytest.fixture(scope="module")
def frozen(data, trained, tmp_path_factory):
    output = tmp_path_factory.mktemp("frozen")
    freezing.freeze(trained / "best.npz", data, output)
    return output


def test_the_frozen_graph_keeps_the_contract(frozen):
    graph_def = tf.compat.v1.GraphDef()
    graph_def.ParseFromString((frozen / "frozen_model.pb").read_bytes())
    operators = {node.name: node.op for node in graph_def.node}
    assert operators["input_real"] == "Placeholder"
    for i in range(6):
        suffix = f"_{i}" if i else ""
        assert operators[f"discriminator/conv2d{suffix}/Conv2D"] == "Conv2D"
    assert operators["discriminator/dense/MatMul"] == "MatMul"
    assert operators["discriminator/dense/BiasAdd"] == "BiasAdd"
    assert operators["discriminator/out"] == "Softmax"
    assert set(operators.values()) == {
        "Placeholder",
        "Const",
        "Conv2D",
        "FusedBatchNormV3",
        "Relu",
        "Mean",
        "Reshape",
        "MatMul",
        "BiasAdd",
        "Softmax",
    }
    shape = next(n for n in graph_def.node if n.name == "input_real").attr["shape"].shape
    assert [d.size for d in shape.dim] == [-1, 32, 32, 1]
    assert all(not n.attr["is_training"].b for n in graph_def.node if n.op == "FusedBatchNormV3")


def test_the_onnx_model_keeps_the_contract(frozen):
    import onnx

    graph = onnx.load(frozen / "model.onnx").graph
    assert [i.name for i in graph.input] == ["input_real"]
    assert [o.name for o in graph.output] == ["discriminator/dense/BiasAdd", "discriminator/out"]
    shape = graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["N", 32, 32, 1]
    assert not any(":" in name for node in graph.node for name in (*node.input, *node.output))


def test_freezing_twice_gives_the_same_bytes(data, trained, frozen, tmp_path):
    freezing.freeze(trained / "best.npz", data, tmp_path)
    for name in ("frozen_model.pb", "model.onnx"):
        assert (tmp_path / name).read_bytes() == (frozen / name).read_bytes(), name


def test_an_export_that_differs_is_not_kept(data, trained, tmp_path, monkeypatch):
    right = freezing._run_onnx
    monkeypatch.setattr(freezing, "_run_onnx", lambda m, x: right(m, x) + np.float32(0.001))
    with pytest.raises(VerificationError, match=r"model\.onnx: logits differ .* by 1\.0e-03"):
        freezing.freeze(trained / "best.npz", data, tmp_path)
    assert not (tmp_path / "model.onnx").exists()
