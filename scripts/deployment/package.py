"""What is sent to a board: program, bundle, sample images, and a list of their hashes.

The images get plain names, images/00001.png and so on, the same here and on the board, so that the
lines of both name the same files.
"""

import contextlib
import hashlib
import logging
import platform
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from edge_runtime.board import Board
from edge_runtime.errors import DeploymentError, ImageError, InputError, LabelError
from edge_runtime.files import sha256_of
from edge_runtime.images import IMAGE_SUFFIXES, read_gray
from edge_runtime.lines import json_line
from edge_runtime.recognizer import Recognizer
from edge_runtime.sources import find_source_images

log = logging.getLogger(__name__)

PROGRAM, BUNDLE, IMAGES, LIST = "edge_classify", "classifier.egb", "images", "files.sha256"
INBOX_SCRIPT = Path(__file__).with_name("classify_inbox.sh")
# What `uname -m` says where programs of an ABI run, and e_machine in the ELF header of these.
MACHINES = {"armhf": ("armv7l", "armv8l"), "aarch64": ("aarch64",), "x86_64": ("x86_64",)}
_ELF = {40: "armhf", 183: "aarch64", 62: "x86_64"}
_BLOCK = 4096  # what a small file takes on most boards' file systems


@dataclass(frozen=True)
class Sample:
    """An image for the board: where it is from, its name there, its label where one is known."""

    source: Path
    name: str
    label: str | None


@dataclass(frozen=True)
class Package:
    """A folder ready to be sent.

    version : name of the bundle and hash of all content: the same files are the same version
    hashes : SHA-256 of each file by its name in the folder, in the order of the list
    expected : the host's JSON lines for the samples, from the NumPy reference
    """

    folder: Path
    version: str
    abi: str
    hashes: dict[str, str]
    samples: list[Sample]
    expected: list[str]

    @property
    def disk_kb(self) -> int:
        """Room that it takes on a disk, in KiB."""
        files = (p for p in self.folder.rglob("*") if p.is_file())
        return sum(-(-p.stat().st_size // _BLOCK) * _BLOCK // 1024 for p in files)

    @property
    def machines(self) -> tuple[str, ...]:
        """What `uname -m` may say on the board."""
        return MACHINES[self.abi]

    def differing(self, found: bytes) -> list[str]:
        """Names of the files that are not on the board as they are here.

        found : what `hashes` of on_board.sh says: "lines" of a hash and a name, or where the board
            has no tool for that, "content", all files one after the other
        """
        form, _, body = found.partition(b"\n")
        if form == b"lines":
            lines = body.decode(errors="replace").splitlines()
            there = {line[66:]: line[:64] for line in lines}  # sha256sum's form, and openssl's
            return [name for name, value in self.hashes.items() if there.get(name) != value]
        whole = b"".join((self.folder / name).read_bytes() for name in self.hashes)
        return [] if whole == body else ["some file"]


def pack(
    folder: Path, board: Board, program: Path, bundle: Path, images: Path, limit: int
) -> Package:
    """Fill an empty ``folder`` with all that the board needs.

    Parameters
    ----------
    images : any labeled images, of a manifest the test split (validation where it has none); or a
        folder of images without labels
    limit : most images to take, evenly from the whole list

    Raises
    ------
    InputError
        A program for another processor, a bundle or images that cannot be used.
    """
    abi = _abi_of(program, board)
    recognizer = Recognizer.open(bundle, "int8")  # its self-test refuses a damaged bundle
    samples = _samples(images, limit, recognizer)
    folder.chmod(0o755)  # a temporary folder is its owner's alone
    (folder / IMAGES).mkdir(mode=0o755)
    for source, name in (
        (program, PROGRAM),
        (bundle, BUNDLE),
        (INBOX_SCRIPT, INBOX_SCRIPT.name),
        *((sample.source, sample.name) for sample in samples),
    ):
        shutil.copyfile(source, folder / name)
        (folder / name).chmod(0o755 if name in (PROGRAM, INBOX_SCRIPT.name) else 0o644)
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    hashes = {name: sha256_of(folder / name) for name in names}
    listed = "".join(f"{value}  {name}\n" for name, value in hashes.items())
    (folder / LIST).write_text(listed)
    version = hashlib.sha256(listed.encode()).hexdigest()[:12]
    title = re.sub("[^A-Za-z0-9_.]+", "-", recognizer.bundle.name).strip("-.") or "classifier"
    expected = _expected(recognizer, folder, samples)
    return Package(folder, f"{title}-{version}", abi, hashes, samples, expected)


def _abi_of(program: Path, board: Board) -> str:
    """ABI of a program; `DeploymentError` where it is missing or not the board's."""
    try:
        header = program.open("rb").read(20)
    except OSError:
        raise DeploymentError(
            f"{program}: missing; run `make runtime BOARD={board.name}`"
        ) from None
    found = _ELF.get(int.from_bytes(header[18:20], "little")) if header[:4] == b"\x7fELF" else None
    needed = board.abi if board.abi != "native" else platform.machine()
    if found != needed:
        raise DeploymentError(
            f"{program}: made for {found or 'an unknown processor'}, {board.name} needs {needed}; "
            f"run `make runtime BOARD={board.name}`"
        )
    return needed


def _samples(images: Path, limit: int, recognizer: Recognizer) -> list[Sample]:
    found = _find(images, recognizer)
    count = min(limit, len(found))
    samples: list[Sample] = []
    for i in tqdm(range(count), desc="sample", unit="image", disable=None, leave=False):
        source, label = found[i * len(found) // count]
        with contextlib.suppress(ImageError):
            read_gray(source)
            name = f"{IMAGES}/{len(samples) + 1:05d}{source.suffix.lower()}"
            samples.append(Sample(source, name, label))
    if not samples:
        raise InputError(f"{images}: none of the images can be read")
    if len(samples) < count:
        log.warning("%d images of %s cannot be read and are left out", count - len(samples), images)
    return samples


def _find(images: Path, recognizer: Recognizer) -> list[tuple[Path, str | None]]:
    """Files and labels; held-out ones where a manifest says which these are."""
    try:
        found = find_source_images(images, recognizer.bundle.alphabet)
    except LabelError as error:
        below = images.rglob("*") if images.is_dir() else ()
        plain = sorted(p for p in below if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        if not plain:
            raise
        log.warning("accuracy is not measured: %s", error)
        return [(path, None) for path in plain]
    for split in ("test", "validation"):
        held_out = [image for image in found if image.split == split]
        if held_out:
            found = held_out
            break
    return [(image.path, image.label) for image in found]


def _expected(recognizer: Recognizer, folder: Path, samples: Sequence[Sample]) -> list[str]:
    """Lines of the samples as `edge_classify --json` run in ``folder`` prints them."""
    paths = [folder / sample.name for sample in samples]
    lines = []
    for path, answer in recognizer.classify_files(paths):
        if isinstance(answer, ImageError):  # it was read a moment ago
            raise answer
        lines.append(json_line(path.relative_to(folder), answer))
    return lines
