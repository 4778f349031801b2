"""Pages as people see them: the system's chromium, without a window."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (375, 800, 1400)
_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

# Texts with less contrast than 4.5 to 1 against what is behind them (WCAG 2.2, 1.4.3), disabled
# controls apart: [[text, ratio], …].
FAINT_TEXTS = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => parse(c).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const color = getComputedStyle(n).backgroundColor;
      if ((parse(color)[3] ?? 1) > 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !parent.checkVisibility()) continue;
    if (parent.closest(":disabled, script, style, noscript")) continue;
    const [a, b] = [light(getComputedStyle(parent).color), light(behind(parent))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push([walker.currentNode.data.trim(), ratio]);
  }
  return faint;
}"""


def wait_until(page: Page, condition: str, argument: object = None) -> None:
    """Ask again and again; Playwright's own wait_for_function is stopped by the pages' policies."""
    deadline = time.monotonic() + 90
    while not page.evaluate(condition, argument):
        assert time.monotonic() < deadline, f"waited in vain for {condition}"
        page.wait_for_timeout(30)


@contextmanager
def chromium(camera: bool = False) -> Iterator[Browser]:
    """The system's chromium; skips the test where there is none. Nothing is downloaded."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no {NAMES[0]} on this machine")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=[*arguments, *(_CAMERA if camera else ())]
        )
        yield browser
        browser.close()


@contextmanager
def quiet_page(browser: Browser, **options: object) -> Iterator[Page]:
    """A page on which nothing may go to the console, be thrown, or be asked of other hosts."""
    context = browser.new_context(**options)
    context.set_default_timeout(90_000)  # of a busy machine
    page = context.new_page()
    said: list[str] = []
    hosts: set[str] = set()
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    yield page
    assert said == [], said
    assert {host.partition(":")[0] for host in hosts if host} <= {"127.0.0.1"}, hosts
    context.close()
