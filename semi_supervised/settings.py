"""Every knob of data, augmentation and training: defaults ← preset file ← command line."""

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from edge_runtime.errors import SettingsError
from edge_runtime.presets import read_preset
from semi_supervised.frequencies import FREQUENCIES

T = TypeVar("T")


PROTOCOLS = (
    "random",
    "chars74k-15",
    "chars74k-5",
    "kaggle",
    "cross-source",
    "all",
    "few",
    "budget",
)
# Of these validation measures and chooses nothing: the last epoch is kept.
KEEPING_THE_LAST_EPOCH = frozenset({"budget", "few"})
LEFT_OVER = ("unlabeled", "excluded")
WITHOUT_GENERATOR = {
    "supervised": "supervised",
    "sgan": "supervised",
    "consistency": "consistency",
    "sgan-consistency": "consistency",
}
METHODS = tuple(WITHOUT_GENERATOR)


@dataclass(frozen=True)
class DataSettings:
    """What images there are and how they are split (docs/data.md tells of each protocol)."""

    seed: int = 1
    protocol: str = "random"  # one of PROTOCOLS
    validation_share: float = 0.1
    test_share: float = 0.1  # of protocols random and budget
    train_sources: tuple[str, ...] = ()  # of protocol cross-source; empty: all but test_sources
    test_sources: tuple[str, ...] = ()  # of protocol cross-source; empty: all but train_sources
    labels_per_class: int | Literal["all"] = "all"
    left_over: str = "unlabeled"  # what training images beyond a number of labels become
    # Drawn images per class as files: when there is no other source, and beside others. Training
    # draws its own without end, so these are for validation, tests and calibration.
    synthetic_per_class: int = 120
    added_per_class: int = 0
    negatives_per_kind: int = 60  # non-characters of each kind; four times as many of background

    def __post_init__(self) -> None:
        for name in ("validation_share", "test_share"):
            if not 0 < getattr(self, name) < 0.5:
                raise SettingsError(f"{name} must lie between 0 and 0.5")
        for name, choices in (("protocol", PROTOCOLS), ("left_over", LEFT_OVER)):
            if getattr(self, name) not in choices:
                raise SettingsError(
                    f"no {name} {getattr(self, name)!r}; there are {', '.join(choices)}"
                )
        if bool(self.train_sources or self.test_sources) != (self.protocol == "cross-source"):
            raise SettingsError(
                "train_sources and test_sources belong to protocol cross-source, which needs one "
                "of them, for example --set data.test_sources=scene"
            )
        both = set(self.train_sources) & set(self.test_sources)
        if both:
            raise SettingsError(f"source {min(both)!r} cannot be for both training and test")
        labels = self.labels_per_class
        if labels != "all" and (isinstance(labels, str) or labels < 0):
            raise SettingsError(f"labels_per_class must be a number or 'all', not {labels!r}")
        if self.synthetic_per_class < 3:
            raise SettingsError("synthetic_per_class must be at least 3, one for each split")
        for name in ("added_per_class", "negatives_per_kind"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} must not be negative")


@dataclass(frozen=True)
class AugmentSettings:
    """Random changes of training images; no flips and no large rotations (6 and 9, M and W)."""

    rotation_degrees: float = 10.0
    shift: float = 0.06  # of the side
    zoom_out: float = 0.9
    zoom_in: float = 1.25
    shear_degrees: float = 8.0
    blur_probability: float = 0.15
    noise_probability: float = 0.2
    gamma_probability: float = 0.3
    erase_probability: float = 0.0  # of hiding one to three small patches
    invert_probability: float = 0.2  # dark on light and light on dark are the same character
    # Of drawn characters too, for crops that may lie on their side; it costs the upright ones a
    # little (docs/training.md).
    quarter_turn_probability: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.rotation_degrees <= 15:
            raise SettingsError("rotation_degrees must lie in 0..15: beyond, a 6 becomes a 9")
        if not 0.5 <= self.zoom_out <= 1 <= self.zoom_in <= 2:
            raise SettingsError("zoom_out must lie in 0.5..1 and zoom_in in 1..2")
        if not 0 <= self.shift <= 0.5:
            raise SettingsError("shift is a share of the side and must lie in 0..0.5")
        for name in (
            "blur_probability",
            "noise_probability",
            "gamma_probability",
            "erase_probability",
            "invert_probability",
            "quarter_turn_probability",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} must lie in 0..1")


