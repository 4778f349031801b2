"""The search for settings: its space, pruning, resumption, and sharing by a database."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import EdgeGlyphError, InputError, SettingsError
from edge_runtime.labeled_images import read_manifest
from quantize.settings import load_settings as load_quantize_settings
from semi_supervised import __main__ as command_line
from semi_supervised.data import make_data
from semi_supervised.settings import load_settings
from semi_supervised.tune.report import write_report
from semi_supervised.tune.space import point_of, read_space, settings_at
from semi_supervised.tune.study import Search, finished, open_study, run_trials

BASE = load_settings("full")
SPACE = """
["train.learning_rate"]
low = 1e-4
high = 1e-2
log = true

["train.dropout"]
low = 0.0
high = 0.5
"""


@pytest.fixture
def search(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(SPACE)
    (tmp_path / "manifest.csv").write_text("file,label\n")
    return Search("study", tmp_path / "manifest.csv", BASE, read_space(path, BASE))


def sqlite(folder):
    return f"sqlite:///{folder / 'study.db'}"


def create_study(url):
    """What another process has done that began a study and did not get any further."""
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": sqlalchemy.NullPool})
    return optuna.create_study(study_name="study", storage=storage, direction="maximize")


def pretend(settings, folder, watch):
    """Stands in for a training: best at a learning rate of 0.001, without dropout."""
    value = 1 - abs(settings.train.learning_rate - 1e-3) * 50 - settings.train.dropout
    for epoch in range(1, settings.train.epochs + 1):
        watch({"epoch": epoch, "validation_accuracy": value * epoch / settings.train.epochs})
    return value


# --- The space ------------------------------------------------------------------------------------


def test_every_end_of_the_shipped_space_is_a_training():
    for method in ("supervised", "sgan-consistency"):
        base = load_settings("full", [f"train.method={method}"])
        space = read_space(None, base)
        assert ("train.generator_learning_rate" in space) == ("sgan" in method)
        assert ("train.threshold" in space) == ("consistency" in method)
        for one in range(2):
            point = {n: (r.choices or (r.low, r.high))[-one] for n, r in space.items()}
            found = settings_at(base, point)
            assert found.train.learning_rate == point["train.learning_rate"]
            assert type(found.train.epochs) is int


def test_factors_change_whole_groups_of_settings():
    found = settings_at(BASE, {"batch": 0.5, "augmentation": 0.5})
    for part in ("labeled", "drawn", "unlabeled", "negatives", "fake"):
        before, after = (getattr(s.train, f"batch_{part}") for s in (BASE, found))
        assert 2 * after == before
    assert found.augment.rotation_degrees == BASE.augment.rotation_degrees / 2
    assert found.augment.zoom_in - 1 == pytest.approx((BASE.augment.zoom_in - 1) / 2)
    assert settings_at(BASE, {"augmentation": 0.0}).augment.zoom_out == 1
    assert settings_at(BASE, {"augmentation": 9.0}).augment.rotation_degrees == 15
    assert settings_at(BASE, {"batch": 1.0, "augmentation": 1.0}) == BASE
    assert settings_at(BASE, {"train.epochs": 2}).train.pretrain_epochs == 1


def test_the_presets_own_point_stands_for_the_preset(search):
    point = point_of(BASE, search.space)
    assert settings_at(BASE, point) == BASE
    far = replace(BASE, train=replace(BASE.train, dropout=0.7))
    assert point_of(far, search.space) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no setting"),
        ('["train.rate"]\nlow = 1\nhigh = 2', r"called 'train.rate'.*\[batch\]"),
        ('["train.dropout"]\nlow = 0.5\nhigh = 0.1', "low the lower one"),
        ('["train.dropout"]\nlow = 0.0\nhigh = 0.5\nlog = true', "true above 0 alone"),
        ('["train.dropout"]\nlow = 0.0\nhigh = 1.5', "dropout must lie in 0..1"),
        ('["train.method"]\nlow = 0.0\nhigh = 1.5', "no number: give choices"),
        ('["train.method"]\nchoices = ["gan"]', "no method 'gan'"),
        ("[batch", "not a TOML file"),
        ("batch = 3", "outside of a"),
    ],
)
def test_a_wrong_space_is_refused(tmp_path, text, says):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=says):
        read_space(path, BASE)


# --- The study ------------------------------------------------------------------------------------


def test_a_study_begins_with_the_preset_finds_better_and_prunes(search, tmp_path):
    study = open_study(search, sqlite(tmp_path))
    run_trials(study, search, 25, tmp_path, pretend)
    trials = finished(study)
    assert len(trials) == 25
    assert trials[0].params == point_of(BASE, search.space)
    pruned = [t for t in trials if t.state == optuna.trial.TrialState.PRUNED]
    assert pruned
    assert all(len(t.intermediate_values) < 10 for t in pruned)
    complete = [t for t in trials if t not in pruned]
    assert {tuple(t.intermediate_values) for t in complete} == {tuple(range(1, 11))}
    assert study.best_value > trials[0].value
    run_trials(study, search, 25, tmp_path, pytest.fail)  # has all its trials
    shown = write_report(study, search, tmp_path)
    best = load_settings(str(tmp_path / "best.toml"))
    assert best == settings_at(BASE, study.best_params)
    load_quantize_settings(str(tmp_path / "best.toml"))  # one preset is for all stages
    assert f"best (trial {study.best_trial.number} of 25)" in shown
    told = json.loads((tmp_path / "tune.json").read_text())
    assert [t["state"] for t in told["trials"]].count("pruned") == len(pruned)
    for name in ("history", "parameters", "courses"):
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()


def test_an_interrupted_trial_is_taken_up_again_in_its_folder(search, tmp_path):
    folders, url = [], sqlite(tmp_path)

    def stops(settings, folder, watch):
        folders.append(folder)
        if len(folders) == 3:
            raise KeyboardInterrupt
        return pretend(settings, folder, watch)

    with pytest.raises(KeyboardInterrupt):
        run_trials(open_study(search, url), search, 5, tmp_path, stops)
    study = open_study(search, url)
    assert len(finished(study)) == 2
    run_trials(study, search, 5, tmp_path, stops)
    assert len(finished(study)) == 5
    assert folders[3] == folders[2]


def test_a_trial_whose_process_was_killed_is_tried_again(search, tmp_path, monkeypatch):
    import semi_supervised.tune.study as module

    monkeypatch.setattr(module, "_HEARTBEAT_SECONDS", 1)
    study = open_study(search, sqlite(tmp_path))
    with pytest.warns(UserWarning, match="Heartbeat of storage"):
        dead = study.ask()
    values = {name: one.suggest(dead, name) for name, one in search.space.items()}
    storage = study._storage._backend
    storage.record_heartbeat(dead._trial_id)
    with storage.engine.begin() as connection:  # its last sign of life was long ago
        connection.exec_driver_sql("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'")
    run_trials(study, search, 3, tmp_path, pretend)
    assert study.trials[0].state == optuna.trial.TrialState.FAIL
    assert values in [trial.params for trial in finished(study)]


def test_everybody_on_a_study_means_the_same(search, tmp_path):
    url = sqlite(tmp_path)
    open_study(search, url)
    open_study(search, url)
    (tmp_path / "manifest.csv").write_text("file,label\nother,a\n")
    with pytest.raises(SettingsError, match="has another manifest; name a new one with --study"):
        open_study(search, url)
    open_study(replace(search, name="another"), url)


def test_a_study_that_another_process_is_beginning_gets_one_first_point(search, tmp_path):
    begun = create_study(sqlite(tmp_path))
    later = threading.Timer(0.5, begun.set_user_attr, ["identity", search.identity()])
    later.start()
    assert open_study(search, sqlite(tmp_path)).trials == []  # whoever began it sees to that
    later.join()


def test_a_study_whose_beginner_died_is_begun_again(search, tmp_path, monkeypatch):
    monkeypatch.setattr("semi_supervised.tune.study._WAITS", 2)
    create_study(sqlite(tmp_path))
    study = open_study(search, sqlite(tmp_path))
    assert len(study.trials) == 1
    assert study.user_attrs["identity"] == search.identity()


def test_a_storage_that_is_none_gets_one_line_without_its_password(search, tmp_path):
    with pytest.raises(InputError) as error:
        open_study(search, "postgresql+psycopg://ada:secret@127.0.0.1:1/nowhere")
    assert "ada@127.0.0.1:1/nowhere: cannot be used" in str(error.value)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
    study = open_study(search, sqlite(tmp_path))
    with pytest.raises(EdgeGlyphError, match="no trial has been trained to its end"):
        write_report(study, search, tmp_path)


# --- A shared database ----------------------------------------------------------------------------

WORKER = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.semi_supervised import test_tune
from semi_supervised.tune.space import read_space
from semi_supervised.tune.study import Search, open_study, run_trials
folder = Path(sys.argv[2])
base = test_tune.BASE
search = Search("study", folder / "manifest.csv", base, read_space(folder / "space.toml", base))
def slowly(*arguments):
    time.sleep(0.05)
    ran.append(1)
    return test_tune.pretend(*arguments)
ran = []
run_trials(open_study(search, sys.argv[3]), search, 12, folder, slowly)
print(len(ran))
"""


