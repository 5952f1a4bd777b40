"""For all tests: each begins in the project's folder, wherever a command under test has gone (`--root` changes it)."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A slow machine fails no test.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# A shell's background jobs, and some CI runners, start with Ctrl-C ignored, and so would every process of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _in_the_projects_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
