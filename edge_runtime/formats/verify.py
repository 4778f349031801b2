"""Compare a converted model with the network that it was made from, on images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime import integer
from edge_runtime.errors import MissingDependencyError, VerificationError
from edge_runtime.formats.format import Format, Load, Source
from edge_runtime.formats.images import Measured
from edge_runtime.metrics import McNemar, Metric, agreement, mcnemar, paired_difference, wilson
from edge_runtime.runners import open_runner

LEAST_AGREEMENT = 0.9  # with the float network: what is below is broken, whatever its speed
_BATCH = 64
_AT_ONCE = 256  # images that the reference takes

Real = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """The network's own answers.

    float_name : what computed the float logits [N, classes]
    integers : the integer reference's logits [N, classes]
    """

    images: Measured
    float_name: str
    float_logits: Real
    integers: npt.NDArray[Any]


def answer(source: Source, images: Measured) -> Reference:
    """Run the float and the integer network; the latter alone where a bundle is by itself."""
    runs = range(0, len(images.inputs), _AT_ONCE)
    parts = [images.inputs[i : i + _AT_ONCE] for i in runs]
    integers = np.concatenate([integer.run(source.bundle.network, part) for part in parts])
    if not source.path.with_name("model.onnx").is_file():
        return Reference(images, "the integer network", integers * source.logit_unit, integers)
    name, runner = _float_runner(source)
    floats = np.concatenate([runner.run(part) for part in parts]).astype(np.float64)
    return Reference(images, name, floats, integers)


def _float_runner(source: Source) -> tuple[str, Any]:
    """model.onnx in ONNX Runtime; the frozen graph in TensorFlow where that is not installed."""
    try:
        return "model.onnx in ONNX Runtime", open_runner("onnx", source.bundle, source.path, None)
    except MissingDependencyError:
        runner = open_runner("tf", source.bundle, source.path, None)
        return "frozen_model.pb in TensorFlow", runner


@dataclass(frozen=True)
class Verified:
    """What a conversion changes, on n images.

    reference : the float network that all but ``identical`` refers to
    identical : whether all logits are the integer reference's; None for formats that promise no
        integers
    largest, mean : difference of a logit
    lost : accuracy of the float network minus this one's, in points
    """

    reference: str
    n: int
    identical: bool | None
    largest: float
    mean: float
    agreement: Metric
    accuracy: Metric
    reference_accuracy: Metric
    lost: Metric
    mcnemar: McNemar

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "reference": self.reference,
            "n": self.n,
            "identical_to_integer_reference": self.identical,
            "largest_logit_difference": float(f"{self.largest:.6g}"),
            "mean_logit_difference": float(f"{self.mean:.6g}"),
            "agreement": self.agreement.as_json(),
            "accuracy": self.accuracy.as_json(),
            "reference_accuracy": self.reference_accuracy.as_json(),
            "accuracy_lost_points": self.lost.as_json(),
            "mcnemar": self.mcnemar.as_json(),
        }


def verify(one: Format, source: Source, path: Path, reference: Reference) -> Verified:
    """Run a converted model on all images.

    Raises
    ------
    VerificationError
        It is not the network: other integers, a float format beyond its tolerance, or less than
        90 % of the images with the float network's class.
    """
    images = reference.images
    session = one.open(source, path, Load(_BATCH, 1))
    logits = session.logits(images.inputs)
    identical = None
    if one.exact:
        wanted = reference.integers.astype(np.float64) * source.logit_unit
        _refuse_other_integers(path, logits, wanted, images)
        identical = True
    if one.check:
        one.check(source, path, images.paths, images.inputs)
    difference = np.abs(logits - reference.float_logits)
    own, base = logits.argmax(axis=1), reference.float_logits.argmax(axis=1)
    right, base_right = own == images.labels, base == images.labels
    n = len(own)
    found = Verified(
        reference.float_name,
        n,
        identical,
        float(difference.max()),
        float(difference.mean()),
        agreement(own, base),
        wilson(int(right.sum()), n),
        wilson(int(base_right.sum()), n),
        paired_difference(base_right, right),
        mcnemar(base_right, right),
    )
    if one.tolerance is not None and not found.largest <= one.tolerance:
        raise VerificationError(
            f"{path}: a logit differs by {found.largest:.3g} from {found.reference}, more than "
            f"{one.tolerance:g}; it was not kept"
        )
    if not found.agreement.value >= LEAST_AGREEMENT:
        raise VerificationError(
            f"{path}: agrees with {found.reference} on {found.agreement.percent} only; it was not "
            "kept (are the calibration images of the kind that it was trained on?)"
        )
    return found


def _refuse_other_integers(path: Path, logits: Real, wanted: Real, images: Measured) -> None:
    other = np.argwhere(logits != wanted)
    if len(other):
        image, label = other[0]
        raise VerificationError(
            f"{path}: class {label} of {images.paths[image]} is {logits[image, label]}, the "
            f"integer reference has {wanted[image, label]}; it was not kept"
        )
