"""What images without labels teach: sets of look-alikes, and when they join."""

import math

import numpy as np
import pytest

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.errors import SettingsError
from edge_runtime.tensorflow_import import import_tensorflow

import_tensorflow()

import tensorflow as tf  # noqa: E402

from semi_supervised.data import make_data  # noqa: E402
from semi_supervised.settings import load_settings  # noqa: E402
from semi_supervised.training import step, trainer  # noqa: E402
from semi_supervised.training.batches import Batch  # noqa: E402
from semi_supervised.training.checkpoints import save_best  # noqa: E402
from semi_supervised.training.losses import merge  # noqa: E402
from semi_supervised.training.networks import Discriminator  # noqa: E402
from semi_supervised.training.trainer import membership  # noqa: E402

DIGITS = parse_alphabet("0123456789")


def test_the_logit_of_a_set_is_the_log_of_the_sum_of_its_members_exponentials():
    logits = np.random.default_rng(6).normal(0, 3, (7, 5)).astype(np.float32)
    logits[0] += 1e4
    logits[1] -= 1e4
    sets = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]], np.float32)
    members = [[0, 2, 4], [1], [3]]
    wide = logits.astype(np.float64)
    expected = np.stack([np.logaddexp.reduce(wide[:, m], axis=1) for m in members], axis=1)
    assert np.allclose(merge(logits, sets), expected, rtol=1e-6, atol=1e-5)
    far = merge(np.array([[0.0, -500.0]], np.float32), np.eye(2, dtype=np.float32)).numpy()
    assert np.isfinite(far).all()


def test_classes_that_look_alike_are_one_set():
    sets = membership(ALPHABET_62)
    assert (sets.sum(axis=1) == 1).all()
    together = {
        frozenset(symbol for symbol, row in zip(ALPHABET_62.symbols, sets, strict=True) if row[k])
        for k in range(sets.shape[1])
    }
    assert {frozenset("0Oo"), frozenset("1Il"), frozenset("Cc"), frozenset("A")} <= together
    assert np.array_equal(membership(DIGITS), np.eye(10))


def test_unlabeled_images_teach_the_set_of_look_alikes_and_not_the_member():
    rng = np.random.default_rng(7)
    some = rng.integers(-128, 128, (8, 32, 32, 1)).astype(np.int8)
    none, classes = some[:0], np.zeros(0, np.int32)
    batch = Batch(some[:1], np.array([3], np.int32), none, classes, some, some, none)
    settings = load_settings("tiny", ["train.method=consistency", "train.width=0.25"])
    alike = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32)  # classes 0 and 2, 1 and 3
    for sets, same in ((alike, True), (None, False)):
        learned = []
        for order in ([0, 1, 2, 3], [2, 1, 0, 3]):  # of the network that guesses
            learner = step.Learner(settings, np.full(4, 0.25), sets)
            kernel = learner.averaged.dense_kernel
            kernel.assign(tf.gather(8 * kernel, order, axis=1))
            learner.learn(batch)
            learned.append(learner.discriminator.dense_kernel.numpy())
        assert np.allclose(*learned, atol=1e-6) == same


def test_look_alikes_are_merged_in_training_where_the_settings_say_so(class_folders, tmp_path):
    alphabet = parse_alphabet("0Oox")
    folders = sorted(path for path in class_folders.iterdir() if path.is_dir())[:4]
    rows = [
        f"{image},{label}"
        for folder, label in zip(folders, alphabet.symbols, strict=True)
        for image in sorted(folder.iterdir())
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows, ""]))
    made = load_settings("tiny", ["data.labels_per_class=2"])
    make_data(str(tmp_path / "labels.csv"), tmp_path / "data", alphabet, made.data)
    answered = []
    for how in ("true", "false"):
        changes = ["train.epochs=1", "train.method=consistency", f"train.merge_look_alikes={how}"]
        settings = load_settings("tiny", changes)
        trainer.train(tmp_path / "data/manifest.csv", tmp_path / how, settings, workers=0)
        with np.load(tmp_path / how / "checkpoint.npz") as state:
            answered.append(len(state["answered"]))
    assert answered == [2, 4]  # 0, O and o are one, x is another


