"""The core's Verilator model from Python: its registers, its streams, its clock."""

import ctypes
from pathlib import Path

import numpy as np

from quantize.core.compiler import CompiledCore

CONTROL, STATUS, IRQ_ENABLE, IRQ_STATUS, WATCHDOG = 0x10, 0x14, 0x18, 0x1C, 0x20
CYCLES, IMAGES, STEPS, WAITING, SPACE = 0x24, 0x28, 0x2C, 0x30, 0x34
RUN, BY_REGISTERS, SOFT_RESET = 1, 2, 4
PROGRAM, WEIGHTS, IMAGE = 0, 1, 2
ERRORS = {
    1: "not a program",
    2: "another core",
    3: "program length",
    4: "checksum",
    5: "weights length",
    6: "image length",
    7: "illegal instruction",
    8: "empty group",
    9: "number of logits",
    10: "overrun",
    11: "watchdog",
}


class CoreModel:
    """One simulated core; `close` or garbage collection frees it."""

    def __init__(self, library: Path) -> None:
        self._c = ctypes.CDLL(str(library))
        self._c.egc_open.restype = ctypes.c_void_p
        for name in ("egc_run", "egc_cycles"):
            getattr(self._c, name).restype = ctypes.c_uint64
        for name in ("egc_pending", "egc_receive"):
            getattr(self._c, name).restype = ctypes.c_size_t
        self._core = ctypes.c_void_p(self._c.egc_open())

    def __del__(self) -> None:
        self._c.egc_close(self._core)

    def reset(self) -> None:
        self._c.egc_reset(self._core)

    def write(self, address: int, value: int) -> None:
        assert self._c.egc_write(self._core, address, ctypes.c_uint32(value)) == 0, "no answer"

    def read(self, address: int) -> int:
        value = ctypes.c_uint32()
        assert self._c.egc_read(self._core, address, ctypes.byref(value)) == 0, "no answer"
        return value.value

    def send(self, stream: int, data: bytes, last: bool = True) -> None:
        size = 8 if stream == WEIGHTS else 4
        data += bytes(-len(data) % size)
        beats = ctypes.c_size_t(len(data) // size)
        self._c.egc_send(self._core, stream, data, beats, int(last))

    def pending(self, stream: int) -> int:
        return int(self._c.egc_pending(self._core, stream))

    def drop(self, stream: int) -> None:
        self._c.egc_drop(self._core, stream)

    def run(self, cycles: int, logits: int = 0, until_interrupt: bool = False) -> int:
        limit = ctypes.c_uint64(cycles)
        wanted = ctypes.c_size_t(logits)
        return int(self._c.egc_run(self._core, limit, wanted, int(until_interrupt)))

    def receive(self, most: int) -> tuple[np.ndarray, np.ndarray]:
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
        self._c.egc_pauses(self._core, ctypes.c_uint32(seed), chance)

    @property
    def interrupt(self) -> bool:
        return bool(self._c.egc_interrupt(self._core))

    @property
    def error(self) -> str | None:
        """What the core has stopped for."""
        code = self.read(STATUS) >> 8 & 0xF
        return ERRORS.get(code, f"unknown error {code}") if code else None

    def load(self, compiled: CompiledCore, images: int = 0) -> None:
        """Start a program; weights that do not stay on chip are queued for so many images."""
        self.write(CONTROL, SOFT_RESET)
        self.write(CONTROL, RUN)
        self.send(PROGRAM, compiled.program.pack())
        for _ in range(1 if compiled.program.resident else images):
            if compiled.weights:
                self.send(WEIGHTS, compiled.weights)

    def classify(self, compiled: CompiledCore, images: np.ndarray) -> np.ndarray:
        """Logits [N, classes] of images int8 [N, height, width, channels], one after another."""
        self.load(compiled, len(images))
        for image in images:
            self.send(IMAGE, image.tobytes())
        wanted = len(images) * compiled.program.logits
        budget = (compiled.image_cycles * len(images) + 200_000) * 8
        self.run(budget, wanted)
        assert self.error is None, self.error
        logits, last = self.receive(wanted + 1)
        assert len(logits) == wanted, f"{len(logits)} logits of {wanted}"
        assert (np.flatnonzero(last) + 1).tolist() == [
            (i + 1) * compiled.program.logits for i in range(len(images))
        ]
        return logits.reshape(len(images), -1)
