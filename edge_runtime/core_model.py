"""Back end ``core-sim``: the open core (edge_runtime/rtl) as a cycle-accurate simulation.

`make core-model` has Verilator turn the core into a library beside its sources; this drives it as
a board would, by registers and streams (docs/core.md). The integers are those of the reference.
"""

import ctypes
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.core_section import CoreImage
from edge_runtime.errors import InputError, VerificationError
from edge_runtime.layers import Int8

FOLDER = Path(__file__).parent / "rtl/build"
LIBRARY = "libcore_model.so"

# Registers: byte addresses, and bits of CONTROL.
CONTROL, STATUS, IRQ_ENABLE, IRQ_STATUS, WATCHDOG = 0x10, 0x14, 0x18, 0x1C, 0x20
CYCLES, IMAGES, STEPS, WAITING, SPACE = 0x24, 0x28, 0x2C, 0x30, 0x34
PROGRAM_BEAT, WEIGHT_BEAT, IMAGE_BEAT, LOGIT, LAST = 0x40, 0x48, 0x50, 0x58, 4
RUN, BY_REGISTERS, SOFT_RESET = 1, 2, 4
# Streams.
PROGRAM, WEIGHTS, IMAGE = 0, 1, 2

ERRORS = {
    1: "not a program",
    2: "another core",
    3: "program length",
    4: "program checksum",
    5: "weights length",
    6: "image length",
    7: "illegal instruction",
    8: "empty group",
    9: "number of logits",
    10: "overrun",
    11: "watchdog",
}
_SLACK = 200_000  # cycles beside the images': loading, and what random pauses cost


def library_of(target: str) -> Path:
    """Where `make core-model` puts the model of a target."""
    return FOLDER / target / LIBRARY


