"""The demo's page in a real browser: what is drawn, given or filmed is read as in Python."""

import base64
import json
import threading

import numpy as np
import pytest
from PIL import Image

from edge_runtime.demo.answers import Answers
from edge_runtime.demo.server import DemoServer
from edge_runtime.demo.strokes import parse_strokes, render_strokes
from edge_runtime.images import decode_gray, read_gray
from edge_runtime.preprocess import preprocess
from edge_runtime.recognizer import Recognizer
from tests.browser import FAINT_TEXTS, WIDTHS, chromium, quiet_page, wait_until
from tests.conftest import draw_character
from tests.edge_runtime.conftest import ROOT

SAMPLES = ROOT / "edge_runtime/samples"

# A file's bytes, given to the page as a drop or a paste.
_GIVE = """([kind, name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type }));
  const event = kind === "drop"
    ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
  document.body.dispatchEvent(event);
}"""
_INPUT = """() => [...document.getElementById("input").getContext("2d")
  .getImageData(0, 0, 32, 32).data].filter((_, i) => i % 4 === 0)"""


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.open(ROOT / "models/scene62/scene62.egb", "int8")


class Listening(Answers):
    """Answers, and keeps what was asked."""

    def __init__(self, recognizer):
        super().__init__(recognizer)
        self.heard = []

    def of_image(self, body):
        self.heard.append(body)
        return super().of_image(body)

    def of_drawing(self, body):
        self.heard.append(body)
        return super().of_drawing(body)


@pytest.fixture(scope="module")
def server(recognizer):
    with DemoServer(Listening(recognizer), "int8", 0) as demo:
        threading.Thread(target=demo.serve_forever, daemon=True).start()
        yield demo
        demo.shutdown()


@pytest.fixture(scope="module")
def browser():
    with chromium(camera=True) as opened:
        yield opened


@pytest.fixture
def page(browser, server):
    with quiet_page(browser, viewport={"width": 900, "height": 900}) as opened:
        opened.goto(server.address)
        yield opened


def draw(page, *strokes):
    """Draw with the pointer; strokes are points of the pad, which is 1 × 1."""
    box = page.locator("#pad").bounding_box()
    for stroke in strokes:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=6)
        page.mouse.up()


def settled(page):
    """Wait until no question is on its way."""
    wait_until(page, "() => !busy && !pending && asked > 0")


def give(page, kind, data, name="a.png", mime="image/png"):
    page.evaluate(_GIVE, [kind, name, mime, base64.b64encode(data).decode()])
    settled(page)


def check_shown(page, recognizer, gray):
    """What the page says is what the Python API says of the same pixels."""
    (p,) = recognizer.classify([gray], top_k=6)
    wait_until(
        page,
        "([label, percent]) => document.getElementById('label').textContent === label"
        " && document.getElementById('confidence').textContent === percent",
        [p.label, f"{p.confidence / 10_000:.1f} %"],
    )
    bars = page.locator("#bars li").all_inner_texts()
    assert [bar.split()[:2] for bar in bars] == [[s, f"{v / 10_000:.1f}"] for s, v in p.top]
    assert page.locator("#p-real").inner_text().startswith(f"p_real {p.p_real / 10_000:.1f} %")
    levels = preprocess(gray).ravel().astype(int) + 128
    assert page.evaluate(_INPUT) == levels.tolist()
    alike = page.locator("#alike")
    assert alike.is_visible() == (len(p.alike) > 1)
    if len(p.alike) > 1:
        assert f": {p.alike_confidence / 10_000:.1f} %" in alike.inner_text()


def test_what_is_drawn_is_read(page, server, recognizer):
    strokes = ([(0.3, 0.9), (0.5, 0.1), (0.7, 0.9)], [(0.38, 0.6), (0.62, 0.6)])
    draw(page, *strokes)
    settled(page)
    sent = json.loads(server.answers.heard[-1])["strokes"]
    assert len(sent) == 2
    assert sent[0][0] == pytest.approx([0.3, 0.9], abs=0.01)
    check_shown(page, recognizer, render_strokes(parse_strokes(sent)))
    assert page.locator("#label").inner_text() == "A"
    assert "A, " in page.locator("#spoken").text_content()
    before = page.evaluate(_INPUT)
    page.keyboard.press("Control+z")
    settled(page)
    assert page.evaluate(_INPUT) != before
    page.click("#clear")
    assert page.locator("#waiting").is_visible()
    assert not page.locator("#answer").is_visible()


def test_a_finger_draws_too(browser, server, recognizer):
    options = {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True}
    with quiet_page(browser, **options) as page:
        page.goto(server.address)
        box = page.locator("#pad").bounding_box()
        touch = page.context.new_cdp_session(page)
        for i in range(12):
            point = {
                "x": box["x"] + box["width"] / 2,
                "y": box["y"] + box["height"] * (0.1 + i / 15),
            }
            kind = "touchMove" if i else "touchStart"
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        settled(page)
        (line,) = json.loads(server.answers.heard[-1])["strokes"]
        assert len(line) > 5
        check_shown(page, recognizer, render_strokes([line]))
        assert page.locator("#alike").inner_text().split(":")[0] in {
            f"{a}, {b} or {c}" for a in "1Il" for b in "1Il" for c in "1Il"
        }
        assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_file_is_read_as_in_python(page, recognizer, kind):
    path = SAMPLES / "upper_G.png"
    give(page, kind, path.read_bytes())
    check_shown(page, recognizer, read_gray(path))


