"""Two results side by side, against scipy and a recognizer that answers image by image."""

import json

import numpy as np
import pytest
import scipy.stats

from edge_runtime.__main__ import main
from edge_runtime.images import read_gray
from edge_runtime.recognizer import Recognizer
from edge_runtime.report.compare import compare
from tests.browser import FAINT_TEXTS, chromium, quiet_page
from tests.conftest import draw_character
from tests.edge_runtime.conftest import ROOT

MODELS = {name: ROOT / f"models/{name}/{name}.egb" for name in ("scene62", "fonts62")}
SYMBOLS = "0O1IlSsZ2cCwWkK"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Both shipped networks on the same 45 drawn characters."""
    root = tmp_path_factory.mktemp("compare")
    lines = []
    for i in range(45):
        draw_character(SYMBOLS[i % 15], 14 + i, 4 * i, i % 7).save(root / f"{i:02d}.png")
        lines.append(f"{i:02d}.png {SYMBOLS[i % 15]}")
    (root / "characters.txt").write_text("\n".join(lines) + "\n")
    for name, bundle in MODELS.items():
        arguments = ["evaluate", "--bundle", bundle, "--images", root / "characters.txt"]
        arguments += ["--backend", "int8", "--json", root / f"{name}.json"]
        assert main([str(a) for a in arguments]) == 0
    return root


@pytest.fixture(scope="module")
def sides(folder):
    return folder / "scene62.json", folder / "fonts62.json"


def changed(path, target, **changes):
    target.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
    return target


def test_the_same_images_are_paired(folder, sides):
    correct = []
    grays = [read_gray(folder / f"{i:02d}.png") for i in range(45)]
    for bundle in MODELS.values():
        found = Recognizer.open(bundle, "int8").classify(grays)
        correct.append(np.array([p.label == SYMBOLS[i % 15] for i, p in enumerate(found)]))
    only_a, only_b = (int((x & ~y).sum()) for x, y in (correct, correct[::-1]))
    assert only_a + only_b > 0
    found = compare(*sides)
    assert (found.a.name, found.b.name) == ("scene62", "fonts62")
    assert (found.test.only_first, found.test.only_second) == (only_a, only_b)
    judged = scipy.stats.binomtest(only_a, only_a + only_b).pvalue
    assert found.test.p == pytest.approx(judged)
    assert found.difference.value == pytest.approx(100 * (only_b - only_a) / 45)
    for label, answer, a, b in found.confusions:
        assert label != answer
        assert a != b
    swapped = compare(*reversed(sides))
    assert swapped.difference.value == pytest.approx(-found.difference.value)
    assert swapped.test.p == pytest.approx(found.test.p)


def test_a_network_is_no_better_than_itself(sides):
    found = compare(sides[0], sides[0])
    assert found.difference.value == 0
    assert found.verdict == "No difference that 45 images can show."
    assert (found.classes, found.confusions) == ([], [])


def test_other_images_are_not_paired(sides, tmp_path):
    other = changed(sides[1], tmp_path / "other.json", images_sha256="0" * 64)
    found = compare(sides[0], other)
    assert found.test is None
    assert "not the same" in found.text()


def test_table_and_page(sides, tmp_path, run_cli):
    code, out, err = run_cli(main, "report", "--compare", *sides, "--output", tmp_path)
    assert code == 0, err
    assert "McNemar's test p = " in out
    assert out.rstrip().endswith("compare.html")
    with chromium() as browser:
        for width, scheme in ((360, "dark"), (768, "light"), (1280, "light")):
            options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
            with quiet_page(browser, **options) as page:
                page.goto((tmp_path / "compare.html").as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.evaluate(FAINT_TEXTS) == []
                big = page.locator(".big").all_text_contents()
                accuracy = compare(*sides).a.metric("top1_62").value
                assert big[0] == f"{100 * accuracy:.1f}\u00a0%"


def test_what_cannot_be_compared_gets_one_line(sides, tmp_path, run_cli):
    alphabet = json.loads(sides[0].read_text("utf-8"))["alphabet"]
    lines = {
        changed(sides[0], tmp_path / "a.json", alphabet=[*alphabet, "é"]): "one lacks é",
        changed(sides[0], tmp_path / "b.json", alphabet=alphabet[::-1]): "the order differs",
        changed(sides[0], tmp_path / "c.json", details={}): "not a report or an evaluation",
        tmp_path / "none.json": "no such file",
        tmp_path: "no such file",
    }
    (tmp_path / "d.json").write_text("[1, 2")
    lines[tmp_path / "d.json"] = "is no JSON"
    (tmp_path / "e.json").write_text("[1, 2]")
    lines[tmp_path / "e.json"] = "not a report or an evaluation"
    for other, words in lines.items():
        code, out, err = run_cli(main, "report", "--compare", sides[0], other)
        assert (code, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1
    code, _, err = run_cli(main, "report", "--output", tmp_path)
    assert code == 2
    assert "--compare A B" in err
