import pytest

from edge_runtime.errors import SettingsError
from edge_runtime.presets import PRESETS
from semi_supervised.settings import load_settings


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_loads(preset):
    assert load_settings(preset).train.steps > 0


def test_the_command_line_wins_over_the_preset_over_the_defaults():
    settings = load_settings(
        "tiny", ["train.epochs=7", "data.labels_per_class=5", "train.learning_rate=1"]
    )
    assert settings.train.epochs == 7
    assert settings.data.labels_per_class == 5
    assert settings.train.learning_rate == 1
    assert settings.train.batch_labeled == 16  # the preset's
    assert settings.train.dropout == 0.2  # the default


def test_lists_of_sources_from_a_file_and_from_the_command_line(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[data]\nprotocol = "cross-source"\ntrain_sources = ["font", "drawn"]\n')
    assert load_settings(str(path)).data.train_sources == ("drawn", "font")
    found = load_settings(str(path), ["data.train_sources=hand,font", 'data.test_sources="scene"'])
    assert found.data.train_sources == ("font", "hand")
    assert found.data.test_sources == ("scene",)
    with pytest.raises(SettingsError, match="'font' cannot be for both"):
        load_settings(str(path), ["data.test_sources=font"])


def test_own_preset_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[train]\nepochs = 3\n")
    assert load_settings(str(path)).train.epochs == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train.epoch=3", "no setting 'epoch'; there are epochs"),
        ("training.epochs=3", r"no table \[training\]; there are data, augment, train"),
        ("train.epochs=many", "epochs must be of type int, not 'many'"),
        ("train.epochs=1.5", "must be of type int"),
        ("train.epochs=0", "epochs must be at least 1"),
        ("epochs=3", "--set takes table.key=value"),
        ("data.labels_per_class=-1", "a number or 'all', not -1"),
        ("data.labels_per_class=few", "a number or 'all', not 'few'"),
        ("data.protocol=chars74k", "no protocol 'chars74k'; there are random, chars74k-15"),
        ("data.left_over=dropped", "no left_over 'dropped'; there are unlabeled, excluded"),
        ("data.train_sources=font", "belong to protocol cross-source, which needs one of them"),
        ("data.protocol=cross-source", "belong to protocol cross-source, which needs one of them"),
        ("data.train_sources=[1]", "train_sources must be names with commas between"),
        ("augment.rotation_degrees=90", "a 6 becomes a 9"),
        ("data.test_share=0.9", "between 0 and 0.5"),
        ("train.dropout=1.0", "1 excluded"),
        ("train.method=gan", "no method 'gan'; there are supervised, sgan, consistency"),
        ("train.pretrain_epochs=2", "pretrain_epochs must be fewer than epochs"),
        ("train.batch_labeled=-1", "batch_labeled must not be negative"),
        ("train.batch_drawn=70000", "together must lie in 1..65,536"),
        ("train.width=9", r"width must lie in 0\.25\.\.4"),
        ("train.start_rate=0", r"start_rate must lie in 0\.\.1, 0 excluded"),
        ("train.class_balance=2", r"class_balance must lie in 0\.\.1"),
        ("train.weight_gate=-1", "weight_gate must not be negative"),
        ("train.drawn_frequencies=often", "there are labels, signs, even"),
        ("teacher.temperature=0", "temperature must be positive"),
    ],
)
def test_mistakes_are_named(line, message):
    with pytest.raises(SettingsError, match=message):
        load_settings("tiny", [line])


def test_unknown_and_damaged_presets(tmp_path):
    with pytest.raises(SettingsError, match="no preset 'huge': there are tiny, quick, full"):
        load_settings("huge")
    path = tmp_path / "bad.toml"
    path.write_text("[train\n")
    with pytest.raises(SettingsError, match="not a TOML file"):
        load_settings(str(path))
    path.write_text("epochs = 3\n")
    with pytest.raises(SettingsError, match=r"'epochs' stands outside of a \[table\]"):
        load_settings(str(path))