class CoreModel:
    """One simulated core.

    ``plusarg`` is what the Verilog's ``$test$plusargs`` finds; the tests' faults have one each.
    """

    def __init__(self, library: Path, plusarg: str | None = None) -> None:
        if not library.is_file():
            raise InputError(
                f"{library}: not built; `make core-model CORE={library.parent.name}` builds it"
            )
        self._c = ctypes.CDLL(str(library))
        self._c.egc_open_with.restype = ctypes.c_void_p
        for name in ("egc_run", "egc_cycles", "egc_violations"):
            getattr(self._c, name).restype = ctypes.c_uint64
        for name in ("egc_pending", "egc_receive"):
            getattr(self._c, name).restype = ctypes.c_size_t
        argument = plusarg.encode() if plusarg else None
        self._core = ctypes.c_void_p(self._c.egc_open_with(argument))

    def __del__(self) -> None:
        if hasattr(self, "_core"):
            self._c.egc_close(self._core)

    def reset(self) -> None:
        """Hold the reset line for some cycles."""
        self._c.egc_reset(self._core)

    def write(self, address: int, value: int) -> None:
        """Write a register."""
        if self._c.egc_write(self._core, address, ctypes.c_uint32(value)):
            raise VerificationError(f"the core does not take a write to {address:#x}")

    def read(self, address: int) -> int:
        """Read a register."""
        value = ctypes.c_uint32()
        if self._c.egc_read(self._core, address, ctypes.byref(value)):
            raise VerificationError(f"the core does not answer a read of {address:#x}")
        return value.value

    def send(self, stream: int, data: bytes, last: bool = True) -> None:
        """Queue a packet, filled up with zeros to whole beats; without ``last`` it goes on."""
        size = 8 if stream == WEIGHTS else 4
        data += bytes(-len(data) % size)
        beats = ctypes.c_size_t(len(data) // size)
        self._c.egc_send(self._core, stream, data, beats, int(last))

    def pending(self, stream: int) -> int:
        """Beats that the core has not taken."""
        return int(self._c.egc_pending(self._core, stream))

    def drop(self, stream: int) -> None:
        """Forget the beats that the core has not taken."""
        self._c.egc_drop(self._core, stream)

    def run(self, cycles: int, logits: int = 0, until_interrupt: bool = False) -> int:
        """Let time pass, less when so many logits wait or the interrupt comes; return how much."""
        limit, wanted = ctypes.c_uint64(cycles), ctypes.c_size_t(logits)
        return int(self._c.egc_run(self._core, limit, wanted, int(until_interrupt)))

    def receive(self, most: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
        """Logits that have come, and whether each was its packet's last."""
        logits, last = np.zeros(most, np.int32), np.zeros(most, np.uint8)
        count = self._c.egc_receive(
            self._core,
            logits.ctypes.data_as(ctypes.c_void_p),
            last.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_size_t(most),
        )
        return logits[:count], last[:count]

    def pauses(self, seed: int, chance: int) -> None:
        """From now on every stream and register access pauses with this chance in 256."""
        self._c.egc_pauses(self._core, ctypes.c_uint32(seed), chance)

    @property
    def cycles(self) -> int:
        """Clock cycles since it was made."""
        return int(self._c.egc_cycles(self._core))

    @property
    def interrupt(self) -> bool:
        """The interrupt line."""
        return bool(self._c.egc_interrupt(self._core))

    @property
    def error(self) -> str | None:
        """What the core has stopped for."""
        code = self.read(STATUS) >> 8 & 0xF
        return ERRORS.get(code, f"unknown error {code}") if code else None

    def load(self, image: CoreImage, count: int = 0) -> None:
        """Start a program; weights that do not stay on chip are queued for so many images."""
        self.write(CONTROL, SOFT_RESET)
        self.write(CONTROL, RUN)
        self.send(PROGRAM, image.program)
        for _ in range(1 if is_resident(image) else count):
            if image.weights:
                self.send(WEIGHTS, image.weights)

    def classify(self, image: CoreImage, inputs: Int8) -> npt.NDArray[np.int32]:
        """Logits [N, classes] of int8 inputs [N, …], with the program loaded anew.

        Raises
        ------
        VerificationError
            When the core stops with an error, or does not give as many logits as it should.
        """
        self.load(image, len(inputs))
        before = self._c.egc_violations(self._core)
        for given in inputs:
            self.send(IMAGE, given.tobytes())
        classes = logits_of(image)
        wanted = len(inputs) * classes
        self.run((image.cycles + len(image.weights)) * len(inputs) * 8 + _SLACK, wanted)
        if self.error is not None:
            raise VerificationError(f"the core stopped: {self.error}")
        if self._c.egc_violations(self._core) != before:
            raise VerificationError("the core took back a logit that it had offered")
        logits, last = self.receive(wanted + 1)
        ends = np.arange(1, len(inputs) + 1) * classes
        if len(logits) != wanted or (np.flatnonzero(last) + 1).tolist() != ends.tolist():
            raise VerificationError(f"the core gave {len(logits)} logits of {wanted}")
        return logits.reshape(len(inputs), classes)


class CoreSimRunner:
    """The simulated core as a back end; opening it runs the golden vectors."""

    integer = True

    def __init__(self, image: CoreImage | None, inputs: Int8, logits: npt.NDArray[np.int8]) -> None:
        if image is None:
            raise InputError(
                "the bundle holds no core program; `python -m quantize compile --target core128` "
                "puts one in"
            )
        self._image, self._type = image, logits.dtype
        self._model = CoreModel(library_of(image.target))
        if not np.array_equal(self.run(inputs), logits):
            raise VerificationError(
                f"the simulated {image.target} does not make the golden vectors' logits; "
                "`make core-model` and compile the bundle again"
            )

    def run(self, inputs: Int8) -> npt.NDArray[np.int32]:
        """Logits int8 or int32 [N, classes] of int8 inputs [N, 32, 32, 1]."""
        return self._model.classify(self._image, inputs).astype(self._type)


def is_resident(image: CoreImage) -> bool:
    """Whether the weights stay on chip."""
    return _header(image, 4) != 0


def logits_of(image: CoreImage) -> int:
    """Logits of an image."""
    return _header(image, 6)


def _header(image: CoreImage, word: int) -> int:
    (value,) = struct.unpack_from("<I", image.program, 4 * word)
    return int(value)
