"""The plan of an ablation, its data, its scheduling, and one true cell."""

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import InputError, SettingsError
from edge_runtime.labeled_images import read_manifest
from semi_supervised import __main__ as command_line
from semi_supervised import ablation
from semi_supervised.ablation import schedule
from semi_supervised.ablation.budgets import make_budgets
from semi_supervised.ablation.cells import Job, make_jobs, unfinished
from semi_supervised.ablation.plan import Cell, chosen, read_plan
from semi_supervised.ablation.schedule import run_jobs
from semi_supervised.preset_file import write_preset
from semi_supervised.settings import load_settings
from tests.conftest import draw_character

DIGITS = parse_alphabet("0123456789")
PLAN = """
[plan]
preset = "tiny"
methods = ["supervised", "sgan", "sgan-consistency", "consistency"]
labels = [0, 2, "all"]
seeds = [1, 2]
recipe = "sgan-consistency"
recipe_labels = ["all"]
threads = 1

[settings.data]
test_share = 0.25
added_per_class = 1

[settings.train]
epochs = 2
steps_per_epoch = 1

[without.synthesis.train]
batch_drawn = 0
batch_labeled = 32

[without.teacher.teacher]
epochs = 0
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    # As many as this process has: of another number the weights differ in their last bits.
    path.write_text(PLAN.replace("threads = 1", f"threads = {len(os.sched_getaffinity(0))}"))
    return read_plan(path)


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Twelve different pictures of each digit."""
    root = tmp_path_factory.mktemp("crops")
    for symbol in "0123456789":
        (root / symbol).mkdir()
        for i in range(12):
            picture = draw_character(symbol, 18 + 2 * i, 9 * i, i % 4)
            picture.save(root / symbol / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def budgets(plan, crops, tmp_path_factory):
    return make_budgets(str(crops), (), tmp_path_factory.mktemp("ablation") / "data", DIGITS, plan)


def test_the_shipped_plan_is_the_table_that_the_documents_promise():
    plan = read_plan()
    cells = plan.cells()
    assert len(cells) == len(set(cells)) == 3 * (16 + len(plan.ingredients))
    assert set(plan.methods) == {"supervised", "sgan", "sgan-consistency", "consistency"}
    assert plan.labels == (0, 5, 15, "all")
    assert set(plan.without) >= {"synthesis", "negatives", "teacher", "averaging", "augmentation"}
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    steps = {plan.settings_of(cell, unlabeled=True).train.steps for cell in cells}
    assert steps == {1800}  # all the same, of at most 8 minutes
    assert plan.data_settings().data.protocol == "budget"


def test_the_long_plan_measures_on_the_same_images_as_long_as_the_full_preset_trains():
    plan = read_plan(Path(ablation.__file__).with_name("long.toml"))
    assert plan.data_settings().data == read_plan().data_settings().data
    cells = plan.cells()
    assert {cell.method for cell in cells} == {"consistency", "supervised"}
    assert all(cell in read_plan().cells() for cell in cells)
    steps = {plan.settings_of(cell, unlabeled=True).train.steps for cell in cells}
    assert steps == {load_settings("full").train.steps}


def test_an_ingredient_that_the_recipe_lacks_is_not_removed(plan, tmp_path):
    assert plan.ingredients == ("synthesis",)
    path = tmp_path / "plan.toml"
    path.write_text(
        PLAN.replace("[settings.train]", "[settings.teacher]\nepochs = 1\n[settings.train]")
    )
    assert read_plan(path).ingredients == ("synthesis", "teacher")
    without = Cell("sgan-consistency", "all", 1, "teacher")
    assert read_plan(path).settings_of(without, unlabeled=True).teacher.epochs == 0


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"sgan",', '"gan",', "no method 'gan'"),
        ("labels = [0, 2,", "labels = [-1, 2,", "a number or 'all', not -1"),
        ("seeds = [1, 2]", "seeds = [1, 1]", "seeds names something twice"),
        ("threads = 1", "", r"\[plan\] lacks threads"),
        ("threads = 1", "thread = 1", "no key 'thread'"),
        ("epochs = 2", "epoch = 2", "no setting 'epoch'"),
        ("[settings.data]", "[setting.data]", r"no table \[setting\]"),
        ("batch_drawn = 0\nbatch_labeled = 32", "batch_drawn = -1", "must not be negative"),
        ("[plan]", "[plan", "not a TOML file"),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_is_trained(tmp_path, old, new, says):
    path = tmp_path / "plan.toml"
    assert old in PLAN
    path.write_text(PLAN.replace(old, new, 1))
    with pytest.raises(SettingsError, match=says):
        read_plan(path)


def test_cells_are_chosen_by_what_they_are(plan):
    cells = plan.cells()
    found = chosen(cells, ["method=sgan,labels=2", "without=synthesis,seed=1"])
    assert found == [
        Cell("sgan", 2, 1),
        Cell("sgan-consistency", "all", 1, "synthesis"),
        Cell("sgan", 2, 2),
    ]
    assert chosen(cells, []) == cells
    with pytest.raises(SettingsError, match=r"no such cell \(labels: 0, 2, all\)"):
        chosen(cells, ["labels=7"])
    with pytest.raises(SettingsError, match="--only takes"):
        chosen(cells, ["label=2"])


def test_held_out_images_are_the_same_for_all_and_labels_nest(budgets):
    splits, labeled = {}, {}
    for (labels, seed), budget in budgets.of.items():
        images = [i for i in read_manifest(budget.manifest, DIGITS) if i.source != "drawn"]
        splits[labels, seed] = {
            split: {i.sha256 for i in images if i.split == split}
            for split in ("validation", "test")
        }
        labeled[labels, seed] = {i.sha256 for i in images if i.split == "train"}
        counts = Counter(i.label for i in images if i.split == "train")
        if labels != "all":
            assert set(counts.values()) == ({labels} if labels else set())
        assert budget.labeled == sum(counts.values())
        assert budget.unlabeled == sum(i.split == "unlabeled" for i in images)
        sides = [labeled[labels, seed] | {i.sha256 for i in images if i.split == "unlabeled"}]
        sides += splits[labels, seed].values()
        assert sum(map(len, sides)) == len(set.union(*sides))
    assert len({str(sorted(s["test"])) for s in splits.values()}) == 1
    assert len({str(sorted(s["validation"])) for s in splits.values()}) == 1
    for seed in (1, 2):
        assert labeled[0, seed] < labeled[2, seed] < labeled["all", seed]
    assert labeled[2, 1] != labeled[2, 2]


def test_the_data_is_made_once_and_damage_is_found(plan, budgets, crops):
    folder = budgets.of[0, 1].manifest.parent
    before = {p: p.stat().st_mtime_ns for p in folder.glob("*.csv")}
    assert make_budgets(str(crops), (), folder, DIGITS, plan).of == budgets.of
    assert make_budgets(None, (), folder, DIGITS, plan).about == budgets.about
    assert {p: p.stat().st_mtime_ns for p in folder.glob("*.csv")} == before
    path = budgets.of[2, 1].manifest
    text = path.read_text()
    path.write_text(text.replace(",train,", ",test,", 1))
    try:
        with pytest.raises(InputError, match="missing or changed"):
            make_budgets(str(crops), (), folder, DIGITS, plan)
    finally:
        path.write_text(text)


def test_without_real_crops_it_says_what_it_needs(plan, tmp_path):
    for source in ("synthetic", None):
        with pytest.raises(SettingsError, match="measured on real crops"):
            make_budgets(source, (), tmp_path, DIGITS, plan)


def test_cells_with_the_same_settings_and_data_share_a_training(plan, budgets, tmp_path):
    jobs = make_jobs(plan, budgets, tmp_path)
    assert list(jobs) == plan.cells()
    for method, plain in (("consistency", "supervised"), ("sgan-consistency", "sgan")):
        assert jobs[Cell(method, "all", 1)] is jobs[Cell(plain, "all", 1)]
        assert jobs[Cell(method, 2, 1)] is not jobs[Cell(plain, 2, 1)]
    folders = [job.folder for job in set(jobs.values())]
    assert len(folders) == len(set(folders)) == 2 * (12 - 2 + 1)
    longer = replace(plan, settings=(*plan.settings, "train.epochs=3"))
    others = make_jobs(longer, budgets, tmp_path)
    assert not {job.folder for job in others.values()} & set(folders)
    assert make_jobs(plan, budgets, tmp_path) == jobs


# --- Scheduling, with processes that only pretend to train ----------------------------------------

PRETENDS = """
import json, pathlib, sys, time
folder, what = pathlib.Path(sys.argv[1]), sys.argv[2]
(folder / "training").mkdir(exist_ok=True)
began = time.time()
for epoch in range(2):
    with (folder / "training/metrics.jsonl").open("a") as history:
        history.write("{}\\n")
    time.sleep(0.1)
if what == "fails":
    sys.exit("out of luck")
if what == "hangs":
    (folder / "hangs").touch()
    sys.stdin.read()
    (folder / "told").touch()
    sys.exit(1)
result = {"accuracy": {"value": 0.5, "n": 4}, "code": "?", "began": began, "ended": time.time()}
(folder / "measured.json").write_text(json.dumps(result))
"""


def pretended(tmp_path, count):
    settings = load_settings("tiny")
    cells = [Cell("supervised", 1, k + 1) for k in range(count)]
    return [Job(c, settings, tmp_path / "m.csv", tmp_path / c.name, 1) for c in cells]


def pretend(script, **kinds):
    """Commands that pretend; ``seedN`` tells what that seed's does instead of finishing."""

    def command(job):
        kind = kinds.get(f"seed{job.cell.seed}", "finishes")
        return [sys.executable, "-c", script, str(job.folder), kind]

    return command


def test_jobs_run_in_order_and_as_many_at_a_time_as_allowed(tmp_path):
    jobs = pretended(tmp_path, 5)
    command, started = pretend(PRETENDS), []
    assert run_jobs(jobs, 2, jobs, lambda job: started.append(job) or command(job)) == []
    assert started == jobs
    spans = [(m["began"], m["ended"]) for m in (job.measured() for job in jobs)]
    most = max(sum(b <= begin < e for b, e in spans) for begin, _ in spans)
    assert most <= 2
    assert unfinished(jobs, renew=False) == []
    assert load_settings(str(jobs[0].folder / "settings.toml")) == jobs[0].settings


def test_a_failed_cell_takes_no_other_with_it_and_is_tried_again(tmp_path):
    jobs = pretended(tmp_path, 3)
    (failure,) = run_jobs(jobs, 1, jobs, pretend(PRETENDS, seed2="fails"))
    assert failure.job is jobs[1]
    assert failure.why.startswith("exit code 1; out of luck (")
    assert unfinished(jobs, renew=False) == [jobs[1]]
    assert run_jobs([jobs[1]], 1, jobs, pretend(PRETENDS)) == []


def test_an_interrupted_ablation_ends_its_cells(tmp_path, monkeypatch):
    (job,) = jobs = pretended(tmp_path, 1)

    def interrupted(seconds):
        time.sleep(0.01)
        if (job.folder / "hangs").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(schedule, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, 1, jobs, pretend(PRETENDS, seed1="hangs"))
    assert (job.folder / "told").exists()


def test_cells_that_other_code_trained_are_told_and_renewed(tmp_path):
    jobs = pretended(tmp_path, 1)
    run_jobs(jobs, 1, jobs, pretend(PRETENDS))
    assert jobs[0].is_stale
    assert unfinished(jobs, renew=True) == jobs


def test_a_preset_file_holds_every_setting(tmp_path):
    changes = [
        "data.train_sources=hand,scene",
        "data.protocol=cross-source",
        "train.alignment=false",
    ]
    settings = load_settings("full", [*changes, "train.learning_rate=1e-5"])
    write_preset(tmp_path / "own.toml", settings, ["A comment."])
    assert load_settings(str(tmp_path / "own.toml")) == settings
    assert (tmp_path / "own.toml").read_text().startswith("# A comment.\n\n[data]\n")


def test_the_command_tells_states_and_two_do_not_train_in_one_folder(
    plan, crops, tmp_path, run_cli
):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    command = ["ablation", "--output", tmp_path / "out", "--plan", path, "--alphabet", "0123456789"]
    code, _, err = run_cli(command_line.main, *command)
    assert code == 2
    assert "measured on real crops" in err
    code, out, _ = run_cli(command_line.main, *command, "--source", crops, "--list")
    assert code == 0
    assert re.search(r"sgan-2-1 +0 of 2 epochs +sgan-2-1-\w{10}", out)
    with (tmp_path / "out/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = run_cli(command_line.main, *command)
        assert code == 2
        assert "another ablation runs there" in err
        code, out, _ = run_cli(command_line.main, *command, "--report-only")
    assert code == 0
    assert "trainings have not been run" in out
    assert "No training" in (tmp_path / "out/ablation.md").read_text()


# --- True cells -----------------------------------------------------------------------------------


def test_a_cells_process_ends_with_the_one_that_started_it():
    code = "from semi_supervised.ablation import cell; cell.end_with_parent(); print('here')"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", f"{code}; import time; time.sleep(600)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout.readline() == b"here\n"
        process.stdin.close()
        assert process.wait(30) == 1


def test_a_cell_is_resumed_and_measured(plan, budgets, tmp_path, monkeypatch):
    """An interrupted cell ends with what an undisturbed one has; its test bits are right."""
    from semi_supervised.ablation.cell import train_and_measure
    from semi_supervised.training import trainer
    from semi_supervised.training.checkpoints import load_best
    from semi_supervised.training.images import load_evaluation

    job = make_jobs(plan, budgets, tmp_path)[Cell("supervised", 2, 1)]
    write_preset(tmp_path / "whole/settings.toml", job.settings)
    train_and_measure(tmp_path / "whole", job.manifest, 0)
    whole = json.loads((tmp_path / "whole/measured.json").read_text())
    make_batches = trainer.make_batches

    def stops(*arguments):
        yield next(make_batches(*arguments))  # an epoch of two
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "make_batches", stops)
    write_preset(job.folder / "settings.toml", job.settings)
    with pytest.raises(KeyboardInterrupt):
        train_and_measure(job.folder, job.manifest, 0)
    assert job.epochs_done() == 1
    assert job.measured() is None
    assert run_jobs([job], 1, [job]) == []
    measured = job.measured()
    assert measured["correct"] == whole["correct"]
    assert measured["weights_sha256"] == whole["weights_sha256"]
    test = load_evaluation(job.manifest, DIGITS, "test")
    network, _, _ = load_best(job.folder / "training/best.npz")
    answers = network(test.inputs.astype("float32") / 128).logits.numpy().argmax(axis=1)
    assert measured["correct"] == "".join(
        "01"[int(a == b)] for a, b in zip(answers, test.labels, strict=True)
    )
    assert measured["accuracy"]["n"] == len(test.labels) == 30
    assert [row["epoch"] for row in measured["history"]] == [1, 2]
    assert measured["gate"]["n"] > 0
    best = json.loads((job.folder / "training/result.json").read_text())["best"]
    assert best["epoch"] == 2  # the last one: no validation label chooses
