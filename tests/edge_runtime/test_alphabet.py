import pytest

from edge_runtime.alphabet import ALPHABET_62, Alphabet, parse_alphabet
from edge_runtime.errors import LabelError, SettingsError


def test_the_shipped_alphabet_is_digits_capitals_small_letters():
    assert len(ALPHABET_62) == 62
    assert [ALPHABET_62.index(s) for s in "09AZaz"] == [0, 9, 10, 35, 36, 61]


@pytest.mark.parametrize(
    ("folder", "symbol"),
    [
        ("Sample001", "0"),
        ("Sample011", "A"),
        ("Sample062", "z"),
        ("a", "a"),
        ("A", "A"),
        ("7", "7"),
        ("upper_B", "B"),
        ("lower_b", "b"),
        ("digit_3", "3"),
        ("lower_B", None),
        ("digit_b", None),
        ("images", None),
        ("é", None),
        ("Sample1", None),
    ],
)
def test_folder_names(folder, symbol):
    assert ALPHABET_62.symbol_of_folder(folder) == symbol


def test_every_symbol_comes_back_from_its_folder():
    for symbol in ALPHABET_62.symbols:
        assert ALPHABET_62.symbol_of_folder(ALPHABET_62.folder_of_symbol(symbol)) == symbol


def test_a_class_beyond_the_alphabet_is_refused():
    with pytest.raises(LabelError, match="Sample063 is class 63, but the alphabet has 62"):
        ALPHABET_62.symbol_of_folder("Sample063")
    with pytest.raises(LabelError, match="'é' is not among the 62"):
        ALPHABET_62.index("é")


@pytest.mark.parametrize(
    ("symbols", "reason"),
    [
        (("a",), "2 to 4096"),
        (("a", "b", "a"), "'a' twice"),
        (("a", ""), "not printable"),
        (("a", " "), "not printable"),
        (tuple(chr(0x4E00 + i) for i in range(4097)), "4096"),
    ],
)
def test_impossible_alphabets(symbols, reason):
    with pytest.raises(SettingsError, match=reason):
        Alphabet(symbols)


def test_other_scripts_are_alphabets_too():
    greek = parse_alphabet("αβγδ")
    assert greek.symbol_of_folder("γ") == "γ"
    assert greek.symbol_of_folder("Sample004") == "δ"
