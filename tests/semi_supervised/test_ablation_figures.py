"""Statistics, tables, sentences and documents of an ablation, from made-up measurements."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edge_runtime.errors import InputError
from edge_runtime.metrics import wilson
from semi_supervised.ablation.budgets import Budgets
from semi_supervised.ablation.cells import MEASURED, Job
from semi_supervised.ablation.code import code_digest
from semi_supervised.ablation.conclusions import comparisons, conclusions
from semi_supervised.ablation.document import write_documents
from semi_supervised.ablation.figures import difference, gather, interval_of_mean
from semi_supervised.ablation.plan import Cell, read_plan
from semi_supervised.ablation.tables import accuracy_table, generator_table, points

N = 400
PLAN = replace(read_plan(), labels=(0, 5, "all"), recipe_labels=("all",))
ABOUT = {"source": "Img", "training": 100, "validation": 20, "test": N}
DOCUMENT = "Before.\n<!-- ablation: begin -->\nfrom last time\n<!-- ablation: end -->\nAfter.\n"


def measured(correct, code=None, let_in=0.25, seconds=90):
    accuracy = wilson(int(correct.sum()), len(correct)).as_json()
    return {
        "schema": 1,
        "accuracy": accuracy,
        "metrics": {"top1_36": accuracy},
        "gate": {"value": let_in, "n": 8, "low": 0.1, "high": 0.4},
        "correct": "".join("01"[int(c)] for c in correct),
        "history": [
            {"epoch": e, "validation_accuracy": 0.1 * e, "validation_nll": 1.0} for e in (1, 2, 3)
        ],
        "seconds": seconds,
        "steps": 12,
        "weights_sha256": "w",
        "manifest_sha256": "m",
        "with": {"tensorflow": "2"},
        "code": code or code_digest(),
    }


def make_cells(folder, accuracy_of, plan=PLAN, code=None):
    """Jobs of every cell; those of which ``accuracy_of`` tells an accuracy are measured.

    Images differ in how hard they are, so that cells agree on most of them.
    """
    hard = np.random.default_rng(7).uniform(size=N)
    jobs = {}
    for cell in plan.cells():
        trained = cell
        if cell.labels == "all":
            methods = {"consistency": "supervised", "sgan-consistency": "sgan"}
            trained = replace(cell, method=methods.get(cell.method, cell.method))
        settings = plan.settings_of(cell, unlabeled=cell.labels != "all")
        jobs[cell] = job = Job(trained, settings, folder / "m.csv", folder / trained.name, 1)
        accuracy = accuracy_of(trained)
        if accuracy is not None:
            noise = np.random.default_rng([cell.seed, len(trained.name)]).normal(0, 0.02, N)
            job.folder.mkdir(exist_ok=True)
            let_in = 0.25 + ("sgan" in cell.method) * (0.1 + 0.01 * cell.seed)
            # Most sgan trainings take half as long again; one met a busy machine.
            seconds = 90 * (1.5 if "sgan" in cell.method else 1.0) + 900 * (cell.seed == 3)
            told = measured(hard + noise < accuracy, code, let_in, seconds)
            (job.folder / MEASURED).write_text(json.dumps(told))
    return jobs


def made_up(cell):
    """The GAN harms by 6 points, consistency does nothing, synthesis is worth 20 points."""
    base = {0: 0.5, 5: 0.6, "all": 0.8}[cell.labels]
    base -= 0.06 if "sgan" in cell.method else 0
    return base - {"": 0.0, "synthesis": 0.2}.get(cell.without, 0.0)


def test_intervals_hold_what_they_promise():
    """The true mean is in about 95 % of the intervals, whatever the spread comes from."""
    rng = np.random.default_rng(3)
    for of_seeds, of_images, of_both in ((0.02, 0.3, 0.1), (0.05, 0.05, 0.2), (0.0, 0.3, 0.0)):
        inside = 0
        for _ in range(400):
            values = 0.1 + rng.normal(0, of_seeds, (3, 1)) + rng.normal(0, of_images, (1, 200))
            found = interval_of_mean(values + rng.normal(0, of_both, (3, 200)))
            inside += found.low <= 0.1 <= found.high
        assert inside >= 0.915 * 400, (of_seeds, of_images, of_both)
    only = interval_of_mean(np.array([[1.0, 0.0, 1.0, 1.0]]))
    assert (only.value, only.n) == (0.75, 4)
    # Of one seed: Student's interval of a sample, 0.75 ± 3.182 · 0.5 / √4.
    assert only.high == pytest.approx(0.75 + 3.182 * 0.25, abs=1e-3)


def test_differences_are_of_the_same_seeds_and_clear_only_with_two(tmp_path):
    rows = gather(PLAN, make_cells(tmp_path, lambda c: None if c.seed == 2 else made_up(c)))
    a, b = rows["sgan", 5, ""], rows["supervised", 5, ""]
    found = difference(a, b)
    assert found.seeds == (1, 3)
    assert found.points.value == pytest.approx(100 * (a.correct.mean() - b.correct.mean()))
    assert found.is_clear
    assert found.points.high < 0
    assert [t.n for t in found.tests] == [N, N]
    one = replace(a, seeds=(1,), correct=a.correct[:1], records=a.records[:1])
    assert difference(one, b).points.high < 0
    assert not difference(one, b).is_clear
    assert difference(replace(one, seeds=(2,)), b) is None


def test_the_table_shows_means_spreads_and_what_was_not_run(tmp_path):
    def some(cell):
        if cell.labels == 0 or (cell.labels == 5 and cell.seed == 3):
            return None
        return made_up(cell)

    rows = gather(PLAN, make_cells(tmp_path, some))
    lines = accuracy_table(PLAN, rows).splitlines()
    assert "0 labels per class" in lines[0]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines[2:]]
    supervised, _, both, consistency = cells
    assert supervised[0] == "supervised"
    assert supervised[1] == "not run"
    accuracies = rows["supervised", 5, ""].correct.mean(axis=1)
    mean, deviation = 100 * np.mean(accuracies), 100 * np.std(accuracies, ddof=1)
    assert supervised[2] == f"{mean:.1f} ± {deviation:.1f} % (2 of 3 seeds)"
    assert consistency[3] == "as supervised"
    assert both[3] == "as sgan"
    assert "not run" in generator_table(PLAN, rows)


def test_conclusions_follow_from_the_figures(tmp_path):
    rows = gather(PLAN, make_cells(tmp_path, made_up))
    told = " ".join(conclusions(PLAN, rows))
    compared = difference(rows["sgan", 0, ""], rows["supervised", 0, ""]).points
    first = f"−{-compared.value:.1f} (−{-compared.low:.1f} to −{-compared.high:.1f}) with 0 labels"
    assert f"**The generator (GAN)**, `sgan` minus `supervised`, in points: {first};" in told
    assert "It harms with 0 labels, 5 labels and all labels." in told
    assert "There is no clear difference with 0 labels and 5 labels." in told  # consistency
    pairs = [difference(rows["sgan", n, ""], rows["supervised", n, ""]) for n in PLAN.labels]
    mean = points(sum(pair.points.value for pair in pairs) / len(pairs))
    found = re.search(r"All 9 pairs of trainings together: (\S+) \(−\S+ to −\S+\)", told)
    assert found[1] == mean
    # 15 pairs, five of them 11, 12 and 13 points apart: 12 ± 2.145 · √(10/14 / 15).
    generator, consistency = re.findall(r"\*\*The gate\.\*\* \S[^:]*? by (.*?\)), all pairs", told)
    assert generator == "+12.0 points (+11.5 to +12.5)"
    assert consistency == "+0.0 points (+0.0 to +0.0, not clear)"
    whole = rows["sgan-consistency", "all", ""]
    lost = difference(rows["sgan-consistency", "all", "synthesis"], whole).points.value
    assert f"doing without: synthesis −{-lost:.1f} (" in told  # the most costly to lose first
    assert re.search(r"negatives [+−]\d\.\d \([^)]*, not clear\)", told)
    assert "the median: `supervised` 1.5; `sgan` 2.2 (150 % of that); `sgan-cons" in told
    better = replace(PLAN, seeds=(1, 2))
    folder = tmp_path / "better"
    folder.mkdir()
    jobs = make_cells(folder, lambda c: 0.9 if c.method == "sgan" else 0.7, better)
    told = " ".join(conclusions(better, gather(better, jobs)))
    assert "It helps with 0 labels, 5 labels and all labels." in told


def test_a_training_is_not_compared_with_itself(tmp_path):
    rows = gather(PLAN, make_cells(tmp_path, made_up))
    title, key = f"{PLAN.recipe} without averaging", (PLAN.recipe, "all", "averaging")
    assert title in [first for first, *_ in comparisons(PLAN, rows)]
    shared = replace(rows[PLAN.recipe, "all", ""], row=key)  # removing it changed nothing
    assert title not in [first for first, *_ in comparisons(PLAN, rows | {key: shared})]


def test_documents_are_written_between_markers_with_their_plots(tmp_path):
    jobs = make_cells(tmp_path, made_up)
    sheets = jobs[Cell("sgan", "all", 3)].folder / "training/generated"
    sheets.mkdir(parents=True)
    for epoch in range(1, 8):
        Image.new("L", (512, 192), 30 * epoch).save(sheets / f"epoch-{epoch:03d}.png")
    document, short = tmp_path / "docs/whole.md", tmp_path / "docs/README.md"
    summary = tmp_path / "docs/training.md"
    document.parent.mkdir()
    document.write_text(DOCUMENT)
    short.write_text("<!-- generator: begin --><!-- generator: end -->")
    summary.write_text("<!-- methods: begin --><!-- methods: end --> Further.")
    output = tmp_path / "out"
    documents = [document, summary, short]
    shown = write_documents(PLAN, jobs, Budgets({}, ABOUT), output, documents)
    text = document.read_text("utf-8")
    assert text.startswith("Before.\n<!-- ablation: begin -->\n")
    assert text.endswith("\n<!-- ablation: end -->\nAfter.\n")
    assert "from last time" not in text
    for name in ("accuracy.svg", "gate.svg", "curves.svg", "ingredients.svg", "generated.svg"):
        assert f"](ablation/{name})" in text
        assert "<svg" in (document.parent / "ablation" / name).read_text()
        assert (output / name).exists()
    assert "GAN off" in short.read_text("utf-8")
    said = conclusions(PLAN, gather(PLAN, jobs))
    assert all(sentence in summary.read_text("utf-8") for sentence in said)
    for name in ("accuracy.svg", "gate.svg", "curves.svg", "ingredients.svg", "generated.svg"):
        assert f"](ablation/{name})" in summary.read_text("utf-8")
    assert summary.read_text("utf-8").endswith("<!-- methods: end --> Further.")
    told = json.loads((document.parent / "ablation/ablation.json").read_text("utf-8"))
    assert len(told["rows"]) == 12 + len(PLAN.ingredients)
    assert accuracy_table(PLAN, gather(PLAN, jobs)) in shown
    again = (output / "accuracy.svg").read_bytes()
    write_documents(PLAN, jobs, Budgets({}, ABOUT), output, [document])
    assert (output / "accuracy.svg").read_bytes() == again
    assert document.read_text("utf-8") == text


def test_a_document_says_what_is_missing_or_of_other_code(tmp_path):
    document = tmp_path / "document.md"
    document.write_text(DOCUMENT)
    nothing = make_cells(tmp_path, lambda cell: None)
    write_documents(PLAN, nothing, Budgets({}, ABOUT), tmp_path, [document])
    assert "No training of the ablation has been run yet" in document.read_text("utf-8")
    old = make_cells(tmp_path, lambda c: made_up(c) if c.seed == 1 else None, code="old")
    shown = write_documents(PLAN, old, Budgets({}, ABOUT), tmp_path, [])
    total = len(set(old.values()))
    assert f"{total * 2 // 3} of {total} trainings have not been run." in shown
    assert f"{total // 3} trainings are by other code" in shown
    assert "One seed alone is no proof" in shown
    document.write_text("no markers")
    with pytest.raises(InputError, match="lacks the markers"):
        write_documents(PLAN, nothing, Budgets({}, ABOUT), tmp_path, [document])
    document.write_text("<!-- ablation: begin -->")
    with pytest.raises(InputError, match=r"lacks the marker <!-- ablation: end -->"):
        write_documents(PLAN, nothing, Budgets({}, ABOUT), tmp_path, [document])


def test_cells_of_different_test_images_are_not_mixed(tmp_path):
    jobs = make_cells(tmp_path, made_up)
    job = jobs[Cell("sgan", 0, 1)]
    (job.folder / MEASURED).write_text(json.dumps(measured(np.ones(3, bool))))
    with pytest.raises(InputError, match=r"measured on \[3, 400\] images"):
        gather(PLAN, jobs)
