"""Putting a network's program for the core into its bundle, once it has proved itself."""

import dataclasses
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Bundle, read_bundle, write_bundle
from edge_runtime.errors import VerificationError
from edge_runtime.files import write_text
from quantize.core import model
from quantize.core.compiler import compile_core, listing
from quantize.core.target import find_target


def with_core(bundle: Bundle, target_name: str) -> Bundle:
    """Return a bundle with a program for the core, which the model of the core has run.

    Raises
    ------
    GraphError
        When the core cannot run the network.
    VerificationError
        When the program does not make the golden vectors' logits.
    """
    target = find_target(target_name)
    image = compile_core(bundle.network, target).image()
    found = model.run(image.program, image.weights, bundle.golden.inputs, target)
    if not np.array_equal(found, bundle.golden.logits):
        raise VerificationError(
            f"the program for {target.name} does not make the logits of bundle {bundle.name!r}; "
            "this is an error of the compiler, please report it"
        )
    return dataclasses.replace(bundle, core=image)


def add_core(source: Path, output: Path, target_name: str) -> Bundle:
    """Write a bundle anew with a program for the core, read it back and run its self-test."""
    bundle = read_bundle(source)
    bundle.self_test()
    write_bundle(output, with_core(bundle, target_name))
    written = read_bundle(output)
    written.self_test()
    return written


def write_listing(bundle: Bundle, output: Path) -> str:
    """Write the program's listing beside the bundle; return it, and where it is."""
    assert bundle.core is not None
    compiled = compile_core(bundle.network, find_target(bundle.core.target))
    path = output.with_suffix(f".{bundle.core.target}.txt")
    text = listing(compiled)
    write_text(path, text + "\n")
    return f"{text}\n\nlisting: {path}"
