"""Put an evaluated classifier into models/NAME/, with its model card and the README's table.

Every number on the card and in the README comes from the files that the stages wrote.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

from edge_runtime.bundle import read_bundle
from edge_runtime.errors import InputError
from edge_runtime.files import replacing, sha256_of, write_json, write_text

FILES = (
    "frozen_model.pb",
    "model.onnx",
    "model_int8.onnx",
    "quantize_eval_stock.pb",
    "quantization.json",
    "freeze.json",
    "gate.json",
    "data.json",
    "training/result.json",
    "training/metrics.jsonl",
    "training/best.npz",
)
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
_ROWS = (  # a row for each of these rungs that was evaluated
    ("checkpoint", "float, checkpoint"),
    ("tf-saved-model", "float, TensorFlow"),
    ("tf", "float, frozen graph"),
    ("onnx", "float, ONNX Runtime"),
    ("int8", "int8, NumPy reference"),
    ("onnx-int8", "int8, ONNX Runtime"),
    ("tf-int8", "int8, TensorFlow"),
    ("native", "int8, C++ library"),
)
_SAME_SIGNS = (
    "These images come from the same photographs as training images (crops of one sign fall into "
    "both), so\nexpect less on other streets."
)
_DRAWN = "These images are drawn, and harder to read than most photographs: they tell nothing else."
_GENERATED = """

What the generator drew at the best epoch:

![generated characters](generated.png)"""
_METRICS = (  # key in the evaluation, what the card calls it, whether it is a share
    ("top1_merged", "ignoring case, O as 0, I and l as 1", True),
    ("top3", "among the first three", True),
    ("macro", "mean over classes", True),
    ("nll", "negative log-likelihood, nats", False),
    ("ece", "expected calibration error", False),
)


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--command", default="make ship", help="what makes this model, for the card"
    )
    parser.add_argument("--readme", type=Path, help="README whose table is written anew")
    options = parser.parse_args()
    try:
        ship(options.build, options.bundle, options.output, options.command)
        if options.readme:
            write_table(options.readme, options.output / "evaluation.json")
    except InputError as error:
        print(f"ship_model: {error}", file=sys.stderr)
        return error.exit_code
    print(f"wrote {options.output}/")
    return 0


def ship(build: Path, bundle: Path, output: Path, command: str) -> None:
    """Copy the artifacts of a build and write the card beside them.

    What a person wrote about the model, ``output/ABOUT.md``, goes into the card.
    """
    for name in (*FILES, "evaluation.json"):
        if not (build / name).is_file():
            raise InputError(f"{build / name}: missing; run `make` first")
    output.mkdir(parents=True, exist_ok=True)
    for source in (*(build / name for name in FILES), bundle):
        with replacing(output / source.name) as temporary:
            shutil.copyfile(source, temporary)
    write_json(output / "evaluation.json", shareable(build / "evaluation.json"))
    best = json.loads((build / "training/result.json").read_text("utf-8"))["best"]["epoch"]
    sheet = build / f"training/generated/epoch-{best:03d}.png"
    if sheet.exists():
        shutil.copyfile(sheet, output / "generated.png")
    else:  # trained without a generator: an earlier model's sheet is not this one's
        (output / "generated.png").unlink(missing_ok=True)
    write_text(output / "README.md", card(output, bundle.stem, command))


def shareable(evaluation: Path) -> dict[str, Any]:
    """Return the figures without single images and without the paths of this machine."""
    figures = json.loads(evaluation.read_text("utf-8"))
    figures.pop("details", None)
    origin = figures.get("provenance", {})
    origin.pop("command", None)
    origin.get("images", {}).pop("path", None)
    if "files" in origin:
        origin["files"] = {Path(name).name: digest for name, digest in origin["files"].items()}
    return dict(figures)


def card(folder: Path, name: str, command: str) -> str:
    """Write the model card's text from the files of a model's folder."""
    data, training, quantized, figures = (
        json.loads((folder / file).read_text("utf-8"))
        for file in ("data.json", "result.json", "quantization.json", "evaluation.json")
    )
    network = read_bundle(folder / f"{name}.egb").network
    counts, best = data["counts"], training["best"]
    int8 = figures["backends"]["int8"]
    by_source = _table(
        ["source", "int8 accuracy", "95 % interval", "n"],
        [[s, _percent(m), _interval(m), m["n"]] for s, m in int8["top1_by_source"].items()],
    )
    about = folder / "ABOUT.md"
    drawn = set(int8["top1_by_source"]) == {"drawn"}
    template = Path(__file__).with_name("model_card.md").read_text("utf-8")
    return template.format(
        name=name,
        classes=len(data["alphabet"]),
        logits="int32" if network.int32_logits else "int8",
        **counts,
        epoch=best["epoch"],
        best_validation=100 * best["validation_accuracy"],
        best_n=best["validation_n"],
        about=about.read_text("utf-8").strip() if about.exists() else f"Source: {data['source']}.",
        caveat=_DRAWN if drawn else _SAME_SIGNS,
        command=command,
        cores=os.cpu_count(),
        start=_start(training.get("start_sha256"), folder.parent),
        split=" and ".join(figures["splits"]),
        caution="" if figures["splits"] == ["test"] else ", so these figures are a little too good",
        table=table(figures),
        by_source=by_source,
        metrics=metrics_table(figures),
        confusions=confusions_table(int8["confusions"]),
        gate=gate_section(int8.get("gate")),
        p_real=_limit_of_p_real(int8.get("gate")),
        method=quantized["method"],
        calibrated=quantized["calibration"]["count"],
        minutes=training["seconds"] / 60,
        generated=_GENERATED if (folder / "generated.png").exists() else "",
        settings=json.dumps(training["settings"], indent=1),
    )


def _start(digest: str | None, models: Path) -> str:
    """Say with which weights training began, by the name of one of the models where it is one."""
    if digest is None:
        return ""
    names = [w.parent.name for w in models.glob("*/best.npz") if sha256_of(w) == digest]
    if not names:
        return f", beginning with weights of SHA-256 {digest}"
    return f", after {names[0]}, whose weights it began with"


def table(figures: dict[str, Any]) -> str:
    """Markdown table of every network's accuracy."""
    backends = figures["backends"]
    first = next(iter(backends))
    rows = [
        [
            title,
            _percent(backends[b]["metrics"]["top1_62"]),
            _interval(backends[b]["metrics"]["top1_62"]),
            _percent(backends[b]["metrics"]["top1_36"]),
            _percent(figures["agreement"][f"{first} = {b}"]) if b != first else "",
        ]
        for b, title in _ROWS
        if b in backends
    ]
    headers = [
        f"network (n = {figures['n']:,})",
        "62 classes",
        "95 % interval",
        "ignoring case",
        "agrees with float",
    ]
    return _table(headers, rows)


