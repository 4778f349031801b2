"""Put an evaluated classifier into models/NAME/, with its model card and the README's table.

Every number on the card and in the README comes from the files that the stages wrote.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

from edge_runtime.errors import InputError
from edge_runtime.files import replacing, write_text

FILES = (
    "frozen_model.pb",
    "model.onnx",
    "model_int8.onnx",
    "quantization.json",
    "evaluation.json",
    "freeze.json",
    "data.json",
    "training/result.json",
    "training/metrics.jsonl",
    "training/best.npz",
)
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
_ROWS = (
    ("tf-saved-model", "float, TensorFlow"),
    ("tf", "float, frozen graph"),
    ("onnx", "float, ONNX Runtime"),
    ("int8", "int8, NumPy reference"),
    ("onnx-int8", "int8, ONNX Runtime"),
)


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--readme", type=Path, help="README whose table is written anew")
    options = parser.parse_args()
    try:
        ship(options.build, options.bundle, options.output)
        if options.readme:
            write_table(options.readme, options.output / "evaluation.json")
    except InputError as error:
        print(f"ship_model: {error}", file=sys.stderr)
        return error.exit_code
    print(f"wrote {options.output}/")
    return 0


def ship(build: Path, bundle: Path, output: Path) -> None:
    """Copy the artifacts of a build and write the card beside them."""
    for name in FILES:
        if not (build / name).is_file():
            raise InputError(f"{build / name}: missing; run `make` first")
    output.mkdir(parents=True, exist_ok=True)
    for source in (*(build / name for name in FILES), bundle):
        with replacing(output / source.name) as temporary:
            shutil.copyfile(source, temporary)
    best = json.loads((build / "training/result.json").read_text("utf-8"))["best"]["epoch"]
    sheet = build / f"training/generated/epoch-{best:03d}.png"
    shutil.copyfile(sheet, output / "generated.png")
    write_text(output / "README.md", card(output, bundle.stem))


def card(folder: Path, name: str) -> str:
    """Write the model card's text from the files of a model's folder."""
    data, training, quantized, figures = (
        json.loads((folder / file).read_text("utf-8"))
        for file in ("data.json", "result.json", "quantization.json", "evaluation.json")
    )
    counts, best = data["counts"], training["best"]
    sources = figures["backends"]["int8"]["top1_by_source"]
    by_source = tabulate(
        [[s, _percent(m), _interval(m), m["n"]] for s, m in sources.items()],
        headers=["source", "int8 accuracy", "95 % interval", "n"],
        tablefmt="github",
        disable_numparse=True,
    )
    template = Path(__file__).with_name("model_card.md").read_text("utf-8")
    return template.format(
        name=name,
        classes=len(data["alphabet"]),
        **counts,
        epoch=best["epoch"],
        best_validation=100 * best["validation_accuracy"],
        best_n=best["validation_n"],
        split=" and ".join(figures["splits"]),
        caution="" if figures["splits"] == ["test"] else ", so these figures are a little too good",
        table=table(figures),
        by_source=by_source,
        method=quantized["method"],
        calibrated=quantized["calibration"]["count"],
        minutes=training["seconds"] / 60,
        settings=json.dumps(training["settings"], indent=1),
    )


def table(figures: dict[str, Any]) -> str:
    """Markdown table of every network's accuracy, the same in the card and in the README."""
    backends = figures["backends"]
    rows = [
        [
            title,
            _percent(backends[b]["metrics"]["top1_62"]),
            _interval(backends[b]["metrics"]["top1_62"]),
            _percent(backends[b]["metrics"]["top1_36"]),
            _percent(figures["agreement"][f"tf-saved-model = {b}"])
            if b != "tf-saved-model"
            else "",
        ]
        for b, title in _ROWS
    ]
    headers = [
        f"network (n = {figures['n']:,})",
        "62 classes",
        "95 % interval",
        "ignoring case",
        "agrees with float",
    ]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def write_table(readme: Path, evaluation: Path) -> None:
    """Replace the table between the README's markers."""
    text = readme.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{readme}: lacks the markers {BEGIN} and {END}")
    figures = json.loads(evaluation.read_text("utf-8"))
    write_text(readme, f"{before}{begin}\n{table(figures)}\n{end}{after}")


def _percent(metric: dict[str, float]) -> str:
    return f"{100 * metric['value']:.1f} %"


def _interval(metric: dict[str, float]) -> str:
    return f"{100 * metric['low']:.1f} to {100 * metric['high']:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
