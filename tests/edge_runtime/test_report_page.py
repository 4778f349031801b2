"""The report's page: true to the data, in a real browser, whatever files and labels are called."""

import copy
import json
import re
import shutil
import sys

import jsonschema
import pytest

from edge_runtime.__main__ import main
from edge_runtime.errors import MissingDependencyError
from edge_runtime.evaluation.report_data import SCHEMA_FILE
from edge_runtime.images import read_gray
from edge_runtime.recognizer import Recognizer
from edge_runtime.report import views
from edge_runtime.report.page import render_report, short
from tests.browser import FAINT_TEXTS, chromium, quiet_page
from tests.conftest import draw_character
from tests.edge_runtime.conftest import ROOT

WIDTHS = (360, 768, 1280)
SYMBOLS = "0Oo1IlABEGKRSTXsxz27"
HOSTILE = ("<script>alert(1)<script>", '"onmouseover="alert(1)', "{{ 7*7 }}", "</title>&lt;b>")

# What a page must have for people who hear it or use no mouse: [what is wrong, …].
_UNLABELED = """() => {
  const wrong = [];
  const visible = (node) => node.checkVisibility();
  if (document.querySelectorAll("main, header, footer, h1").length !== 4) wrong.push("landmarks");
  let level = 0;
  for (const h of [...document.querySelectorAll("h1, h2, h3")].filter(visible)) {
    const own = Number(h.tagName[1]);
    if (own > level + 1) wrong.push(`heading ${h.textContent}`);
    level = own;
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption) wrong.push("table without caption");
    if (table.querySelector("th:not([scope])")) wrong.push("th without scope");
  }
  if (document.querySelector("img:not([alt]), img[alt='']")) wrong.push("img without alt");
  for (const svg of document.querySelectorAll("svg")) {
    if (svg.getAttribute("role") !== "img" || !svg.getAttribute("aria-label")) wrong.push("svg");
  }
  for (const link of document.querySelectorAll("a[href^='#']")) {
    if (!document.getElementById(link.hash.slice(1))) wrong.push(link.hash);
  }
  for (const box of document.querySelectorAll(".scroll, .matrix-frame")) {
    if (box.tabIndex !== 0 || !box.getAttribute("aria-label")) wrong.push("scroll");
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  if (new Set(ids).size !== ids.length) wrong.push("ids");
  return wrong;
}"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The shipped network on 40 drawn characters in files with hostile names, and all reports."""
    root = tmp_path_factory.mktemp("report")
    model = ROOT / "models/scene62"
    for name in ("scene62.egb", "model.onnx", "quantization.json"):
        shutil.copy(model / name, root)
    shutil.copy(ROOT / "docs/bench/bench.json", root)
    lines = []
    for i in range(40):
        name = f"{HOSTILE[i % 4]}{i}.png".replace("/", "\u2044")
        draw_character(SYMBOLS[i % 20], 14 + i, 4 * i).save(root / name)
        lines.append(f"{name} {SYMBOLS[i % 20]}")
    (root / "characters.txt").write_text("\n".join(lines) + "\n")
    draw_character("%", 30).save(root / "other.png")
    (root / "negatives.csv").write_text(
        "file,kind,split,source,sha256\nother.png,punctuation <b>,test,drawn,\n"
    )
    given = [
        "--bundle", root / "scene62.egb", "--images", root / "characters.txt",
        "--negatives", root / "negatives.csv", "--rungs", "onnx,int8",
    ]  # fmt: skip
    run(["evaluate", *given, "--ladder", "--json", root / "evaluation.json"])
    run(["robustness", *given, "--count", 2, "--output", root / "robustness"])
    return root


