"""``python -m semi_supervised synth``: a set of drawn characters (or non-characters) as files."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.errors import SettingsError
from edge_runtime.images import Gray
from semi_supervised.synthesis.fonts import find_faces
from semi_supervised.synthesis.negatives import KINDS, NegativeSynthesizer
from semi_supervised.synthesis.synthesizer import Synthesizer
from semi_supervised.synthesis.writing import Drawing, write_images


@dataclass(frozen=True)
class OfficialLayout:
    """A series from its image ``first`` on, named as in the official EnglishFnt archive."""

    synthesizer: Synthesizer
    first: int

    def draw(self, i: int) -> Gray:
        """Draw the set's image ``i``."""
        return self.synthesizer.draw(self.first + i)

    def file_name(self, i: int) -> str:
        """``English/Fnt/SampleNNN/imgNNN-NNNNN.png``."""
        turn, index = divmod(self.first + i, len(self.synthesizer.alphabet))
        return f"English/Fnt/Sample{index + 1:03d}/img{index + 1:03d}-{turn + 1:05d}.png"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--output", type=Path, default=Path("build/synth"), metavar="DIR")
    parser.add_argument("--per-class", type=int, default=100, metavar="N")
    parser.add_argument(
        "--from",
        dest="first",
        type=int,
        default=0,
        metavar="TURN",
        help="go on with the endless series from the TURN-th image of each class",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--alphabet", metavar="CHARACTERS", help="default: 0-9A-Za-z")
    parser.add_argument(
        "--negatives",
        action="store_true",
        help="draw what is not a character instead, N images of each kind",
    )


def run(options: argparse.Namespace) -> int:
    """Write the set; return the exit code."""
    if options.per_class < 1 or options.first < 0 or options.seed < 0:
        raise SettingsError("--per-class must be at least 1, --from and --seed not negative")
    alphabet = parse_alphabet(options.alphabet) if options.alphabet else ALPHABET_62
    synthesizer = Synthesizer(alphabet, find_faces(alphabet), options.seed)
    drawing: Drawing = OfficialLayout(synthesizer, options.first * len(alphabet))
    classes = len(alphabet)
    if options.negatives:
        drawing, classes = NegativeSynthesizer(synthesizer), len(KINDS)
    count = options.per_class * classes
    started = time.perf_counter()
    bar = tqdm(
        write_images(drawing, range(count), options.output),
        desc="draw",
        total=count,
        unit="image",
        disable=None,
    )
    written = sum(1 for _ in bar)
    print(
        f"{written:,} images of {classes} {'kinds' if options.negatives else 'classes'} from "
        f"{synthesizer.families} font families in {options.output} "
        f"({time.perf_counter() - started:.0f} s)"
    )
    return 0
