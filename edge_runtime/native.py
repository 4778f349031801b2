"""Back end ``native``: the on-board engine (edge_runtime/cpp) on this machine, through its C API.

`make runtime` builds the library beside this package. The integers are those of the reference.
"""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime import __version__
from edge_runtime.errors import EdgeGlyphError, InputError, VerificationError
from edge_runtime.layers import Int8
from edge_runtime.pixels import Gray

LIBRARY = Path(__file__).parent / "cpp/build/host/libedge_runtime.so"
_ABI = 2  # EG_ABI of edge_runtime.h that this file was written for
_MESSAGE_BYTES = 1024
_NOT_VERIFIED = 1


class _Image(ctypes.Structure):
    _fields_ = (
        ("pixels", ctypes.POINTER(ctypes.c_uint8)),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("stride", ctypes.c_size_t),
    )


def is_built() -> bool:
    """Whether `make runtime` has built the library for this machine."""
    return LIBRARY.is_file()


class NativeRunner:
    """The C++ engine; opening a bundle runs its self-test there.

    threads : how many a batch may use; 0 takes all that the machine has
    isa : instruction set: scalar, avx2, avx512vnni, neon or neon-dot; None takes the fastest that
        the processor has, and one that it lacks raises `InputError`
    """

    integer = True

    def __init__(
        self, bundle: Path, int32_logits: bool, threads: int = 0, isa: str | None = None
    ) -> None:
        self._library = load_library()
        self._threads = threads
        self._type: type[np.generic] = np.int32 if int32_logits else np.int8
        handle = ctypes.c_void_p()
        path = str(bundle).encode("utf-8", "surrogateescape")
        chosen = isa.encode() if isa else None
        _call(self._library.eg_open, path, chosen, ctypes.byref(handle))
        self._handle = handle
        self._classes = int(self._library.eg_classes(handle))

    @property
    def isa(self) -> str:
        """The instruction set that it uses."""
        name: bytes = self._library.eg_isa(self._handle)
        return name.decode()

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._library.eg_close(self._handle)

    def run(self, inputs: Int8) -> npt.NDArray[Any]:
        """Logits int8 or int32 [N, classes] of int8 inputs [N, 32, 32, 1]."""
        if inputs.dtype != np.int8 or inputs.shape[1:] != (32, 32, 1):
            raise ValueError(f"inputs are {inputs.dtype} {inputs.shape}, not int8 [N, 32, 32, 1]")
        # As bytes: addresses of NumPy's arrays take as long to get as a layer takes to run.
        data, count = inputs.tobytes(), len(inputs)
        found = bytearray(4 * max(1, count) * self._classes)
        into = ctypes.c_char.from_buffer(found)
        _call(self._library.eg_run, self._handle, data, count, self._threads, ctypes.byref(into))
        logits = np.frombuffer(found, np.int32, count * self._classes)
        typed: npt.NDArray[Any] = logits.astype(self._type, copy=False)
        return typed.reshape(count, self._classes)


def decode_gray(data: bytes, name: str) -> Gray:
    """Decode an image with the on-board readers, as `edge_runtime.images.decode_gray`."""
    library, image = load_library(), _Image()
    size = ctypes.c_size_t(len(data))
    _call(
        library.eg_decode, data, size, name.encode("utf-8", "surrogateescape"), ctypes.byref(image)
    )
    try:
        flat = np.ctypeslib.as_array(image.pixels, (image.height, image.stride))
        return flat[:, : image.width].copy()
    finally:
        library.eg_free_image(ctypes.byref(image))


def load_library() -> ctypes.CDLL:
    """Load the library; `InputError` where it is missing or of another release."""
    if not is_built():
        raise InputError(f"{LIBRARY}: not built; `make runtime` builds it, or use --backend int8")
    try:
        library = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise InputError(f"{LIBRARY}: cannot be loaded ({error}); `make runtime` again") from None
    library.eg_version.restype = ctypes.c_char_p
    version = library.eg_version().decode()
    if (library.eg_abi(), version) != (_ABI, __version__):
        raise InputError(
            f"{LIBRARY}: is of release {version}, interface {library.eg_abi()}, this is "
            f"{__version__}, interface {_ABI}; `make runtime` again"
        )
    library.eg_classes.argtypes = (ctypes.c_void_p,)
    library.eg_classes.restype = ctypes.c_uint32
    library.eg_isa.argtypes = (ctypes.c_void_p,)
    library.eg_isa.restype = ctypes.c_char_p
    library.eg_close.argtypes = (ctypes.c_void_p,)
    library.eg_close.restype = None
    library.eg_free_image.restype = None
    size, address = ctypes.c_size_t, ctypes.c_void_p
    library.eg_run.argtypes = (address, address, size, ctypes.c_uint, address, address, size)
    return library


def _call(function: Any, *arguments: Any) -> None:
    """Call a function of the C API; raise what its status says."""
    message = ctypes.create_string_buffer(_MESSAGE_BYTES)
    status = function(*arguments, message, ctypes.c_size_t(_MESSAGE_BYTES))
    if status == 0:
        return
    text = message.value.decode("utf-8", "replace")
    kind: type[EdgeGlyphError] = VerificationError if status == _NOT_VERIFIED else InputError
    raise kind(text)