def server_program(name):
    """A program of PostgreSQL's server; Debian keeps them out of the way."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (debian[-1] if debian else None)


@pytest.fixture(scope="module")
def postgres():
    """URL of a PostgreSQL of our own, on a socket in a folder of its own; it refuses to be root."""
    initdb, server = server_program("initdb"), server_program("postgres")
    if not initdb or not server:
        pytest.skip("no PostgreSQL server here (Debian: postgresql)")
    as_whom = {"user": "nobody", "cwd": "/"} if os.geteuid() == 0 else {"cwd": "/"}
    folder = Path(tempfile.mkdtemp(prefix="eg-pg-", dir="/tmp"))  # a socket's path must be short
    process = None
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
        options = ["--no-sync", "--auth=trust", "--username=tester", "--encoding=UTF8"]
        data = folder / "data"
        subprocess.run([initdb, "-D", data, *options], check=True, capture_output=True, **as_whom)
        command = [server, "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **as_whom)
        for line in process.stderr:
            if "ready to accept connections" in line:
                break
        yield f"postgresql+psycopg://tester@/postgres?host={folder}"
    finally:
        if process:
            process.send_signal(signal.SIGINT)  # which waits for no client
            process.wait(30)
            process.stderr.close()
        shutil.rmtree(folder, ignore_errors=True)


def test_processes_work_on_one_study_in_postgresql(search, tmp_path, postgres):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", WORKER, root, tmp_path, postgres]
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root)
            )
            for _ in range(3)
        ]
        told = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], told
    ran = [int(out) for out, _ in told]
    study = open_study(search, postgres)
    try:
        assert 12 <= len(finished(study)) <= 14
        assert sum(ran) == len(study.trials)
        assert sum(count > 0 for count in ran) > 1
        assert sorted(t.number for t in study.trials) == list(range(len(study.trials)))
        assert sum(t.params == point_of(BASE, search.space) for t in study.trials) == 1
    finally:
        study._storage._backend.engine.dispose()


# --- A true search --------------------------------------------------------------------------------


def test_the_command_searches_without_the_test_split(class_folders, tmp_path, capsys):
    folder = tmp_path / "crops"
    shutil.copytree(class_folders, folder)
    digits = parse_alphabet("0123456789")
    make_data(str(folder), tmp_path, digits, load_settings("tiny").data)
    for image in read_manifest(tmp_path / "manifest.csv", digits):
        if image.split == "test":
            image.path.write_bytes(b"whoever opens this one fails")
    space = tmp_path / "space.toml"
    space.write_text('["train.learning_rate"]\nlow = 1e-3\nhigh = 1e-2\n')
    command = [
        "tune",
        "--manifest",
        tmp_path / "manifest.csv",
        "--output",
        tmp_path,
        "--workers",
        0,
    ]
    command += ["--preset", "tiny", "--set", "train.steps_per_epoch=1", "--space", space]
    command += ["--set", "train.method=supervised"]
    assert command_line.main([str(c) for c in [*command, "--trials", 2]]) == 0
    shown = capsys.readouterr().out
    assert "learning_rate" in shown
    assert load_settings(str(tmp_path / "tune/best.toml")).train.steps_per_epoch == 1
    assert len(list((tmp_path / "tune/trials").glob("*/metrics.jsonl"))) == 2
    before = (tmp_path / "tune/best.toml").read_bytes()
    assert command_line.main([str(c) for c in [*command, "--trials", 2]]) == 0  # nothing left to do
    assert (tmp_path / "tune/best.toml").read_bytes() == before
