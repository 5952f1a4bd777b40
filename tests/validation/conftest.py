"""The project that the tests of the gates break."""

from pathlib import Path

import pytest

from tests.validation.world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A sound project, whose folder is the current one."""
    monkeypatch.chdir(tmp_path)
    return World()
