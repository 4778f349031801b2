"""Command line: ``python -m semi_supervised data | audit | train | freeze | ablation | …``."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.alphabet import ALPHABET_62, Alphabet, parse_alphabet
from edge_runtime.console import run_command
from edge_runtime.files import sha256_of, write_text
from edge_runtime.presets import PRESETS
from edge_runtime.tensorflow_import import import_tensorflow
from semi_supervised.ablation import command as ablation_command
from semi_supervised.adapt import command as adapt_command
from semi_supervised.audit import command as audit_command
from semi_supervised.pruning import command as prune_command
from semi_supervised.settings import PROTOCOLS, Settings, load_settings
from semi_supervised.sources import (
    SYNTHETIC,
    find_alphabet,
    find_weights,
    fingerprint,
    parse_sources,
)
from semi_supervised.synthesis import command as synthesis_command
from semi_supervised.tune import command as tune_command


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

    audit = commands.add_parser("audit", help="find copies, conflicts, leaks and wrong labels")
    audit_command.add_options(audit)

    train = commands.add_parser("train", help="train, with labels and without (resumes by itself)")
    train.add_argument("--manifest", type=Path, default=Path("build/manifest.csv"))
    train.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that prepare batches (default: one a core); no effect on the result",
    )
    train.add_argument(
        "--devices",
        type=int,
        default=1,
        metavar="N",
        help="GPUs that share every batch (default: 1); no effect on the result but rounding",
    )
    train.add_argument(
        "--allow-leakage",
        action="store_true",
        help="train although a picture is both in training and in validation or test",
    )
    _add_start(train)
    train.add_argument(
        "--teacher",
        type=Path,
        metavar="MODEL",
        help="learn the answers of this model, too; its folder or best.npz, of the same alphabet",
    )
    train.add_argument(
        "--quantize-aware",
        type=Path,
        metavar="QUANTIZATION.json",
        help="round the network in training as the DPU does, at the fix points that "
        "`quantize run --method min-mse` found for --start",
    )
    _add_common(train)

    adapt = commands.add_parser(
        "adapt", help="tell what an adapted model has gained over the one that it started from"
    )
    adapt_command.add_options(adapt)

    prune = commands.add_parser("prune", help="take the least worthy channels out of a network")
    prune_command.add_options(prune)

    ablation = commands.add_parser(
        "ablation", help="measure what each method and ingredient is worth, by many trainings"
    )
    ablation_command.add_options(ablation)

    tune = commands.add_parser("tune", help="search for better settings on validation images")
    tune_command.add_options(tune)
    _add_common(tune)

    synth = commands.add_parser("synth", help="write a set of drawn characters")
    synthesis_command.add_options(synth)

    stamp = commands.add_parser("stamp", help="write what a stage depends on, for make")
    stamp.add_argument("stage", choices=("data", "train"))
    stamp.add_argument("--file", type=Path, required=True)
    _add_data_options(stamp)
    _add_start(stamp)
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
        action="append",
        metavar="PATH|URL|synthetic",
        help="labeled images: class folders, a .csv, a list, an archive, ICDAR 2003, or the "
        "address of an archive; several times or with commas for several; 'synthetic' draws them "
        "(default)",
    )
    parser.add_argument(
        "--unlabeled",
        action="append",
        default=[],
        metavar="PATH|URL",
        help="a folder or archive of crops whose labels are not known; may be repeated",
    )
    parser.add_argument(
        "--photographs",
        action="append",
        default=[],
        metavar="PATH",
        help="photographs with ICDAR 2003's word boxes, to cut background from; may be repeated",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where archives are kept and unpacked (default: the user's cache folder)",
    )
    parser.add_argument(
        "--alphabet",
        metavar="CHARACTERS",
        help="the classes in order, for example 0123456789 (default: 0-9A-Za-z)",
    )
    parser.add_argument(
        "--alphabet-of-labels",
        action="store_true",
        help="without --alphabet: the symbols that the labels name",
    )
    parser.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="list and leave out unreadable images instead of stopping",
    )
    parser.add_argument(
        "--protocol",
        metavar="|".join(PROTOCOLS),
        help="how the images are split (default: the preset's, random)",
    )
    parser.add_argument(
        "--labels-per-class",
        metavar="N|all",
        help="use the labels of N training images per class (0 too), the rest without theirs",
    )


def _add_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--start",
        type=Path,
        metavar="MODEL",
        help="begin with the weights of this model's folder or best.npz, of any alphabet",
    )
    parser.add_argument(
        "--width",
        metavar="FACTOR",
        help="times as many channels in every convolution, 0.25 to 4 (default: the preset's, 1)",
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
    if options.command == "audit":
        return audit_command.run(options)
    if options.command == "adapt":
        return adapt_command.run(options)
    if options.command == "prune":
        return prune_command.run(options)
    if options.command == "ablation":
        return ablation_command.run(options)
    if options.command == "synth":
        return synthesis_command.run(options)
    if options.command == "freeze":
        from semi_supervised.freeze import freeze

        print(freeze(options.weights, options.manifest, options.output).table())
        return 0
    settings = load_settings(options.preset, [*options.set, *_overrides(options)])
    if options.command == "stamp":
        text = _stamp(options, settings)
        if not options.file.exists() or options.file.read_text("utf-8") != text:
            write_text(options.file, text)
        return 0
    if options.command == "tune":
        return tune_command.run(options, settings)
    if options.command == "data":
        from semi_supervised.data import make_data
        from semi_supervised.sheets import write_augmentation_sheet

        report = make_data(
            options.source or SYNTHETIC,
            options.output,
            _alphabet(options),
            settings.data,
            options.skip_unreadable,
            options.unlabeled,
            options.photographs,
            options.cache,
        )
        write_augmentation_sheet(
            options.output / "augmentation.png", report.images, settings.augment
        )
        print(report.table())
        return 0
    from semi_supervised.data import chooses_epoch, read_alphabet
    from semi_supervised.leakage import refuse_leakage
    from semi_supervised.training.trainer import train

    if not options.allow_leakage:
        refuse_leakage(options.manifest, read_alphabet(options.manifest))
    result = train(
        options.manifest,
        options.output / "training",
        settings,
        options.workers,
        options.start,
        options.quantize_aware,
        options.teacher,
        devices=options.devices,
    )
    print(
        f"{'best ' if chooses_epoch(options.manifest) else ''}validation accuracy "
        f"{100 * result.best_accuracy:.2f} % after epoch {result.best_epoch}: {result.weights}"
    )
    return 0


def _alphabet(options: argparse.Namespace) -> Alphabet:
    """Return the alphabet given, that of the labels, or 0-9A-Za-z."""
    if options.alphabet:
        return parse_alphabet(options.alphabet)
    if not options.alphabet_of_labels:
        return ALPHABET_62
    alphabet = find_alphabet(parse_sources(options.source or SYNTHETIC), options.cache)
    print(f"alphabet: {' '.join(alphabet.symbols)} ({len(alphabet)} symbols, as labeled)")
    return alphabet


def _stamp(options: argparse.Namespace, settings: Settings) -> str:
    """Text that changes exactly when the stage's result would."""
    tables = settings.as_dict()
    if options.stage == "train":
        told = {"augment": tables["augment"], "train": tables["train"]}
        if options.start:
            told["start"] = {"sha256": sha256_of(find_weights(options.start))}
        return json.dumps(told, indent=1)
    sources = parse_sources(options.source or SYNTHETIC)
    unlabeled = parse_sources(options.unlabeled)
    photographs = parse_sources(options.photographs)
    return json.dumps(
        {
            "data": tables["data"],
            "sources": sources,
            "unlabeled": unlabeled,
            "photographs": photographs,
            "alphabet": options.alphabet or ("of labels" if options.alphabet_of_labels else None),
            "skip_unreadable": options.skip_unreadable,
            "content": fingerprint([*sources, *unlabeled, *photographs]),
        },
        indent=1,
    )


def _overrides(options: argparse.Namespace) -> list[str]:
    """Options of their own that stand for a setting, as ``--set`` takes them."""
    keys = ("data.protocol", "data.labels_per_class", "train.width")
    given = {key: getattr(options, key.partition(".")[2], None) for key in keys}
    return [f"{key}={value}" for key, value in given.items() if value is not None]


if __name__ == "__main__":
    sys.exit(main())