def test_a_chosen_file_and_a_part_of_it(page, server, recognizer, tmp_path):
    """The part is cut at the picture's own size: the browser's PNG of it has the same pixels."""
    picture = Image.new("L", (300, 150), 255)
    picture.paste(draw_character("K", 60), (20, 40))
    picture.paste(draw_character("7", 60), (180, 40))
    path = tmp_path / "two.bmp"
    picture.save(path)
    page.click("#tab-picture")
    page.set_input_files("#file", path)
    settled(page)
    check_shown(page, recognizer, read_gray(path))
    box = page.locator("#shown").bounding_box()
    scale = box["width"] / 300

    left, top = box["x"] + 185 * scale, box["y"] + (box["height"] - 150 * scale) / 2
    page.mouse.move(left, top + 35 * scale)
    page.mouse.down()
    page.mouse.move(left + 60 * scale, top + 110 * scale, steps=4)
    page.mouse.up()
    wait_until(page, "() => !document.getElementById('whole').disabled && !busy && !pending")
    wait_until(page, "() => document.getElementById('cost').textContent.includes('from 6')")
    part = decode_gray(server.answers.heard[-1], "part")
    height, width = part.shape
    assert (width, height) == (pytest.approx(61, abs=2), pytest.approx(76, abs=2))
    x0, y0 = page.evaluate("() => part.slice(0, 2)")
    assert np.array_equal(part, np.asarray(picture)[y0 : y0 + height, x0 : x0 + width])
    check_shown(page, recognizer, part)
    assert page.locator("#label").inner_text() == "7"
    page.click("#whole")
    check_shown(page, recognizer, read_gray(path))


def test_other_formats_are_converted_by_the_browser(page, recognizer, tmp_path):
    path = tmp_path / "a.webp"
    draw_character("B", 60).convert("RGB").save(path, lossless=True)
    give(page, "drop", path.read_bytes(), "a.webp", "image/webp")
    check_shown(page, recognizer, np.asarray(draw_character("B", 60)))


def test_hostile_files_get_one_line(page):
    whole = (SAMPLES / "upper_G.png").read_bytes()
    bomb = whole[:16] + (60_000).to_bytes(4, "big") * 2 + whole[24:]
    for data, name, mime, words in [
        (b"", "a.png", "image/png", "the file is empty"),
        (whole[:200], "a.png", "image/png", "damaged or truncated"),
        (bomb, "a.png", "image/png", "over the limit"),
        (b"<svg xmlns='x'><script>alert(1)</script></svg>", "a.svg", "image/svg+xml", "not a PNG"),
        (b"<img src=x onerror=alert(1)>", "<b>.png", "text/html", "not a PNG"),
    ]:
        give(page, "drop", data, name, mime)
        error = page.locator("#error")
        error.filter(has_text=words).wait_for()
        assert error.is_visible()
        assert "\n" not in error.inner_text()
        assert not page.locator("#answer").is_visible()
    page.evaluate("() => openFile(new File([new Uint8Array(17 * 2 ** 20)], 'a.png'))")
    page.locator("#error").filter(has_text="over the limit of 16 MiB").wait_for()
    give(page, "drop", whole)
    page.locator("#answer").wait_for()
    assert not page.locator("#error").is_visible()


def test_the_camera_is_read_while_it_runs(page, server):
    page.click("#tab-camera")
    server.answers.heard.clear()
    page.click("#start")
    page.locator("#answer").wait_for()
    wait_until(page, "() => asked > 6")  # it goes on by itself
    frames = [decode_gray(body, "frame") for body in server.answers.heard]
    assert all(f.shape[1] == pytest.approx(0.8 * f.shape[0], abs=1) for f in frames)
    assert any(not np.array_equal(frames[0], f) for f in frames[1:])
    page.click("#tab-draw")
    assert page.evaluate("() => stream === null && video.srcObject === null")


def test_without_a_mouse(page, recognizer):
    """From the top by Tab, arrows and Enter to a sample's answer."""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-draw"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-picture"
    assert page.locator("#picture").is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.keyboard.press("Tab")
    assert page.locator("#samples button").first.evaluate("(b) => b === document.activeElement")
    page.keyboard.press("Enter")
    check_shown(page, recognizer, read_gray(SAMPLES / "upper_G.png"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_can_be_read(browser, server, width, scheme):
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with quiet_page(browser, **options) as page:
        page.goto(server.address)
        draw(page, [(0.5, 0.1), (0.5, 0.9)])
        page.locator("#alike").wait_for()
        for tab in ("#tab-draw", "#tab-picture", "#tab-camera"):
            page.click(tab)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(FAINT_TEXTS) == []
            for control in page.locator("button:visible, .button:visible").all():
                assert min(control.bounding_box()[k] for k in ("width", "height")) >= 44
        give(page, "drop", b"")
        page.locator("#error").wait_for()
        assert page.evaluate(FAINT_TEXTS) == []
        nameless = "e => !(e.labels?.length || e.textContent.trim() || e.querySelector('img[alt]'))"
        for control in page.locator("button, input").all():
            assert not control.evaluate(nameless)


def test_a_stopped_program_is_told(browser, recognizer):
    page = browser.new_context().new_page()  # which may complain: a request fails on purpose
    demo = DemoServer(Answers(recognizer), "int8", 0)
    threading.Thread(target=demo.serve_forever, daemon=True).start()
    page.goto(demo.address)
    demo.shutdown()
    demo.server_close()
    draw(page, [(0.5, 0.1), (0.5, 0.9)])
    page.locator("#error").filter(has_text="is it still running?").wait_for()
    page.context.close()