@dataclass(frozen=True)
class TrainSettings:
    """How the classifier is trained: method, schedule, batch, and the weight of each loss."""

    # One of METHODS. A generator gained nothing and weakened the gate (docs/training.md).
    method: str = "consistency"
    seed: int = 1
    width: float = 1.0  # of the network: factor on the channels of every convolution
    channels: tuple[int, ...] = ()  # of every convolution; empty: as width says

    # Schedule. An epoch is a fixed number of steps, whatever the data's size.
    epochs: int = 20
    steps_per_epoch: int = 200
    pretrain_epochs: int = 0  # of these, at first, with drawn characters as the only labels
    unlabeled_from: float = 0.0  # share of the steps before images without labels take part
    # 0, or the share of the peak learning rate with which a second course begins where they join,
    # the first having ended at zero: a finished network guesses better. Without any: one course.
    restart: float = 0.0
    warmup_steps: int = 200
    learning_rate: float = 2e-3  # peak; a short warm-up, then a cosine down to zero
    start_rate: float = 1.0  # share of it where training starts from a model, not to wash that out
    generator_learning_rate: float = 1e-3
    weight_decay: float = 0.05  # a step takes this share of the learning rate off each weight
    averaging: float = 0.999  # decay of the averaged weights, which are what is evaluated and kept

    # One batch: how many images of each kind.
    batch_labeled: int = 64  # given images with their labels; drawn ones take the place of missing
    batch_drawn: int = 64  # characters drawn anew for each step
    # Over the given images in a whole training, 0 for any number: where few are given, the batch
    # holds fewer of them and more drawn ones, or the few are learned by heart.
    most_passes: int = 0
    batch_unlabeled: int = 64  # given images without labels, once weakly and once strongly changed
    batch_negatives: int = 16  # non-characters, where `make data` made any
    batch_fake: int = 16  # of the generator
    # How often each symbol is drawn, and expected of unlabeled images: "labels" as in the given
    # ones (where all have labels, else as "signs"), "signs" as on English signs, or "even".
    drawn_frequencies: str = "labels"
    class_balance: float = 0.0  # of the given images: 0 as often as they are, 1 every class alike

    # The weight of each loss beside the cross-entropy of labeled images.
    weight_drawn: float = 1.0  # of a drawn character's cross-entropy against a given one's
    weight_consistency: float = 1.0
    weight_gate: float = 0.5  # real against generated and against non-characters
    weight_negatives: float = 1.0  # of non-characters in the gate's loss, against generated ones

    # Consistency: the averaged network's answer for the weak view teaches the strong view. With
    # FixMatch's certain classes alone (threshold 0.9, one-hot) scene crops gained nothing:
    # what could be O, o or 0 must stay undecided. docs/training.md has the figures.
    threshold: float = 0.0  # of the likeliest class, below which an image teaches nothing
    sharpening: float = 2.0  # exponent of the answer's probabilities; 1 leaves them as they are
    alignment: bool = True  # pull the mean of its answers towards how often symbols are seen
    merge_look_alikes: bool = False  # guess that an image shows O, o or 0, and not which of them

    label_smoothing: float = 0.05
    dropout: float = 0.2
    input_noise: float = 0.1  # keeps the discriminator from living on the fakes' pixel noise
    generator_width: int = 8

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SettingsError(f"no method {self.method!r}; there are {', '.join(METHODS)}")
        for name in (
            "epochs",
            "steps_per_epoch",
            "warmup_steps",
            "batch_unlabeled",
            "batch_fake",
            "generator_width",
        ):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1")
        for name in (
            "batch_labeled",
            "batch_drawn",
            "most_passes",
            "batch_negatives",
            "pretrain_epochs",
        ):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} must not be negative")
        if not 1 <= self.batch_labeled + self.batch_drawn <= 1 << 16:
            raise SettingsError("batch_labeled and batch_drawn together must lie in 1..65,536")
        if self.pretrain_epochs >= self.epochs:
            raise SettingsError("pretrain_epochs must be fewer than epochs")
        for name in (
            "unlabeled_from",
            "threshold",
            "label_smoothing",
            "dropout",
            "averaging",
            "input_noise",
        ):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"{name} must lie in 0..1, 1 excluded")
        if not 0 < self.start_rate <= 1:
            raise SettingsError("start_rate must lie in 0..1, 0 excluded")
        if not 0 <= self.restart <= 1:
            raise SettingsError("restart must lie in 0..1")
        if self.restart and not max(1, self.pretrain_steps) <= self.joins < self.steps:
            raise SettingsError(
                "a restart parts two courses: unlabeled_from must lie between pretrain_epochs and "
                "the end, for example at 0.8"
            )
        if not 0 <= self.class_balance <= 1:
            raise SettingsError("class_balance must lie in 0..1")
        if not 0.25 <= self.width <= 4:
            raise SettingsError("width must lie in 0.25..4")
        if not 1 <= self.sharpening <= 100:
            raise SettingsError("sharpening must lie in 1..100")
        if self.drawn_frequencies not in FREQUENCIES:
            raise SettingsError(
                f"no drawn_frequencies {self.drawn_frequencies!r}; there are "
                f"{', '.join(FREQUENCIES)}"
            )
        for name in ("learning_rate", "generator_learning_rate"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} must be positive")
        for name in (
            "weight_drawn",
            "weight_consistency",
            "weight_gate",
            "weight_negatives",
            "weight_decay",
        ):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} must not be negative")

    @property
    def steps(self) -> int:
        """Number of steps of the whole training."""
        return self.epochs * self.steps_per_epoch

    @property
    def pretrain_steps(self) -> int:
        """Number of steps with drawn characters as the only labels."""
        return self.pretrain_epochs * self.steps_per_epoch

    @property
    def joins(self) -> int:
        """First step, counted from 0, in which images without labels may take part."""
        return math.ceil(self.unlabeled_from * self.steps)

    @property
    def has_generator(self) -> bool:
        """Whether the method trains a generator."""
        return "sgan" in self.method

    @property
    def has_consistency(self) -> bool:
        """Whether the method learns from unlabeled images by consistency."""
        return "consistency" in self.method


