"""What is kept of a trained cell: which test images it reads, and what its gate lets in."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edge_runtime import metrics
from edge_runtime.files import sha256_of
from edge_runtime.metrics import wilson
from edge_runtime.scores import MILLION
from semi_supervised.data import read_alphabet
from semi_supervised.negatives import FILE_NAME as NEGATIVES_FILE
from semi_supervised.training.answers import logits_of
from semi_supervised.training.checkpoints import load_best, read_history
from semi_supervised.training.images import load_evaluation, load_negatives

PASSING = 0.95  # share of the characters that pass where the gate is measured
_SHOWN = ("top1_36", "top1_merged", "macro", "nll", "ece")

Logits = npt.NDArray[np.float32]


def measure(manifest: Path, weights: Path) -> dict[str, Any]:
    """Measure a network on the test split; what the table is made of, for JSON.

    correct : "1" for each test image that is read as labeled, else "0", in the manifest's order
    gate : share of the test split's non-characters of which p_real is at least as high as 95 % of
        the validation characters have it; None where there are no non-characters
    history : of each epoch, on validation
    """
    network, alphabet, digest = load_best(weights)
    assert alphabet == read_alphabet(manifest)
    test = load_evaluation(manifest, alphabet, "test")
    logits = logits_of(network, test.inputs)
    ranked = metrics.rank(logits, 3)
    correct = ranked[:, 0] == test.labels
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    millionths = np.rint(probabilities * MILLION).astype(np.int64)
    own = millionths[np.arange(len(correct)), test.labels]
    found = metrics.measure(ranked, millionths.max(axis=1), own, test.labels, alphabet)
    validation = logits_of(network, load_evaluation(manifest, alphabet, "validation").inputs)
    history = read_history(weights.with_name("metrics.jsonl"))
    result = json.loads(weights.with_name("result.json").read_text("utf-8"))
    return {
        "schema": 1,
        "accuracy": wilson(int(correct.sum()), len(correct)).as_json(),
        "metrics": {name: found[name].as_json() for name in _SHOWN},
        "gate": _gate(network, manifest, validation),
        "correct": "".join("1" if right else "0" for right in correct),
        "history": [
            {key: row[key] for key in ("epoch", "validation_accuracy", "validation_nll")}
            for row in history
        ],
        "seconds": result["seconds"],
        "steps": result["settings"]["train"]["epochs"]
        * result["settings"]["train"]["steps_per_epoch"],
        "weights_sha256": digest,
        "manifest_sha256": sha256_of(manifest),
        "with": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }


def _gate(network: Any, manifest: Path, validation: Logits) -> dict[str, Any] | None:
    path = manifest.with_name(NEGATIVES_FILE)
    kinds = load_negatives(path, "test") if path.exists() else {}
    if not kinds:
        return None
    threshold = np.quantile(_realness(validation), 1 - PASSING)
    let_in = np.concatenate(
        [_realness(logits_of(network, inputs)) >= threshold for inputs in kinds.values()]
    )
    return wilson(int(let_in.sum()), len(let_in)).as_json()


def _realness(logits: Logits) -> npt.NDArray[np.float64]:
    """Logarithm of p_real / (1 - p_real), float64 [N]: logsumexp of the logits."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=1)
    return np.asarray(top + np.log(np.exp(wide - top[:, np.newaxis]).sum(axis=1)))
