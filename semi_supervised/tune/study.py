"""Run trials of a study, which may be shared with other processes and machines by a database."""

import hashlib
import json
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import InputError, MissingDependencyError, SettingsError
from semi_supervised.settings import Settings
from semi_supervised.training.identity import digests_of_images
from semi_supervised.tune.space import Space, point_of, settings_at

try:
    import optuna
    import sqlalchemy
except ImportError:
    raise MissingDependencyError("tuning needs Optuna: pip install 'edgeglyph[tune]'") from None

log = logging.getLogger(__name__)

_PARTS = 10  # of a training, after each of which a trial may be pruned
_HEARTBEAT_SECONDS = 60  # a trial that is silent for three of these has died
_ATTEMPTS = 5  # to be the one who makes the tables of an empty database
_WAITS = 50  # of a tenth of a second, for another process to say what its new study is about
_STARTUP = 6  # trials before the search is led by them, and before any is pruned
_WARMUP = 2  # tenths of a training that no trial is judged by

Row = dict[str, Any]
# Trains by settings into a folder; calls back with each epoch's row, those from before a
# resumption included; returns the accuracy on validation.
Train = Callable[[Settings, Path, Callable[[Row], None]], float]


@dataclass(frozen=True)
class Search:
    """What a study is about: everybody who works on it must mean the same.

    base : the settings that the search is around
    """

    name: str
    manifest: Path
    base: Settings
    space: Space

    def identity(self) -> dict[str, Any]:
        """Identify it, for JSON."""
        tables = {name: table for name, table in self.base.as_dict().items() if name != "data"}
        identity = {
            "base": tables,
            "space": {name: vars(one) for name, one in self.space.items()},
        } | digests_of_images(self.manifest)
        found: dict[str, Any] = json.loads(json.dumps(identity))
        return found


def open_study(search: Search, url: str) -> optuna.Study:
    """Open the study of that name in a database, or begin it there with the preset's own settings.

    Raises
    ------
    InputError
        The database cannot be used, or its study of that name is about something else.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():  # heartbeats and liars: called experimental for years
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study, begun_here = _create_or_load(
                study_name=search.name,
                storage=_storage(url),
                # A liar takes running trials for bad ones, so that nobody tries the same again.
                sampler=optuna.samplers.TPESampler(n_startup_trials=_STARTUP, constant_liar=True),
                pruner=optuna.pruners.MedianPruner(_STARTUP, _WARMUP),
            )
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{_shown(url)}: needs the package {error.name}; for PostgreSQL: "
            "pip install 'edgeglyph[tune]' and --storage postgresql+psycopg://…"
        ) from None
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        reason = (str(error.__cause__ or error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{_shown(url)}: cannot be used as a study's storage: {reason}") from None
    identity = search.identity()
    if begun_here or not _has_identity(study):
        point = point_of(search.base, search.space)
        if point is not None:
            study.enqueue_trial(point, skip_if_exists=True)
        study.set_user_attr("identity", identity)
    for key, value in study.user_attrs["identity"].items():
        if value != identity.get(key):
            what = key.removesuffix("_images_sha256")
            raise SettingsError(
                f"study {search.name!r} in {_shown(url)} has another {what}; name a new one with "
                "--study"
            )
    return study


def _create_or_load(**options: Any) -> tuple[optuna.Study, bool]:
    """Tell also whether it was created: by one process alone, however many begin at once."""
    try:
        return optuna.create_study(direction="maximize", **options), True
    except optuna.exceptions.DuplicatedStudyError:
        return optuna.load_study(**options), False


def _has_identity(study: optuna.Study) -> bool:
    """Wait a little for the process that creates the study, which may also have died before."""
    for _ in range(_WAITS):
        if "identity" in study.user_attrs:
            return True
        time.sleep(0.1)
    return False


def _storage(url: str) -> optuna.storages.RDBStorage:
    """A database in which a trial whose process died is found out and tried again."""
    for _ in range(_ATTEMPTS):
        try:
            return _new_storage(url)
        except (sqlalchemy.exc.ProgrammingError, sqlalchemy.exc.IntegrityError):
            time.sleep(1)  # somebody else makes the same tables at this moment
    return _new_storage(url)


def _new_storage(url: str) -> optuna.storages.RDBStorage:
    if url.startswith("sqlite"):  # a file is opened for each use: nobody has to close it at the end
        engine = {"poolclass": sqlalchemy.NullPool, "connect_args": {"timeout": 60}}
    else:
        engine = {"pool_pre_ping": True}
    return optuna.storages.RDBStorage(
        url,
        engine_kwargs=engine,
        heartbeat_interval=_HEARTBEAT_SECONDS,
        grace_period=3 * _HEARTBEAT_SECONDS,
        heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(3),
    )


def _shown(url: str) -> str:
    """Leave out a password."""
    before, at, after = url.rpartition("@")
    user = before.rpartition("//")[2].partition(":")[0]
    return f"{before.partition('//')[0]}//{user}@{after}" if at else url


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that were trained to their end, or pruned."""
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return study.get_trials(deepcopy=False, states=states)


def run_trials(
    study: optuna.Study, search: Search, trials: int, output: Path, train: Train
) -> None:
    """Run trials until the study has so many finished ones, whoever ran them.

    Several processes may overshoot by one each. A trial's folder is named by its settings, so that
    one that was cut off goes on there when it is tried again.
    """

    def objective(trial: optuna.Trial) -> float:
        values = {name: one.suggest(trial, name) for name, one in search.space.items()}
        settings = settings_at(search.base, values)
        told = 0

        def watch(row: Row) -> None:
            nonlocal told
            part = _PARTS * row["epoch"] // settings.train.epochs
            if part > told:
                told = part
                trial.report(row["validation_accuracy"], part)
                if part < _PARTS and trial.should_prune():
                    raise optuna.TrialPruned

        try:
            return train(settings, output / "trials" / _name(settings), watch)
        except KeyboardInterrupt:
            study.enqueue_trial(values, skip_if_exists=False)
            raise

    def stop_in_time(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        done = len(finished(study))
        value = "pruned" if trial.state.name == "PRUNED" else f"{100 * (trial.value or 0):.2f} %"
        log.info("trial %d: %s; %d of %d", trial.number, value, done, trials)
        if done >= trials:
            study.stop()

    if len(finished(study)) < trials:
        study.optimize(objective, callbacks=[stop_in_time])


def _name(settings: Settings) -> str:
    return hashlib.sha256(json.dumps(settings.as_dict(), sort_keys=True).encode()).hexdigest()[:12]
