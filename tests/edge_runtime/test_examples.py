"""The examples: programs that follow the specifications alone give the reference's answers."""

import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_runtime.formats import FORMATS
from edge_runtime.formats.c99 import FLAGS
from edge_runtime.formats.format import Load
from edge_runtime.images import read_gray
from edge_runtime.preprocess import preprocess
from edge_runtime.recognizer import Recognizer
from edge_runtime.scores import float_probabilities
from tests.conftest import draw_character
from tests.edge_runtime.conftest import ROOT

EXAMPLES = ROOT / "examples"
SHIPPED = ROOT / "models/scene62/scene62.egb"
# Where ONNX Runtime's headers may be beside the compiler's own folders.
HEADER = "onnxruntime_cxx_api.h"
INCLUDES = (os.environ.get("ORT_INCLUDE"), "/usr/include/onnxruntime", "/usr/local/include")
WEB = (
    os.environ.get("ONNXRUNTIME_WEB"),
    ROOT / "build/web/node_modules/onnxruntime-web/dist",
)
EXACT = ("c", "onnx-int8")
REQUANTIZED = [name for name in FORMATS if FORMATS[name].calibrated]
REQUANTIZED += ["tflite-dynamic", "tflite-fp16"]
# Runs an example with its own folder on the path, and nothing of this project.
ALONE = (
    "import runpy, sys; folder, name, *rest = sys.argv[1:]; sys.path.insert(0, folder);"
    "sys.argv = [name, *rest]; runpy.run_path(f'{folder}/{name}', run_name='__main__');"
    "assert not [m for m in sys.modules if m.startswith(('edge_runtime', 'quantize'))]"
)


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Gray and colored, opaque and not, small, large, narrow; as .png and .pgm of the same gray."""
    folder = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(0)
    for number, (symbol, size) in enumerate(zip("aB3kQ7", (9, 24, 60, 32, 140, 47), strict=True)):
        image = draw_character(symbol, size)
        if number % 3:
            noise = rng.integers(0, 120, (*image.size[::-1], 3 + number % 2))
            pixels = np.asarray(image.convert("RGB")).astype(int)
            layers = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255)], axis=2)
            image = Image.fromarray((layers[..., : 3 + number % 2] - noise).clip(0).astype("u1"))
        image.save(folder / f"{number}.png")
        Image.fromarray(read_gray(folder / f"{number}.png")).save(folder / f"{number}.pgm")
    return folder


def answers(conversions, name, paths):
    """(label, confidence, p_real) of the network that a format was made from, as this project says.

    Of formats that were quantized anew: what their own logits make.
    """
    grays = [read_gray(path) for path in paths]
    if name not in REQUANTIZED:
        backend = "int8" if name in EXACT else "onnx"
        found = Recognizer.open(SHIPPED, backend).classify(grays, 1)
        return [(one.label, one.confidence / 1e6, one.p_real / 1e6) for one in found]
    source = conversions.source
    path = conversions.get(name) / f"scene62{FORMATS[name].suffix}"
    session = FORMATS[name].open(source, path, Load(1, 1))
    logits = session.logits(np.stack([preprocess(gray) for gray in grays]))
    probabilities, p_real = float_probabilities(logits, source.bundle.temperature)
    symbols = source.bundle.alphabet.symbols
    return [
        (symbols[row.argmax()], row.max() / 1e6, real / 1e6)
        for row, real in zip(probabilities, p_real, strict=True)
    ]


def check(rows, paths, wanted):
    """Compare what a program printed, (name, label, confidence, p_real)."""
    assert [row[0] for row in rows] == list(map(str, paths))
    assert [row[1] for row in rows] == [one[0] for one in wanted]
    numbers = [[float(row[2]), float(row[3])] for row in rows]
    assert np.abs(np.array(numbers) - [one[1:] for one in wanted]).max() < 2e-5


def run(command, paths):
    done = subprocess.run(
        [*map(str, command), *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.filterwarnings("ignore")  # of the engines' own converters
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "c"])
def test_python(name, conversions, crops):
    program = {"tflite": "litert", "openvino": "openvino", "onnx": "onnx"}[name.partition("-")[0]]
    paths = sorted(crops.glob("*.png"))
    command = [sys.executable, "-I", "-W", "ignore", "-c", ALONE, EXAMPLES / "python"]
    command += [f"classify_{program}.py", conversions.get(name)]
    check(run(command, paths), paths, answers(conversions, name, paths))


def test_c(conversions, crops, tmp_path):
    if not shutil.which("cc"):
        pytest.skip("no cc on this machine")
    folder, paths = conversions.get("c"), sorted(crops.glob("*.pgm"))
    line = ["cc", *FLAGS, "-O2", "-I", folder, EXAMPLES / "c/classify.c", folder / "scene62.c"]
    subprocess.run([*map(str, line), "-o", tmp_path / "classify"], check=True)
    check(run([tmp_path / "classify"], paths), paths, answers(conversions, "c", paths))
    (tmp_path / "short.pgm").write_bytes(b"P5 4 4 255\n123")
    done = subprocess.run([tmp_path / "classify", tmp_path / "short.pgm"], capture_output=True)
    assert done.returncode == 2
    assert b"not a binary PGM" in done.stderr


@pytest.fixture(scope="module")
def cpp_program(tmp_path_factory):
    """The C++ example, with the headers of this machine and the library of the Python package."""
    places = [*INCLUDES, *(file.parent for file in (ROOT / "build/headers").rglob(HEADER))]
    include = next((f for f in places if f and (Path(f) / HEADER).is_file()), None)
    if include is None or not shutil.which("g++"):
        pytest.skip(f"no g++, or no {HEADER}: set ORT_INCLUDE to its folder (examples/README.md)")
    ort = pytest.importorskip("onnxruntime", reason="no onnxruntime: pip install 'edgeglyph[onnx]'")
    library = next((Path(ort.__file__).parent / "capi").glob("libonnxruntime.so*"))
    folder = tmp_path_factory.mktemp("cpp")
    (folder / "libonnxruntime.so.1").symlink_to(library)
    line = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-isystem", include]
    line += [EXAMPLES / "cpp/classify.cpp", folder / "libonnxruntime.so.1", f"-Wl,-rpath,{folder}"]
    subprocess.run([*map(str, line), "-o", folder / "classify"], check=True)
    return folder / "classify"


@pytest.mark.parametrize("name", [name for name in FORMATS if name.startswith("onnx")])
def test_cpp(name, cpp_program, conversions, crops):
    paths = sorted(crops.glob("*.pgm"))
    model = conversions.get(name) / "scene62.onnx"
    check(run([cpp_program, model], paths), paths, answers(conversions, name, paths))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the page and ONNX Runtime for browsers, served on this machine."""
    web = next((f for f in WEB if f and (Path(f) / "ort.wasm.min.mjs").is_file()), None)
    if web is None:
        pytest.skip("no onnxruntime-web: npm install --prefix build/web onnxruntime-web")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLES / "web", folder, dirs_exist_ok=True)
    (folder / "ort").symlink_to(Path(web).resolve())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    Quiet.extensions_map = {**Quiet.extensions_map, ".mjs": "text/javascript"}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_web(name, site, conversions, crops):
    """Opaque pictures: a canvas keeps colors of transparent pixels only roughly."""
    browser_tests = pytest.importorskip("tests.browser", reason="no playwright")
    folder, address = site
    shutil.copytree(conversions.get(name), folder, dirs_exist_ok=True)
    paths = [path for path in sorted(crops.glob("*.png")) if path.read_bytes()[25] != 6]  # RGBA
    with browser_tests.chromium() as browser:
        page = browser.new_page()
        page.goto(address)
        page.set_input_files("#files:enabled", [str(path) for path in paths], timeout=90_000)
        done = "(n) => document.querySelectorAll('#answers tr').length == n"
        browser_tests.wait_until(page, done, len(paths))
        rows = page.evaluate(
            "[...document.querySelectorAll('#answers tr')]"
            ".map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        page.close()
    check(rows, [path.name for path in paths], answers(conversions, name, paths))


def test_examples_do_without_this_project():
    for file in EXAMPLES.rglob("*.*"):
        if file.suffix not in (".md", ".pyc"):
            assert "edge_runtime" not in file.read_text("utf-8")


def test_preprocessing_is_the_specifications(tmp_path):
    """The picture at the end of docs/preprocessing.md, and any other."""
    script = (
        "import sys, numpy as np; sys.path.insert(0, sys.argv[1]);"
        "from characters import preprocess;"
        "np.save(sys.argv[3], np.stack([preprocess(g)[0] for g in np.load(sys.argv[2]).values()]))"
    )
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:57, :41]
    grays = [((7 * x + 13 * y + (x * y % 31)) % 256).astype(np.uint8)]
    grays += [
        rng.integers(low, low + span, rng.integers(1, 200, 2)).astype(np.uint8)
        for low, span in [(0, 256), (100, 7), (100, 9), (0, 2), (200, 56)] * 6
    ]
    np.savez(tmp_path / "grays.npz", *grays)
    line = [sys.executable, "-I", "-c", script, EXAMPLES / "python"]
    line += [tmp_path / "grays.npz", tmp_path / "found.npy"]
    subprocess.run(list(map(str, line)), check=True)
    found = np.load(tmp_path / "found.npy")
    assert hashlib.sha256(found[0].tobytes()).hexdigest() == (
        "9bc9ded4c0fe5e495bbb48508cb00334fd3b59bc7f48238b43a9445340109da1"
    )
    assert np.array_equal(found, [preprocess(gray) for gray in grays])