@dataclass(frozen=True)
class TeacherSettings:
    """A larger network, trained first by the same settings, whose answers the small one learns.

    Knowledge distillation (Hinton et al. 2015).
    """

    epochs: int = 0  # 0: no teacher
    width: float = 2.0  # of its layers, against the classifier's
    weight: float = 1.0  # of learning its answers, beside the cross-entropy
    temperature: float = 2.0  # that softens both networks' answers

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise SettingsError("epochs of a teacher must not be negative")
        if not 0.25 <= self.width <= 4:
            raise SettingsError("width must lie in 0.25..4")
        if self.weight < 0 or self.temperature <= 0:
            raise SettingsError("weight must not be negative, temperature must be positive")


@dataclass(frozen=True)
class Settings:
    """All settings of this package; one table of the preset file each."""

    data: DataSettings = field(default_factory=DataSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Nested dictionary, for JSON."""
        return dataclasses.asdict(self)


def load_settings(preset: str, overrides: Sequence[str] = ()) -> Settings:
    """Read a preset, by name or as the path of a TOML file, and apply ``table.key=value`` lines.

    Raises
    ------
    SettingsError
        Unknown preset, table or key; a value of another type or out of range.
    """
    tables = read_preset("semi_supervised", preset)
    for line in overrides:
        target, equals, value = line.partition("=")
        table, dot, key = target.strip().partition(".")
        if not equals or not dot:
            raise SettingsError(f"--set takes table.key=value, not {line!r}")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value
        tables.setdefault(table, {})[key] = parsed
    known = {f.name: f.default_factory for f in dataclasses.fields(Settings)}
    tables.pop("quantize", None)  # one file may hold the settings of all stages
    for table in tables:
        if table not in known:
            raise SettingsError(f"{preset}: no table [{table}]; there are {', '.join(known)}")
    return Settings(
        data=_build(DataSettings, tables.get("data", {}), f"{preset} [data]"),
        augment=_build(AugmentSettings, tables.get("augment", {}), f"{preset} [augment]"),
        train=_build(TrainSettings, tables.get("train", {}), f"{preset} [train]"),
        teacher=_build(TeacherSettings, tables.get("teacher", {}), f"{preset} [teacher]"),
    )


def _build(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    defaults = {f.name: f.default for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    given = dict(values)
    for key, value in values.items():
        if key not in defaults:
            near = difflib.get_close_matches(key, defaults, n=3) or list(defaults)
            raise SettingsError(f"{where}: no setting {key!r}; there are {', '.join(near)}")
        default = defaults[key]
        if isinstance(default, tuple):
            read = _counts if key == "channels" else _names
            given[key] = read(value, f"{where}: {key}")
            continue
        fits = (
            type(value) is type(default)
            or (isinstance(default, float) and type(value) is int)
            or (key == "labels_per_class" and type(value) is int)
        )
        if not fits:
            raise SettingsError(
                f"{where}: {key} must be of type {type(default).__name__}, not {value!r}"
            )
    return kind(**given)


def _counts(value: Any, where: str) -> tuple[int, ...]:
    """Read a list of whole numbers, or a text of them with commas between."""
    counts = value.split(",") if isinstance(value, str) else value
    try:
        return tuple(int(str(count)) for count in counts)
    except (TypeError, ValueError):
        raise SettingsError(f"{where} must be whole numbers with commas, not {value!r}") from None


def _names(value: Any, where: str) -> tuple[str, ...]:
    """Read a list of names, or a text of names with commas between, as a sorted tuple."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SettingsError(f"{where} must be names with commas between, not {value!r}")
    return tuple(sorted({name.strip() for name in names} - {""}))