def summary_table(figures: dict[str, Any]) -> str:
    """Markdown table for the README: a row for floats, one for integers, and what computed them."""
    rungs = [("checkpoint", "float", "in TensorFlow"), ("int8", "int8", "by the NumPy reference")]
    rows = []
    for rung, title, by in rungs:
        metrics = figures["backends"][rung]["metrics"]
        found = (metrics["top1_62"], metrics["top1_36"])
        verified = f"{by}; {_verified(figures['ladder'], rung)}"
        rows.append([title, _percent(found[0]), _interval(found[0]), _percent(found[1]), verified])
    headers = [f"n = {figures['n']:,}", "62 classes", "95 % interval", "ignoring case"]
    return _table([*headers, "verified on every image"], rows)


def _verified(ladder: list[dict[str, Any]], reference: str) -> str:
    """The other forms of a rung that equal it, and how closely."""
    equal = [rung for rung in ladder if rung["equals"] == reference]
    places: dict[str, list[str]] = {}  # emulated processors after this machine's own
    for rung in equal:
        engine, _, place = rung["title"].partition("(")[2].rstrip(")").partition(", ")
        places.setdefault(place, []).append(engine)
    names = "; ".join(
        f"{place}: {', '.join(engines)}" if place else ", ".join(engines)
        for place, engines in places.items()
    )
    worst = max((rung["largest_difference"] for rung in equal), default=0)
    if all(rung["exact"] for rung in equal):
        return f"the same integers from {names}"
    return f"within {worst:.0e} of its logits: {names}"


def metrics_table(figures: dict[str, Any]) -> str:
    """Markdown table of the other metrics, of the float network and of the integers."""
    columns = [figures["backends"][b]["metrics"] for b in ("onnx", "int8")]
    rows = [[title, *(_with_bounds(m[key], per) for m in columns)] for key, title, per in _METRICS]
    return _table(["metric (95 % interval)", "float", "int8"], rows)


def confusions_table(confusions: list[dict[str, Any]]) -> str:
    """Markdown table of the most frequent mistakes."""
    rows = [
        [*(c[key].replace("|", "\\|") for key in ("label", "found")), c["count"], c["n"]]
        for c in confusions
    ]
    return _table(["shows", "taken for", "times", "of"], rows)


def gate_section(gate: dict[str, Any] | None) -> str:
    """What the card says of p_real: a table per kind of non-character, or that there is none."""
    if gate is None:
        return "Not measured: there were no non-characters to measure it on."
    rows = [
        [
            name if f["seen_in_training"] or name == "all" else f"{name} (never seen in training)",
            f["false_positives"]["n"],
            f"{f['auroc']['value']:.4f}",
            f"{f['auroc']['low']:.4f} to {f['auroc']['high']:.4f}",
            _percent(f["false_positives"]),
            _interval(f["false_positives"]),
        ]
        for name, f in (gate["kinds"] | {"all": gate["all"]}).items()
    ]
    headers = ["not a character", "n", "AUROC", "95 % interval", "pass", "95 % interval"]
    accepted = gate["acceptance"]
    return (
        f"`p_real` of at least {gate['threshold_millionths'] / 1e6:.6f} lets "
        f"{_percent(accepted)} ({_interval(accepted)}) of {accepted['n']:,} characters pass, and "
        f"of non-characters:\n\n{_table(headers, rows)}"
    )


def _limit_of_p_real(gate: dict[str, Any] | None) -> str:
    if gate is None or gate["threshold_from"] != "the bundle":
        return "`p_real` is not calibrated: do not rely on it to reject background."
    return "`p_real` rejects what the table above says, and other things less surely."


def write_table(readme: Path, evaluation: Path) -> None:
    """Replace the table between the README's markers."""
    text = readme.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{readme}: lacks the markers {BEGIN} and {END}")
    figures = json.loads(evaluation.read_text("utf-8"))
    write_text(readme, f"{before}{begin}\n{summary_table(figures)}\n{end}{after}")


def _table(headers: list[str], rows: list[list[Any]]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def _with_bounds(metric: dict[str, float], percent: bool) -> str:
    if percent:
        return f"{_percent(metric)} ({_interval(metric)})"
    return f"{metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})"


def _percent(metric: dict[str, float]) -> str:
    return f"{100 * metric['value']:.1f} %"


def _interval(metric: dict[str, float]) -> str:
    return f"{100 * metric['low']:.1f} to {100 * metric['high']:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
