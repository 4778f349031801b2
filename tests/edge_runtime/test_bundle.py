import dataclasses
import json

import numpy as np
import pytest

from edge_runtime import container
from edge_runtime.alphabet import Alphabet
from edge_runtime.bundle import read_bundle, write_bundle
from edge_runtime.bundle_checks import probe
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
        edit_json("layers", lambda t: t["input"].update(shape=[32, 32, 3])),
        edit_json("layers", lambda t: t["layers"][0].update(shift_cut=6.0)),
        edit_json("layers", lambda t: t["layers"][0].update(shift_cut="6")),
        edit_json("layers", lambda t: t["layers"][0].update(pad=[0, 2**20, 0, 1])),
        edit_json("layers", lambda t: t["layers"][0].update(name=5)),
        lambda s: s.pop("checks"),
        lambda s: s.update(checks=s["checks"][:-4]),
        lambda s: s.update(manifest=b'{"name": "a", ' + s["manifest"][1:]),
        lambda s: s.update(manifest=b"[" * 100_000),
        lambda s: s.update(
            manifest=b'{"deep": ' + b"[" * 40 + b"]" * 40 + b", " + s["manifest"][1:]
        ),
        lambda s: s.update(manifest=b'{"half": "\\ud800", ' + s["manifest"][1:]),
        lambda s: s.update(manifest=b'{"zero": "\\u0000", ' + s["manifest"][1:]),
        lambda s: s.update(manifest=b'{"none": NaN, ' + s["manifest"][1:]),
        edit_json("layers", lambda t: t["layers"][0].update(stride=[2**30, 1])),
        edit_json("layers", lambda t: t["layers"][2].update(fix_point=1000)),
        lambda s: s.update(manifest=s["manifest"].decode().encode("utf-16")),
    ],
)
def test_hostile_content_is_refused_by_both_readers(bundle_file, change, classify_native):
    repacked(bundle_file, change)
    with pytest.raises(BundleError, match=r"toy\.egb: "):
        read_bundle(bundle_file)
    code, _, message = classify_native("--bundle", bundle_file, "--self-test")
    assert code == 2
    assert f"{bundle_file}: " in message


def with_layer(bundle, number, **changes):
    layers = list(bundle.network.layers)
    layers[number] = dataclasses.replace(layers[number], **changes)
    network = dataclasses.replace(bundle.network, layers=tuple(layers))
    return dataclasses.replace(bundle, network=network)


def by_one(values, at):
    changed = values.copy()
    changed.reshape(-1)[at] += 1 if changed.reshape(-1)[at] < 127 else -1
    return changed


def test_every_changed_parameter_is_found_and_its_layer_named():
    bundle = branched_bundle()
    changed = []
    for number, layer in enumerate(bundle.network.layers):
        if isinstance(layer, Conv):
            for at in range(0, layer.weights.size, 31):
                changed.append((number, {"weights": by_one(layer.weights, at)}))
            changed.append((number, {"bias": by_one(layer.bias, 0)}))
            changed.append((number, {"shift_bias": layer.shift_bias + 1}))
    mean = next(i for i, layer in enumerate(bundle.network.layers) if layer.name == "mean")
    changed.append((mean, {"shift": bundle.network.layers[mean].shift + 1}))
    for number, change in changed:
        name = bundle.network.layers[number].name
        with pytest.raises(VerificationError, match=f"failed: layer {name} is not what"):
            Int8Runner(with_layer(bundle, number, **change))


@pytest.mark.parametrize("make", [toy_bundle, branched_bundle])
def test_a_changed_table_entry_or_symbol_is_found(make):
    bundle = make()
    for field in dataclasses.fields(bundle.scores):
        values = getattr(bundle.scores, field.name)
        entry = (*values[:7], values[7] ^ 1, *values[8:]) if field.name != "shift" else values + 1
        scores = dataclasses.replace(bundle.scores, **{field.name: entry})
        with pytest.raises(VerificationError, match="failed: the score table is not what"):
            dataclasses.replace(bundle, scores=scores).self_test()
    swapped = Alphabet((*bundle.alphabet.symbols[1::-1], *bundle.alphabet.symbols[2:]))
    with pytest.raises(VerificationError, match="failed: the alphabet is not what"):
        dataclasses.replace(bundle, alphabet=swapped).self_test()


def renewed(bundle, probes):
    """As a tool would leave it that changed a parameter and put checksums right."""
    found = bundle.current_checks()
    checks = found if probes else dataclasses.replace(found, probes=bundle.checks.probes)
    return dataclasses.replace(bundle, checks=checks)


def test_every_weight_moves_a_probe():
    bundle = branched_bundle()
    for number, layer in enumerate(bundle.network.layers):
        if isinstance(layer, Conv):
            for at in range(0, layer.weights.size, 11):
                changed = with_layer(bundle, number, weights=by_one(layer.weights, at))
                assert probe(changed.network, number) != probe(bundle.network, number)
            message = f"failed: layer {layer.name} computes other sums"
            with pytest.raises(VerificationError, match=message):
                Int8Runner(renewed(changed, probes=False))


def test_golden_vectors_name_the_layer_where_all_checksums_were_renewed():
    bundle = toy_bundle()
    for number, layer in enumerate(bundle.network.layers):
        if isinstance(layer, Conv):
            changed = with_layer(bundle, number, weights=~layer.weights)
            with pytest.raises(VerificationError, match=f"differs first at layer {layer.name}"):
                Int8Runner(renewed(changed, probes=True))