def test_the_rate_falls_to_zero_before_unlabeled_images_join_and_once_more_after():
    train = load_settings("full", ["train.unlabeled_from=0.6", "train.restart=0.25"]).train
    assert train.joins == 24_000
    for at, rate in (
        (0, 1 / 500),
        (12_000, 0.5),
        (23_999, 0.0),
        (24_000, 0.25 / 500),
        (24_500, 0.25 * 0.5 * (1 + math.cos(math.pi * 500 / 16_000))),
        (32_000, 0.125),
        (40_000, 0.0),
    ):
        found = float(step.schedule(train, tf.constant(at), restarts=True))
        assert found == pytest.approx(rate, rel=1e-5, abs=1e-7), at
    assert float(step.schedule(train, tf.constant(20_000))) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize(("labels", "courses"), [("2", 2), ("all", 1)])
def test_there_is_a_second_course_where_there_are_unlabeled_images(
    class_folders, tmp_path, labels, courses, monkeypatch
):
    rates = []
    step_of = step.Learner.learn

    def noting(learner, batch):
        losses = step_of(learner, batch)
        rates.append(float(learner.optimizer.learning_rate.numpy()))
        return losses

    monkeypatch.setattr(step.Learner, "learn", noting)
    changes = ["train.method=consistency", "train.unlabeled_from=0.5", "train.restart=0.5"]
    settings = load_settings("tiny", [*changes, f"data.labels_per_class={labels}"])
    make_data(str(class_folders), tmp_path, DIGITS, settings.data)
    trainer.train(tmp_path / "manifest.csv", tmp_path / "training", settings, workers=0)
    assert len(rates) == 8
    rises = [i for i in range(1, 8) if rates[i] > rates[i - 1]]
    assert rises == ([1, 4, 5] if courses == 2 else [1])  # the warm-up of each takes two steps


@pytest.mark.parametrize(
    ("known", "restart", "first"),
    [
        (None, 0.0, 4),  # random weights guess nothing
        ("0123456789", 0.0, 0),
        ("9876543210ABC", 0.0, 0),
        ("01234", 0.0, 4),  # half of the digits are new to it
        ("0123456789", 0.5, 4),  # a second course is where they belong
    ],
)
def test_unlabeled_images_join_at_once_where_a_start_knows_all_symbols(
    class_folders, tmp_path, known, restart, first, monkeypatch
):
    numbers = []
    step_of = step.Learner.learn

    def counting(learner, batch):
        numbers.append(len(batch.strong))
        return step_of(learner, batch)

    monkeypatch.setattr(step.Learner, "learn", counting)
    changes = ["train.method=consistency", "train.unlabeled_from=0.5", f"train.restart={restart}"]
    settings = load_settings("tiny", [*changes, "data.labels_per_class=2"])
    make_data(str(class_folders), tmp_path, DIGITS, settings.data)
    start = None
    if known:
        start = tmp_path / "model/best.npz"
        save_best(start, Discriminator(len(known), 0.0, 5), parse_alphabet(known), 1)
    trainer.train(tmp_path / "manifest.csv", tmp_path / "training", settings, 0, start)
    assert numbers == [0] * first + [settings.train.batch_unlabeled] * (8 - first)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["train.restart=1.5"], "restart must lie in 0..1"),
        (["train.restart=0.5"], "must lie between pretrain_epochs and the end"),
        (
            ["train.restart=0.5", "train.unlabeled_from=0.2", "train.pretrain_epochs=1"],
            "must lie between pretrain_epochs and the end",
        ),
        (["train.restart=0.5", "train.unlabeled_from=0.99"], "for example at 0.8"),  # of 8 steps
    ],
)
def test_a_restart_without_a_first_or_second_course_is_refused(changes, said):
    with pytest.raises(SettingsError, match=said):
        load_settings("tiny", changes)
