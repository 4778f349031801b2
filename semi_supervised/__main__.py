"""Command line: ``python -m semi_supervised data | train | freeze | stamp``."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.console import run_command
from edge_runtime.errors import SettingsError
from edge_runtime.files import write_text
from edge_runtime.presets import PRESETS
from edge_runtime.tensorflow_import import import_tensorflow
from semi_supervised.settings import Settings, load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_command(_run, _parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="semi_supervised", description="Train a character classifier from few labels."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    data = commands.add_parser("data", help="find or draw characters and split them")
    _add_data_options(data)
    _add_common(data)

    train = commands.add_parser("train", help="train the semi-supervised GAN (resumes by itself)")
    train.add_argument("--manifest", type=Path, default=Path("build/manifest.csv"))
    _add_train_options(train)
    _add_common(train)

    stamp = commands.add_parser("stamp", help="write what a stage depends on, for make")
    stamp.add_argument("stage", choices=("data", "train"))
    stamp.add_argument("--file", type=Path, required=True)
    _add_data_options(stamp)
    _add_train_options(stamp)
    _add_common(stamp)

    freeze = commands.add_parser("freeze", help="export frozen_model.pb, saved_model/, model.onnx")
    freeze.add_argument("--weights", type=Path, default=Path("build/training/best.npz"))
    freeze.add_argument(
        "--manifest",
        type=Path,
        default=Path("build/manifest.csv"),
        help="its validation images check that the exports agree",
    )
    freeze.add_argument("--output", type=Path, default=Path("build"))
    return parser


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        default="synthetic",
        metavar="PATH|synthetic",
        help="labeled images, or 'synthetic' to draw them (default)",
    )
    parser.add_argument(
        "--alphabet",
        metavar="CHARACTERS",
        help="the classes in order, for example 0123456789 (default: 0-9A-Za-z)",
    )
    parser.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="list and leave out unreadable images instead of stopping",
    )


def _add_train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--labels-per-class",
        metavar="N|all",
        help="use the labels of N images per class, the rest without theirs",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preset",
        default="quick",
        metavar="|".join(PRESETS),
        help="settings: a name, or the path of a .toml file (default: quick)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="change one setting, for example train.epochs=5",
    )
    parser.add_argument("--output", type=Path, default=Path("build"), metavar="DIR")


def _run(options: argparse.Namespace) -> int:
    if options.command in ("train", "freeze"):
        import_tensorflow()
    if options.command == "freeze":
        from semi_supervised.freeze import freeze

        print(freeze(options.weights, options.manifest, options.output).table())
        return 0
    settings = load_settings(options.preset, options.set)
    if options.command == "stamp":
        text = _stamp(options, _with_labels(settings, options.labels_per_class))
        if not options.file.exists() or options.file.read_text("utf-8") != text:
            write_text(options.file, text)
        return 0
    if options.command == "data":
        from semi_supervised.data import make_data

        alphabet = parse_alphabet(options.alphabet) if options.alphabet else ALPHABET_62
        report = make_data(
            options.source, options.output, alphabet, settings.data, options.skip_unreadable
        )
        print(report.table())
        return 0
    settings = _with_labels(settings, options.labels_per_class)
    from semi_supervised.trainer import train

    result = train(options.manifest, options.output / "training", settings)
    print(
        f"best validation accuracy {100 * result.best_accuracy:.2f} % after epoch "
        f"{result.best_epoch}: {result.weights}"
    )
    return 0


def _stamp(options: argparse.Namespace, settings: Settings) -> str:
    """Text that changes exactly when the stage's result would."""
    tables = settings.as_dict()
    if options.stage == "train":
        return json.dumps({"augment": tables["augment"], "train": tables["train"]}, indent=1)
    from semi_supervised.data import fingerprint

    return json.dumps(
        {
            "data": tables["data"],
            "source": options.source,
            "alphabet": options.alphabet,
            "skip_unreadable": options.skip_unreadable,
            "content": fingerprint(options.source),
        },
        indent=1,
    )


def _with_labels(settings: Settings, labels: str | None) -> Settings:
    if labels is None:
        return settings
    if labels != "all" and not labels.isdecimal():
        raise SettingsError(f"--labels-per-class takes a number or 'all', not {labels!r}")
    number: int | Literal["all"] = "all" if labels == "all" else int(labels)
    return replace(settings, train=replace(settings.train, labels_per_class=number))


if __name__ == "__main__":
    sys.exit(main())
