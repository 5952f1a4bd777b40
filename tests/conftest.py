"""For all tests: each begins in the project's folder, wherever a command under test has gone (`--root` changes it)."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _in_the_projects_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
