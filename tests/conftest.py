"""For all tests: each begins in the project's folder, wherever a command under test has gone (`--root` changes it)."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A slow machine fails no test: nor because of an answer of a stand-in of the Hub, here or in a process of a test.
os.environ |= {"HF_HUB_ETAG_TIMEOUT": "600", "HF_HUB_DOWNLOAD_TIMEOUT": "600"}
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# A shell's background jobs, and some CI runners, start with Ctrl-C ignored, and so would every process of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _in_the_projects_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
