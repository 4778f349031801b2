"""Programs that a test runs and that a machine may lack."""

import shutil

import pytest


def need_tools(*tools: str) -> None:
    """Skip the test, naming it, where a program is absent."""
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"no {tool} on this machine")
