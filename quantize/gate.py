"""The calibration that `freeze` wrote beside the float network, for the bundle made of it."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_runtime.errors import InputError
from edge_runtime.files import sha256_of

FILE_NAME: Final = "gate.json"
SCHEMA: Final = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gate:
    """Calibrated scores of one float network; the default is what holds without calibration.

    threshold : in millionths of p_real;  acceptance : share of characters that it was chosen for
    """

    temperature: float = 1.0
    threshold: int | None = None
    acceptance: float = 0.0
    sha256: str = ""

    @property
    def files(self) -> dict[str, str]:
        """The file's hash, for the bundle's record of what it was made from."""
        return {FILE_NAME: self.sha256} if self.sha256 else {}

    def as_json(self) -> dict[str, Any] | None:
        """The bundle's entry ``gate``, null without calibration."""
        if self.threshold is None:
            return None
        return {"threshold": self.threshold, "acceptance": self.acceptance}


def read_gate(path: Path, source_sha256: str) -> Gate:
    """Read ``gate.json``; without one, or with another network's, a line says so.

    Parameters
    ----------
    source_sha256 : of the float model that was quantized

    Raises
    ------
    InputError
        The file is damaged, or its numbers are impossible.
    """
    uncalibrated = "temperature 1 and no threshold; `python -m semi_supervised freeze` calibrates"
    try:
        table = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        log.info("%s: no such file: %s", path, uncalibrated)
        return Gate()
    except (OSError, ValueError):
        raise _damaged(path, "no JSON, or cut off") from None
    try:
        if table["schema"] != SCHEMA:
            raise ValueError(f"schema {table['schema']}, this program reads {SCHEMA}")
        if source_sha256 not in (table["frozen_model_sha256"], *table["files"].values()):
            log.info("%s: is of another network: %s", path, uncalibrated)
            return Gate()
        return _checked(table, sha256_of(path))
    except KeyError as error:
        raise _damaged(path, f"lacks {error}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(path, str(error)) from None


def _checked(table: dict[str, Any], digest: str) -> Gate:
    temperature, threshold = table["temperature"], table["threshold_millionths"]
    acceptance = table["wanted_acceptance"]
    if type(temperature) not in (int, float) or not 0.25 <= temperature <= 4:
        raise ValueError(f"temperature {temperature!r} is not within 0.25 to 4")
    if type(threshold) is not int or not 0 <= threshold <= 1_000_000:
        raise ValueError(f"threshold {threshold!r} is not within 0 to 1,000,000 millionths")
    if type(acceptance) is not float or not 0 < acceptance < 1:
        raise ValueError(f"acceptance {acceptance!r} is not within 0 to 1")
    return Gate(float(temperature), threshold, acceptance, digest)


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path}: not a usable calibration ({reason}); run `python -m semi_supervised freeze` "
        "again, or remove it"
    )
