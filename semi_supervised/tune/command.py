"""``python -m semi_supervised tune``: search, or go on searching; alone or with other machines."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_runtime.errors import SettingsError
from edge_runtime.tensorflow_import import import_tensorflow
from semi_supervised.settings import Settings


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options, beside the common ones."""
    parser.add_argument("--manifest", type=Path, default=Path("build/manifest.csv"))
    parser.add_argument(
        "--trials",
        type=int,
        default=40,
        metavar="N",
        help="finished trials of the study, all machines' together (default: 40)",
    )
    parser.add_argument("--study", default="edgeglyph", metavar="NAME", help="what it is called")
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="a database that several machines can reach, for example postgresql+psycopg://"
        "user:password@host/database (default: a SQLite file in --output)",
    )
    parser.add_argument(
        "--space", type=Path, metavar="FILE.toml", help="what is searched (default: our space.toml)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="as of `train`")
    parser.add_argument(
        "--report-only", action="store_true", help="write what was found, train nothing"
    )


def run(options: argparse.Namespace, base: Settings) -> int:
    """Run the command; return the exit code."""
    from semi_supervised.data import read_alphabet
    from semi_supervised.leakage import refuse_leakage
    from semi_supervised.tune.report import write_report
    from semi_supervised.tune.space import read_space
    from semi_supervised.tune.study import Search, open_study, run_trials

    if options.trials < 1:
        raise SettingsError(f"--trials must be 1 or more, not {options.trials}")
    output: Path = options.output / "tune"
    output.mkdir(parents=True, exist_ok=True)
    refuse_leakage(options.manifest, read_alphabet(options.manifest))
    search = Search(options.study, options.manifest, base, read_space(options.space, base))
    study = open_study(search, options.storage or f"sqlite:///{output.resolve() / 'study.db'}")
    try:
        if not options.report_only:
            import_tensorflow()
            run_trials(study, search, options.trials, output, _trainer(options))
    except KeyboardInterrupt:
        print(write_report(study, search, output))
        raise
    print(write_report(study, search, output))
    return 0


def _trainer(options: argparse.Namespace) -> Any:
    import keras

    from semi_supervised.training.checkpoints import read_history
    from semi_supervised.training.trainer import train

    def run_one(settings: Settings, folder: Path, watch: Callable[[dict[str, Any]], None]) -> float:
        keras.backend.clear_session()  # or else every trial's graphs stay in memory
        for row in read_history(folder / "metrics.jsonl"):
            watch(row)
        result = train(options.manifest, folder, settings, options.workers, watch=watch)
        return result.best_accuracy

    return run_one
