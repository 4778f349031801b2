from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import LabelError
from semi_supervised.settings import PROTOCOLS, DataSettings
from semi_supervised.splits import SPLITS, split_images
from tests.semi_supervised.labeled_rows import ABC, images, of_split, plain, sizes, split

SIDE = {"train": "training", "unlabeled": "training"}  # the other splits are a side each


@st.composite
def data_sets(draw):
    """Random counts per class, copies with the same and with other labels, near-identical groups.

    Every class has some images that are like no other, ``a`` more than 30 of them.
    """
    own = {"a": 33, "b": 3, "c": 3}
    rows = [(c, "scene", f"own {c}{k}") for c in own for k in range(own[c])]
    alone = len(rows)
    for c in "abc":
        rows += [(c, "scene", f"{c}{k}") for k in range(draw(st.integers(0, 45)))]
    other = st.tuples(
        st.sampled_from("abc"), st.sampled_from(["scene", "hand"]), st.integers(0, 60).map(str)
    )
    rows += draw(st.lists(other, max_size=60))
    if len(rows) == alone:
        return rows, []
    grouped = st.lists(st.integers(alone, len(rows) - 1), min_size=2, max_size=5)
    near = draw(st.lists(grouped, max_size=8))
    return rows, near


def components(rows, near):
    """Sets of positions that are identical or near-identical, grown until nothing changes."""
    sets = [{i} for i in range(len(rows))]
    links = [{i for i, r in enumerate(rows) if r[2] == row[2]} for row in rows]
    for link in [*links, *map(set, near)]:
        touched = [s for s in sets if s & link]
        sets = [s for s in sets if not s & link] + [set().union(*touched)]
    return sets


seeds = st.integers(0, 5)
protocols = st.sampled_from(["random", "chars74k-15", "chars74k-5", "all"])


@settings(max_examples=120)
@given(data_sets(), seeds, protocols, st.sampled_from([0, 1, 5, "all"]))
def test_no_group_is_on_two_sides_and_contradictions_are_left_out(data, seed, protocol, labels):
    rows, near = data
    drawn = [(c, "drawn", f"drawn {c}") for c in "abc"]
    found = split([*rows, *drawn], near, seed=seed, protocol=protocol, labels_per_class=labels)
    labels_of = defaultdict(set)
    for label, _, content in rows:
        labels_of[content].add(label)
    for group in components(rows, near):
        agreeing = {i for i in group if len(labels_of[rows[i][2]]) == 1}
        sides = {SIDE.get(found.images[i].split, found.images[i].split) for i in agreeing}
        assert len(sides) <= 1
        assert "excluded" not in sides
        assert {found.images[i].split for i in group - agreeing} <= {"excluded"}
    assert {i.split for i in found.images} <= set(SPLITS)
    assert {i.split for i in found.images if i.source == "drawn"} == {"train"}


@settings(max_examples=60)
@given(data_sets(), seeds)
def test_every_class_is_in_every_split(data, seed):
    rows, near = data
    counts = sizes(split(rows, near, seed=seed))
    for c in "abc":
        assert all(counts[c, s] for s in ("train", "validation", "test"))


@settings(max_examples=60)
@given(data_sets(), seeds, protocols, st.sampled_from([1, 5, "all"]), st.randoms())
def test_the_order_of_the_input_does_not_matter(data, seed, protocol, labels, shuffler):
    rows, near = data
    given_images = images(*rows)
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    settings_ = DataSettings(seed=seed, protocol=protocol, labels_per_class=labels)
    first = split_images(given_images, ABC, settings_, near)
    again = split_images(
        [given_images[i] for i in order], ABC, settings_, [[place[i] for i in g] for g in near]
    )
    assert {i.path: i.split for i in first.images} == {i.path: i.split for i in again.images}
    assert (first.notes, first.resolved) == (again.notes, again.resolved)


@settings(max_examples=60)
@given(data_sets(), seeds, st.sampled_from(["random", "chars74k-15", "all"]))
def test_budgets_are_exact_and_nested_and_leave_the_held_out_alone(data, seed, protocol):
    rows, near = data
    every = split(rows, near, seed=seed, protocol=protocol)
    smaller: set[Path] = set()
    for budget in (1, 5, 15, 50):
        found = split(rows, near, seed=seed, protocol=protocol, labels_per_class=budget)
        for c in "abc":
            assert sizes(found)[c, "train"] == min(budget, sizes(every)[c, "train"])
        labeled = {i.path for i in found.images if i.split == "train"}
        assert smaller <= labeled
        smaller = labeled
        for before, after in zip(every.images, found.images, strict=True):
            assert before.label == after.label
            assert before.split == after.split or (before.split, after.split) == (
                "train",
                "unlabeled",
            )


