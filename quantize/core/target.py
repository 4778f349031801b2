"""The configurations of the open core (edge_runtime/rtl) that `compile` knows."""

from dataclasses import dataclass

from edge_runtime.errors import SettingsError

WORD = 16  # channels of an activation word
MAX_PROGRAM_WORDS = 1024
MAX_IMAGE_BYTES = 1024
MAX_SIDE = 255
MAX_KERNEL = 15
SUM_BITS = 28  # of a lane's sums; biases are added in 32 bits


@dataclass(frozen=True)
class CoreTarget:
    """A core of a certain size.

    lanes : multipliers, and bytes of a weight word
    pair : products of one multiplier, which are two pixels of one output channel
    weight_depth : weight words on chip;  activation_depth : words of 16 bytes
    """

    name: str
    lanes: int
    pair: int = 2
    weight_depth: int = 3584
    activation_depth: int = 2048

    def __post_init__(self) -> None:
        if self.lanes not in (32, 64, 128) or self.pair not in (1, 2):
            raise SettingsError(f"{self.name}: {self.lanes} lanes of {self.pair} products")
        if not (2 <= self.weight_depth < 2**16 and 2 <= self.activation_depth < 2**16):
            raise SettingsError(f"{self.name}: memories of a depth that 16 bits cannot address")

    def pixels(self, fold: bool) -> int:
        """Output pixels that are computed at a time."""
        return self.pair * (2 if fold else 1)


TARGETS = {
    target.name: target
    for target in (
        CoreTarget("core128", 128, weight_depth=3584),
        CoreTarget("core64", 64, weight_depth=7168),
        CoreTarget("core32", 32, weight_depth=14336),
    )
}


def find_target(name: str) -> CoreTarget:
    """Return a target by name; `SettingsError` names those that there are."""
    if name not in TARGETS:
        raise SettingsError(f"no core {name!r}; there are {', '.join(TARGETS)}")
    return TARGETS[name]