def run(arguments):
    assert main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def report(built):
    """report.json with costs, which take too long to be measured here."""
    path = built / "evaluation.json"
    figures = json.loads(path.read_text("utf-8"))
    cost = dict.fromkeys(("start_s", "median_ms", "p99_ms", "images_per_s", "cpu_ms"), 0.25)
    cost |= {"runs": 30, "peak_bytes": 2**25, "size_bytes": 2**20}
    machine = {
        "processor": "A <processor>", "architecture": "x86_64", "cores": 2,
        "load": [9.0, 1.0, 1.0], "system": "Linux", "python": "3.12",
    }  # fmt: skip
    figures["cost"] = {"machine": machine, "rungs": {"onnx": cost, "int8": cost}}
    path.write_text(json.dumps(figures), "utf-8")
    run(
        [
            *("report", "--bundle", built / "scene62.egb", "--bench", built / "bench.json"),
            *("--output", built / "report"),
        ]
    )
    return json.loads((built / "report/report.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def page_file(built, report):
    return built / "report/index.html"


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


def test_everything_together_has_the_schemas_form(report):
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    judge = jsonschema.Draft202012Validator(schema)
    judge.validate(report)
    assert report["robustness"] is not None
    assert report["bench"] is not None
    assert report["quantizer"] is not None
    assert not judge.is_valid(report | {"groups": None})
    assert not judge.is_valid(report | {"bench": {"schema": 1}})


def test_the_summary_says_what_the_recognizer_finds(built, report, page_file):
    recognizer = Recognizer.open(built / "scene62.egb", "int8")
    lines = (built / "characters.txt").read_text().splitlines()
    grays = [read_gray(built / line.rpartition(" ")[0]) for line in lines]
    found = [p.label for p in recognizer.classify(grays)]
    labels = [line[-1] for line in lines]
    right = sum(a == b for a, b in zip(found, labels, strict=True))
    text = page_file.read_text("utf-8")
    assert f'<p class="big">{100 * right / 40:.1f}\u00a0%</p>' in text
    wrong = [(a, b) for a, b in zip(labels, found, strict=True) if a != b]
    shown = views.matrix(report, "int8")
    assert {(cell.label, cell.found): cell.count for cell in shown.wrong} == {
        pair: wrong.count(pair) for pair in wrong
    }
    merged = str.maketrans("OoIiLl", "001111")
    alike = sum(a.translate(merged).upper() == b.translate(merged).upper() for a, b in wrong)
    assert (shown.alike, shown.elsewhere) == (alike, len(wrong) - alike)
    cells = [cell for _, _, row in shown.rows for cell in row if cell]
    assert sum(cell.count for cell in cells) == 40
    for symbol, n, _ in shown.rows:
        assert n == labels.count(symbol)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_can_be_read(browser, page_file, width, scheme):
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with quiet_page(browser, **options) as page:
        page.goto(page_file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(FAINT_TEXTS) == []
        assert page.evaluate(_UNLABELED) == []
        assert page.evaluate("[...document.images].every((i) => i.naturalWidth > 0)")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper))) < 200) == (scheme == "dark")


def test_cells_show_examples_to_mouse_and_keyboard(browser, report, page_file):
    wrong = views.matrix(report, "int8").wrong
    with quiet_page(browser, viewport={"width": 1280, "height": 900}) as page:
        page.goto(page_file.as_uri())
        tip, buttons = page.locator("#tip"), page.locator("table.matrix button")
        assert buttons.count() == len(wrong) > 1
        for k in (0, len(wrong) - 1):
            button = page.locator(f'button[data-cell="{k}"]')
            button.hover()
            cell = wrong[k]
            said = f"{cell.label} read as {cell.found}: {cell.count} of {cell.n}"
            assert tip.inner_text().splitlines()[0] == said
            assert button.get_attribute("aria-label") == said
            assert tip.locator("img").count() == len(cell.examples)
            picture = report["images"][cell.examples[0]["image"]]["thumbnail"]
            assert tip.locator("img").first.get_attribute("src") == picture
        page.mouse.move(2, 2)
        assert not tip.is_visible()
        buttons.first.focus()
        assert tip.is_visible()
        first = page.evaluate("document.activeElement.dataset.cell")
        page.keyboard.press("ArrowDown")
        second = page.evaluate("document.activeElement.dataset.cell")
        assert second not in (None, first)
        assert wrong[int(second)].label in tip.inner_text()
        assert page.locator("table.matrix button[tabindex='0']").count() == 1
        page.keyboard.press("Escape")
        assert not tip.is_visible()