@settings(max_examples=60)
@given(st.fixed_dictionaries({c: st.integers(2, 60) for c in "abc"}), seeds, seeds, st.randoms())
def test_chars74k_takes_fifteen_or_half_and_its_test_is_fixed(counts, seed, other, shuffler):
    assume(max(counts.values()) > 30)  # something must be left for validation
    rows = [(c, "scene", f"{c}{k}") for c in "abc" for k in range(counts[c])]
    shuffler.shuffle(rows)
    fifteen = split(rows, protocol="chars74k-15", seed=seed)
    five = split(rows, protocol="chars74k-5", seed=seed)
    for c in "abc":
        half = min(15, counts[c] // 2)
        assert sizes(fifteen)[c, "test"] == half
        assert sizes(fifteen)[c, "train"] == half
        assert sizes(five)[c, "train"] == min(5, half)
        left = counts[c] - 2 * half
        assert sizes(fifteen)[c, "validation"] == min(left, max(1, round(0.1 * counts[c])))
    assert of_split(five, "train") <= of_split(fifteen, "train")
    again = split(rows, protocol="chars74k-5", seed=other)
    assert of_split(fifteen, "test") == of_split(five, "test") == of_split(again, "test")
    fewer = {c for c in "abc" if counts[c] < 30}
    assert set(fifteen.resolved["classes_with_fewer"]) == fewer
    assert any("fewer than 30 images" in note for note in fifteen.notes) == bool(fewer)
    for c in fewer:
        half = counts[c] // 2
        assert any(f"{c} ({counts[c]}: {half} + {half})" in note for note in fifteen.notes)


def test_chars74k_varies_the_training_images_with_the_seed():
    found = [split(plain(count=60), protocol="chars74k-15", seed=seed) for seed in (1, 2)]
    assert of_split(found[0], "train") != of_split(found[1], "train")


def test_copies_do_not_disturb_the_numbers_of_chars74k():
    pairs = [(c, "scene", f"scene {c}{i}") for c in "abc" for i in range(20)]
    near = [[k, k + 1] for start in (0, 60, 120) for k in range(start, start + 20, 2)]
    found = split([*plain(count=60), *pairs], near, protocol="chars74k-15")
    for c in "abc":
        assert [sizes(found)[c, s] for s in ("train", "validation", "test")] == [15, 8, 15]


def test_what_is_left_over_is_left_out_if_wished():
    kept = split(plain(count=60), protocol="chars74k-5")
    left_out = split(plain(count=60), protocol="chars74k-5", left_over="excluded")
    assert of_split(kept, "unlabeled") == of_split(left_out, "excluded")
    assert of_split(kept, "train") == of_split(left_out, "train")
    budget = split(plain(), labels_per_class=5, left_over="excluded")
    assert sizes(budget)["a", "excluded"] == 24 - 5


def test_shares_are_kept_per_class_and_source():
    rows = plain(count=50) + plain(count=50, source="hand")
    found = split(rows, validation_share=0.2, test_share=0.1)
    counts = Counter((i.label, i.source, i.split) for i in found.images)
    for label in "abc":
        for source in ("scene", "hand"):
            kept = [counts[label, source, s] for s in ("train", "validation", "test")]
            assert kept == [35, 10, 5]


def test_large_shares_of_few_images_leave_one_for_training():
    for count in range(3, 9):
        counts = sizes(split(plain(count=count), validation_share=0.49, test_share=0.49))
        assert all(counts[c, s] for c in "abc" for s in ("train", "validation", "test"))


def test_the_seed_decides():
    first, again, other = (split(plain(), seed=seed) for seed in (1, 1, 2))
    assert of_split(first, "test") == of_split(again, "test") != of_split(other, "test")


def test_these_splits_stay_as_they_are():
    """Published figures depend on them: a change here needs a new version of every figure."""
    found = split(plain(count=12), seed=1)
    assert of_split(found, "test") == {"scene a7", "scene b6", "scene c5"}
    assert of_split(found, "validation") == {"scene a3", "scene b3", "scene c0"}
    found = split(plain(count=5), protocol="chars74k-5", seed=1, labels_per_class=1)
    held = {f"scene {k}" for k in ("a1", "a4", "b1", "b3", "c0", "c3")}
    assert of_split(found, "test") == held
    assert of_split(found, "train") == {"scene a2", "scene b0", "scene c1"}


def test_protocol_all_has_one_validation_split_and_no_test():
    found = [split(plain(), protocol="all", seed=seed) for seed in (1, 2)]
    assert sizes(found[0])["a", "validation"] == 3
    assert of_split(found[0], "validation") == of_split(found[1], "validation")
    assert not of_split(found[0], "test")


@pytest.mark.parametrize("protocol", ["random", "chars74k-15", "all"])
def test_adding_a_class_moves_no_image_of_the_others(protocol):
    before = split(plain(count=60), protocol=protocol, labels_per_class=7)
    after = split(
        plain("dabc", count=60),
        alphabet=parse_alphabet("dabc"),
        protocol=protocol,
        labels_per_class=7,
    )
    splits = {i.sha256: i.split for i in after.images}
    assert {i.sha256: i.split for i in before.images}.items() <= splits.items()


def test_near_identical_images_of_two_classes_stay_together_without_being_left_out():
    rows = [*plain(), ("a", "scene", "x"), ("b", "scene", "y")]
    splits = Counter()
    for seed in range(30):
        found = split(rows, [[90, 91]], seed=seed)
        assert found.images[90].split == found.images[91].split
        splits[found.images[90].split] += 1
    assert set(splits) <= {"train", "validation", "test"}
    assert len(splits) > 1


def test_missing_and_scarce_classes():
    rows = plain("a", 9)
    with pytest.raises(LabelError, match=r"no image of 2 of the 3 classes \(b c\)"):
        split(rows)
    with pytest.raises(LabelError, match=r"class 'b' has 1 different image\(s\); each needs 3"):
        split(rows + [(c, "scene", c) for c in "bc"])
    with pytest.raises(LabelError, match=r"'a' has 1 different .*nearly identical ones \(of 9\)"):
        split(rows + plain("bc"), [list(range(9))])
    with pytest.raises(LabelError, match="protocol chars74k-15 leaves no image for validation"):
        split(plain(count=30), protocol="chars74k-15")


# --- drawn and unlabeled images -------------------------------------------------------------------


def test_drawn_images_train_beside_real_ones_and_are_split_where_there_are_none():
    drawn = plain(source="drawn")
    for protocol in ("random", "chars74k-5", "all"):
        found = split(plain(count=40) + drawn, protocol=protocol)
        assert {i.split for i in found.images if i.source == "drawn"} == {"train"}
    alone = split(drawn)
    assert [sizes(alone)["a", s] for s in ("train", "validation", "test")] == [24, 3, 3]


def test_no_label_at_all_needs_drawn_images():
    found = split(plain() + plain(source="drawn"), labels_per_class=0)
    assert {i.source for i in found.images if i.split == "train"} == {"drawn"}
    assert {i.source for i in found.images if i.split == "validation"} == {"scene"}
    assert sizes(found)["a", "unlabeled"] == 24
    with pytest.raises(LabelError, match="labels_per_class 0 leaves no image with a label"):
        split(plain(), labels_per_class=0)


def test_unlabeled_images_are_left_out_where_a_held_out_one_is_the_same():
    own = [(c, "scene", f"scene {c}{i}") for c in "abc" for i in range(30)]
    rows = own + [("", "crops", content) for _, _, content in own] + [("", "crops", "new")]
    found = split(rows)
    held_out = of_split(found, "validation", "test")
    assert held_out
    for image in found.images[90:]:
        assert image.split == ("excluded" if image.sha256 in held_out else "unlabeled")
    assert sum("left out" in note for note in found.notes) == 1


# --- protocols ------------------------------------------------------------------------------------


def test_every_protocol_of_the_settings_is_known():
    rows = plain(count=40) + plain(source="font")
    for protocol in set(PROTOCOLS) - {"kaggle"}:
        sources = {"train_sources": ("font",)} if protocol == "cross-source" else {}
        found = split(rows, protocol=protocol, **sources)
        assert found.resolved["protocol"] == protocol
        assert {s for s in SPLITS if found.resolved["per_class"][s]} == {
            i.split for i in found.images
        }


def test_budget_holds_out_the_same_for_every_seed_and_its_labels_nest():
    found = {
        (labels, seed): split(plain(), protocol="budget", labels_per_class=labels, seed=seed)
        for labels in (2, 5, "all")
        for seed in (1, 2)
    }
    for held_out in ("validation", "test"):
        assert len({frozenset(of_split(one, held_out)) for one in found.values()}) == 1
        assert of_split(found[2, 1], held_out)
    for seed in (1, 2):
        few, more, every = (of_split(found[n, seed], "train") for n in (2, 5, "all"))
        assert few < more < every
        assert few | of_split(found[2, seed], "unlabeled") == every
    assert of_split(found[2, 1], "train") != of_split(found[2, 2], "train")
    with pytest.raises(LabelError, match=r"each needs 3, one for training, validation and test"):
        split(plain("ab") + plain("c", 2), protocol="budget")
