"""One training on two (virtual) devices, against the same on one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import SettingsError
from semi_supervised import __main__ as command_line
from semi_supervised.data import make_data
from semi_supervised.settings import load_settings

# A process of its own: how many devices there are is settled when TensorFlow starts.
BOTH = """
import sys
from pathlib import Path
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
from semi_supervised.settings import load_settings
from semi_supervised.training.replicas import Replicas
from semi_supervised.training.trainer import train
folder = Path(sys.argv[1])
settings = load_settings("tiny", ["train.epochs=1", "train.steps_per_epoch=2", "train.width=0.5"])
for devices in (1, 2):
    train(folder / "manifest.csv", folder / str(devices), settings, 0, devices=devices)
train(folder / "manifest.csv", folder / "2", settings, 0, devices=2)  # finished: left alone
another = Replicas(2)  # as after a teacher
mean = tf.function(lambda x: another.run(lambda r: {"mean": another.mean(another.share(r))}, [x]))
assert mean(tf.constant([[1.0, 2.0], [4.0, 6.0]]))["mean"].numpy().tolist() == [[2.5, 4.0]]
"""


@pytest.fixture(scope="module")
def trained(class_folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    settings = load_settings("tiny", ["data.labels_per_class=2"])
    make_data(str(class_folders), folder, parse_alphabet("0123456789"), settings.data)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", BOTH, folder]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_two_devices_learn_what_one_learns(trained):
    one, two = trained / "1", trained / "2"
    rows = [json.loads((folder / "metrics.jsonl").read_text()) for folder in (one, two)]
    losses = [name for name in rows[0] if name.startswith("loss_")]
    assert len(losses) == 5
    for name in (*losses, "validation_nll"):
        assert rows[1][name] == pytest.approx(rows[0][name], rel=1e-3, abs=1e-4), name
    with np.load(one / "checkpoint.npz") as a, np.load(two / "checkpoint.npz") as b:
        assert a.files == b.files
        for name in a.files:
            apart = np.linalg.norm(a[name] - b[name])
            # A sum in another order, 1e-6 of it, may bring a ReLU to its other side, which the
            # generator's four images feel most: measured 0.002 and 0.03, with one device whose
            # first weights are changed by 1e-6 likewise.
            limit = 0.2 if name.startswith("generator") else 0.02
            assert apart <= limit * np.linalg.norm(a[name]), name
    assert json.loads((two / "training.json").read_text())["devices"] == 2
    assert not (trained / "2.1").exists()


def test_devices_that_are_not_there_and_batches_that_cannot_be_shared_are_refused(
    trained, tmp_path, capsys
):
    command = ["train", "--manifest", trained / "manifest.csv", "--output", tmp_path]
    command += ["--preset", "tiny", "--devices", 2]
    assert command_line.main([str(c) for c in command]) == 2
    assert "--devices 2: there are 1 to 1 CPU to use" in capsys.readouterr().err
    command += ["--set", "train.batch_labeled=15"]
    assert command_line.main([str(c) for c in command]) == 2
    assert "set train.batch_labeled=16" in capsys.readouterr().err
    from semi_supervised.training.replicas import Replicas

    with pytest.raises(SettingsError, match="--devices 0"):
        Replicas(0)
