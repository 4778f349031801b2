"""What an image costs on Arm, counted under qemu-user: repeatable, and not more than recorded."""

import importlib.util
import json
import shutil
import sys

import pytest

from tests.edge_runtime.conftest import FAMILIES, ROOT

pytest.importorskip("ziglang", reason="no zig: pip install 'edgeglyph[runtime]'")


@pytest.fixture(scope="module")
def counting():
    """The module scripts/count_instructions.py."""
    for emulator, *_ in FAMILIES.values():
        if not shutil.which(emulator):
            pytest.skip(f"no {emulator} on this machine (Debian: qemu-user)")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        path = ROOT / "scripts/count_instructions.py"
        spec = importlib.util.spec_from_file_location("count_instructions", path)
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "count_instructions", module)
        spec.loader.exec_module(module)
        yield module


def test_counts_repeat_exactly_and_are_not_worse(counting):
    first, second = counting.count_all(), counting.count_all()
    assert first == second
    assert counting.complaints(first, json.loads(counting.RECORD.read_text())["counts"]) == []


def test_more_work_is_noticed(counting):
    """The scalar loops take several times as many; and 4 % more than recorded are refused."""
    target = counting.TARGETS[0]
    build = counting.CPP / "build"
    plugin = counting.build_plugin(build / "plugin")
    program = build / target.board / "edge_bench"
    scalar = counting.Target(
        target.board, target.emulator, target.libraries, target.cpu, "scalar", target.most
    )
    assert counting.count(scalar, program, plugin) > 2 * target.most
    recorded = json.loads(counting.RECORD.read_text())["counts"]
    more = {name: int(1.04 * n) for name, n in recorded.items()}
    assert len(counting.complaints(more, recorded)) == len(counting.TARGETS)
    over = {t.name: t.most + 1 for t in counting.TARGETS}
    assert all("over" in line for line in counting.complaints(over, over))
    assert "not in instruction_counts.json" in counting.complaints(recorded, {})[0]
