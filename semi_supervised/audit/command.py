"""``python -m semi_supervised audit PATH…``."""

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from edge_runtime.alphabet import ALPHABET_62, Alphabet, parse_alphabet
from edge_runtime.errors import InputError, SettingsError
from edge_runtime.files import write_json, write_text
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.tensorflow_import import import_tensorflow
from semi_supervised.audit.findings import find
from semi_supervised.audit.gather import Gathered, gather
from semi_supervised.audit.report import LabelCheck, Record, make_record, tables
from semi_supervised.audit.suspects import find_suspects
from semi_supervised.sources import SYNTHETIC, find_images, parse_sources, short_name
from semi_supervised.splits import DRAWN

log = logging.getLogger(__name__)

CALIBRATION = "calibration"  # split of calibration images that are not among the audited ones


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``audit``."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="class folders, a .csv, a manifest, a list, an archive, ICDAR 2003; all together",
    )
    parser.add_argument("--output", type=Path, default=Path("build/audit"), metavar="DIR")
    parser.add_argument(
        "--alphabet",
        metavar="CHARACTERS",
        help="the classes in order, for example 0123456789 (default: that of a manifest of "
        "`make data`, or else 0-9A-Za-z)",
    )
    parser.add_argument(
        "--calibration",
        metavar="PATH",
        help="images that the quantizer is calibrated with (of a manifest: its training split)",
    )
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="where archives are kept and unpacked"
    )
    parser.add_argument(
        "--no-label-check",
        action="store_true",
        help="leave out the search for wrong labels, which trains networks for minutes",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that prepare batches (default: one a core); no effect on the result",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code, 0 whatever was found."""
    if options.workers is not None and options.workers < 0:
        raise SettingsError(f"--workers must be 0 or more, not {options.workers}")
    given = options.alphabet
    alphabet = parse_alphabet(given) if given else _alphabet_of(options.paths)
    record = audit(
        options.paths,
        alphabet,
        options.calibration,
        check_labels=not options.no_label_check,
        cache=options.cache,
        workers=options.workers,
    )
    from semi_supervised.audit.page import render_page  # only who audits needs its library

    write_json(options.output / "audit.json", record)
    write_text(options.output / "audit.html", render_page(record))
    print(tables(record))
    print(f"\n{options.output / 'audit.html'}")
    return 0


def audit(
    paths: Sequence[str],
    alphabet: Alphabet,
    calibration: str | None = None,
    check_labels: bool = True,
    cache: Path | None = None,
    workers: int | None = None,
) -> Record:
    """Audit labeled images; see docs/data.md for what is in the record.

    Raises
    ------
    InputError
        A path that does not exist or holds no image at all; wrong labels and unreadable images
        are in the record instead.
    """
    sources = parse_sources(paths)
    if SYNTHETIC in sources:
        raise InputError("synthetic characters need no audit: name labeled images or a manifest")
    problems: list[str] = []
    images = find_images(sources, alphabet, cache=cache, problems=problems)
    if not images:
        raise InputError(f"no labeled image to audit; the first problem is {problems[0]}")
    apart, calibrating = _calibration(calibration, images, alphabet, cache, problems)
    gathered = gather([*images, *apart])
    used = [k for k, i in enumerate(gathered.images) if i.path.resolve() in calibrating]
    findings = find(gathered, alphabet, used)
    check = _check(gathered, alphabet, workers) if check_labels else None
    return make_record(
        [short_name(s) for s in sources], alphabet, problems, gathered, findings, check
    )


def _alphabet_of(paths: Sequence[str]) -> Alphabet:
    """The alphabet that the data stage wrote beside a manifest; 0-9A-Za-z for all else."""
    from semi_supervised.data import read_alphabet  # costs a second that other commands save

    for path in map(Path, parse_sources(paths)):
        if path.suffix.lower() == ".csv" and path.with_name("data.json").is_file():
            return read_alphabet(path)
    return ALPHABET_62


def _calibration(
    calibration: str | None,
    images: Sequence[LabeledImage],
    alphabet: Alphabet,
    cache: Path | None,
    problems: list[str],
) -> tuple[list[LabeledImage], set[Path]]:
    """Calibration images that are not audited already, and the files of all of them."""
    if calibration is None:
        return [], set()
    found = find_images(parse_sources(calibration), alphabet, cache=cache, problems=problems)
    if any(image.split for image in found):  # as the quantizer chooses them
        found = [image for image in found if image.split == "train"]
    audited = {image.path.resolve() for image in images}
    apart = [i for i in found if i.path.resolve() not in audited]
    return [replace(i, split=CALIBRATION) for i in apart], {i.path.resolve() for i in found}


def _check(gathered: Gathered, alphabet: Alphabet, workers: int | None) -> LabelCheck | None:
    """Search for wrong labels; None where there is nothing to learn from."""
    chosen = [
        k
        for k, image in enumerate(gathered.images)
        if image.label and image.source != DRAWN and image.split != CALIBRATION
    ]
    if len(chosen) < 2:
        log.warning("fewer than two labeled images that are not drawn: their labels are unchecked")
        return None
    import_tensorflow()
    from semi_supervised.audit.out_of_fold import FoldSettings, predict_out_of_fold

    started = perf_counter()
    place = {k: n for n, k in enumerate(chosen)}
    groups = [[place[k] for k in group if k in place] for group in gathered.groups]
    subjects = [gathered.images[k] for k in chosen]
    settings = FoldSettings()
    probabilities = predict_out_of_fold(
        subjects, [g for g in groups if len(g) > 1], alphabet, settings, workers
    )
    labels = [image.label for image in subjects]
    suspects = find_suspects(probabilities, labels, chosen, alphabet)
    log.info(
        "checked %s labels in %.0f s; %.1f %% are read as labeled",
        f"{len(subjects):,}",
        perf_counter() - started,
        100 * suspects.accuracy,
    )
    return LabelCheck(dataclasses.asdict(settings), len(subjects), suspects)