def test_print_is_light_and_fits(browser, page_file):
    options = {"viewport": {"width": 700, "height": 900}, "color_scheme": "dark"}
    with quiet_page(browser, **options) as page:
        page.goto(page_file.as_uri())
        page.emulate_media(media="print", color_scheme="dark")
        style = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert style == "rgb(255, 255, 255)"
        assert page.evaluate(FAINT_TEXTS) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 700
        assert page.pdf(format="A4").startswith(b"%PDF-")


def test_hostile_labels_stay_text(browser, report, tmp_path):
    """Symbols that are markup, as a user's alphabet may have them, reach the reader as they are."""
    text = json.dumps(report)
    for symbol, evil in (("O", "<b>x"), ("I", "</script><script>alert(1)</script>"), ("S", "'\"&")):
        text = text.replace(json.dumps(symbol), json.dumps(evil))
    page_file = tmp_path / "hostile.html"
    page_file.write_text(render_report(json.loads(text)), "utf-8")
    with quiet_page(browser, viewport={"width": 768, "height": 900}) as page:
        page.goto(page_file.as_uri())
        heads = page.locator("table.matrix thead th").all_text_contents()
        assert {"<b>x", "</script><script>alert(1)</script>", "'\"&"} <= set(heads)
        assert page.locator("script").count() == 2
        files = page.locator(".images .file").evaluate_all("(all) => all.map((one) => one.title)")
        assert any(name in file for name in HOSTILE[:3] for file in files)
        page.locator("table.matrix button").first.hover()
        assert page.locator("#tip b.glyph").first.text_content() in heads


def test_what_was_not_measured_is_said_with_its_command(report):
    """Without robustness, race, quantizer, costs, gate, floats and pictures, each is named."""
    bare = copy.deepcopy(report)
    for part in ("robustness", "bench", "quantizer", "cost", "float_to_int8"):
        bare[part] = None
    bare["provenance"] |= {"robustness": None, "bench": None, "quantization": None}
    bare["summary"]["fastest"] = None
    for one in bare["networks"].values():
        one.pop("gate")
    for one in bare["details"].values():
        one["rejection"] = None
    for image in bare["images"]:
        image["thumbnail"] = None
    page = render_report(bare)
    for command in ("make evaluate", "make robustness", "make quantize", "make bench"):
        assert re.search(rf"not measured\.? *<code>{command}</code>", page), command
    assert page.count("Not measured") == 2
    assert "no longer there" in page
    assert "was not measured" not in render_report(report)


def test_int8_is_called_safe_by_its_interval(report):
    for low, high, verdict in ((-0.4, 1.0, "Yes"), (0.2, 1.1, "Not settled"), (1.1, 3, "No")):
        changed = copy.deepcopy(report)
        changed["float_to_int8"]["points"] |= {"low": low, "high": high}
        assert views.safety(changed)["verdict"] == verdict


def test_many_classes_show_the_most_confused(report):
    symbols = [f"s{i}" for i in range(150)]
    cells = [{"label": s, "found": s, "count": 9, "examples": []} for s in symbols]
    cells.append({"label": "s7", "found": "s140", "count": 3, "examples": []})
    changed = report | {"order": symbols, "groups": [[s] for s in symbols]}
    changed["details"] = {"int8": report["details"]["int8"] | {"confusion": cells}}
    shown = views.matrix(changed, "int8")
    assert (shown.symbols, shown.hidden) == (["s7", "s140"], 148)
    assert [n for _, n, _ in shown.rows] == [12, 9]


def test_without_jinja_it_says_what_to_install(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'edgeglyph\[report\]'"):
        render_report(report)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (0.0333, "0.0333"), (154.2, "154"), (4774, "4,770"), (1.5e-23, "1.5e-23")],
)
def test_numbers_are_short(value, words):
    assert short(value) == words
