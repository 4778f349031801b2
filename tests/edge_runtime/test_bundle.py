import dataclasses
import json

import numpy as np
import pytest

from edge_runtime import container
from edge_runtime.bundle import read_bundle, write_bundle
from edge_runtime.errors import BundleError, VerificationError
from edge_runtime.layers import Conv
from edge_runtime.runners import Int8Runner
from tests.conftest import branched_bundle, toy_bundle


@pytest.fixture
def bundle_file(tmp_path):
    path = tmp_path / "toy.egb"
    write_bundle(path, toy_bundle())
    return path


def test_what_is_written_is_read(bundle_file):
    written, found = toy_bundle(), read_bundle(bundle_file)
    assert found.name == "toy"
    assert found.alphabet == written.alphabet
    assert found.scores == written.scores
    for a, b in zip(written.network.layers, found.network.layers, strict=True):
        for field in dataclasses.fields(a):
            assert np.array_equal(getattr(a, field.name), getattr(b, field.name)), field.name
    assert np.array_equal(found.golden.logits, written.golden.logits)
    found.self_test()


def test_every_kind_of_layer_and_int32_logits_are_read(tmp_path):
    path, written = tmp_path / "branched.egb", branched_bundle()
    write_bundle(path, written)
    found = read_bundle(path)
    kinds = {type(layer).__name__ for layer in found.network.layers}
    assert kinds == {"Conv", "AvgPool", "MaxPool", "Add", "Concat"}
    for a, b in zip(written.network.layers, found.network.layers, strict=True):
        assert type(a) is type(b)
        for field in dataclasses.fields(a):
            assert np.array_equal(getattr(a, field.name), getattr(b, field.name)), field.name
    assert found.golden.logits.dtype == np.int32
    assert np.array_equal(found.golden.logits, written.golden.logits)
    assert found.scores == written.scores
    found.self_test()


def test_rows_of_the_first_bundles_are_read(bundle_file):
    """They said "relu" and nothing of the output's type."""

    def as_first(table):
        for row in table["layers"]:
            if "activation" in row:
                row["relu"] = row.pop("activation") == "relu"
                assert row.pop("output") == "int8"

    repacked(bundle_file, edit_json("layers", as_first))
    found = read_bundle(bundle_file)
    found.self_test()
    assert [layer.activation for layer in found.network.layers if isinstance(layer, Conv)] == [
        "relu",
        "none",
    ]


def test_the_same_bundle_gives_the_same_bytes(bundle_file, tmp_path):
    write_bundle(tmp_path / "again.egb", read_bundle(bundle_file))
    assert (tmp_path / "again.egb").read_bytes() == bundle_file.read_bytes()


def test_cut_anywhere_is_refused_with_one_line(bundle_file):
    data = bundle_file.read_bytes()
    for length in [*range(0, 500, 7), *range(500, len(data), 991), len(data) // 2, len(data) - 1]:
        bundle_file.write_bytes(data[:length])
        with pytest.raises(BundleError, match=r"toy\.egb: .*(truncated|cut off|no EdgeGlyph)") as e:
            read_bundle(bundle_file)
        assert "\n" not in str(e.value)


def test_every_flipped_bit_that_matters_is_refused(bundle_file):
    data = bundle_file.read_bytes()
    sections = container.unpack(data, "toy")
    used = {
        i
        for name, s in sections.items()
        for start in [data.index(s)]
        for i in range(start, start + len(s), 61)
    } | set(range(64))
    for i in sorted(used):
        broken = bytearray(data)
        broken[i] ^= 1 << (i % 8)
        bundle_file.write_bytes(bytes(broken))
        with pytest.raises(BundleError):
            read_bundle(bundle_file)


def test_missing_files_and_other_files(tmp_path):
    with pytest.raises(BundleError, match="no such bundle; `make compile` writes one"):
        read_bundle(tmp_path / "none.egb")
    (tmp_path / "a.egb").write_bytes(b"\x7fELF" * 100)
    with pytest.raises(BundleError, match="is no EdgeGlyph bundle"):
        read_bundle(tmp_path / "a.egb")


def repacked(path, change):
    """Rewrite a bundle with valid checksums after ``change(sections)``."""
    sections = container.unpack(path.read_bytes(), "toy")
    change(sections)
    path.write_bytes(container.pack(sections))


def edit_json(section, edit):
    def change(sections):
        value = json.loads(sections[section])
        edit(value)
        sections[section] = json.dumps(value).encode()

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("weights"),
        lambda s: s.update(manifest=b"[1]"),
        lambda s: s.update(manifest=b"{nonsense"),
        lambda s: s.update(scores=s["scores"][:-8]),
        lambda s: s.update(golden=s["golden"] + b"\0"),
        lambda s: s.update(weights=s["weights"][:100]),
        edit_json("manifest", lambda m: m["alphabet"].pop()),
        edit_json("manifest", lambda m: m["preprocessing"].update(version=99)),
        edit_json("layers", lambda t: t["layers"][0].update(kind="lstm")),
        edit_json("layers", lambda t: t["layers"][0].update(shift_cut=40)),
        edit_json("layers", lambda t: t["layers"][0].update(stride=[0, 0])),
        edit_json("layers", lambda t: t["layers"][2].update(source=7)),
        edit_json("layers", lambda t: t["layers"][0].update(activation="tanh")),
        edit_json("layers", lambda t: t["layers"][2].update(output="int64")),
        edit_json("layers", lambda t: t["layers"][2].update(output="int32", shift_cut=0)),
        edit_json("layers", lambda t: t["layers"][0].pop("weights")),
        edit_json("layers", lambda t: t["layers"][0]["weights"].update(offset=-5)),
        edit_json("layers", lambda t: t["layers"][0]["weights"].update(shape=[2**40, 3, 3, 1])),
        edit_json("layers", lambda t: t["input"].update(shape=[10**9, 32, 1])),
    ],
)
def test_hostile_content_with_valid_checksums_is_refused(bundle_file, change):
    repacked(bundle_file, change)
    with pytest.raises(BundleError, match=r"toy\.egb: "):
        read_bundle(bundle_file)


def test_changed_weights_are_found_and_their_layer_named():
    bundle = toy_bundle()
    for number, layer in enumerate(bundle.network.layers):
        if not isinstance(layer, Conv):
            continue
        weights = layer.weights.copy()
        weights[0] = ~weights[0]  # one output channel
        layers = list(bundle.network.layers)
        layers[number] = dataclasses.replace(layer, weights=weights)
        network = dataclasses.replace(bundle.network, layers=tuple(layers))
        with pytest.raises(VerificationError, match=f"differs first at layer {layer.name}"):
            Int8Runner(dataclasses.replace(bundle, network=network))
