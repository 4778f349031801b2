"""The predictor: preprocessing → runner → scores, behind one call."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Bundle, read_bundle
from edge_runtime.errors import ImageError
from edge_runtime.images import Gray, read_gray, read_standard_input
from edge_runtime.layers import Int8
from edge_runtime.preprocess import preprocess
from edge_runtime.runners import Logits, Runner, default_backend, open_runner
from edge_runtime.scores import Millionths, Prediction, float_probabilities, predictions


class Recognizer:
    """Classifies gray images with one bundle on one back end.

    >>> recognizer = Recognizer.open(Path("models/scene62/scene62.egb"))   # doctest: +SKIP
    >>> recognizer.classify([read_gray(Path("crop.png"))])[0].label        # doctest: +SKIP
    'A'
    """

    def __init__(self, bundle: Bundle, runner: Runner) -> None:
        self.bundle = bundle
        self._runner = runner

    @classmethod
    def open(
        cls,
        path: Path,
        backend: str | None = None,
        model: Path | None = None,
        isa: str | None = None,
    ) -> "Recognizer":
        """Read a bundle and make a back end ready; its self-test runs here, once."""
        bundle = read_bundle(path)
        return cls(bundle, open_runner(backend or default_backend(), bundle, path, model, isa))

    @property
    def integer(self) -> bool:
        """Whether the logits are the exact integers that a board computes."""
        return self._runner.integer

    def classify(self, images: Sequence[Gray], top_k: int = 3) -> list[Prediction]:
        """Classify gray images, uint8 [height, width] each, of any sizes."""
        return self.classify_inputs([preprocess(gray) for gray in images], top_k)

    def classify_inputs(self, inputs: Sequence[Int8], top_k: int = 3) -> list[Prediction]:
        """Classify preprocessed images, int8 [32, 32, 1] each."""
        if not inputs:
            return []
        logits, probabilities, p_real = self.scores(np.stack(inputs))
        return predictions(logits, probabilities, p_real, self.bundle.alphabet, top_k)

    def scores(self, inputs: Int8) -> tuple[Logits, Millionths, Millionths]:
        """Logits [N, classes], class probabilities [N, classes] and p_real [N] of int8 inputs."""
        logits = self.logits(inputs)
        return logits, *self.probabilities(logits)

    def logits(self, inputs: Int8) -> Logits:
        """Logits [N, classes] of int8 inputs [N, 32, 32, 1]: the network alone."""
        return self._runner.run(inputs)

    def probabilities(self, logits: Logits) -> tuple[Millionths, Millionths]:
        """Class probabilities [N, classes] and p_real [N] of logits.

        Of some classes' logits, the first are their probabilities where no other can be.
        """
        if self._runner.integer:
            return self.bundle.scores.probabilities(logits)
        return float_probabilities(logits.astype(np.float32), self.bundle.temperature)

    def classify_files(
        self, paths: Iterable[Path | None], top_k: int = 3, batch: int = 64
    ) -> Iterator[tuple[Path, Prediction | ImageError]]:
        """Classify files in order; a file that cannot be read yields its error instead.

        None stands for an image on standard input, whose path is given as ``-``.
        """
        for path, _, answer in self.see_files(paths, top_k, batch):
            yield path, answer

    def see_files(
        self, paths: Iterable[Path | None], top_k: int = 3, batch: int = 64
    ) -> Iterator[tuple[Path, Int8 | None, Prediction | ImageError]]:
        """As `classify_files`, with the input that the network saw: int8 [32, 32, 1], or None.

        No more than one image is held at its own size.
        """
        waiting: list[tuple[Path, Int8 | ImageError]] = []
        for given in paths:
            path = given or Path("-")
            try:
                gray = read_gray(path) if given else read_standard_input()
                waiting.append((path, preprocess(gray)))
            except ImageError as error:
                waiting.append((path, error))
            if len(waiting) == batch:
                yield from self._flush(waiting, top_k)
                waiting.clear()
        yield from self._flush(waiting, top_k)

    def _flush(
        self, waiting: list[tuple[Path, Int8 | ImageError]], top_k: int
    ) -> Iterator[tuple[Path, Int8 | None, Prediction | ImageError]]:
        readable = [inputs for _, inputs in waiting if not isinstance(inputs, ImageError)]
        answers = iter(self.classify_inputs(readable, top_k))
        for path, inputs in waiting:
            if isinstance(inputs, ImageError):
                yield path, None, inputs
            else:
                yield path, inputs, next(answers)
