"""Clips that several of these tests read; made once."""

from pathlib import Path

import pytest

from tests.clips import clip


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def good(folder: Path) -> Path:
    """2 s, 160×120, 25 frames/s, H.264 with B-frames, and a mono tone at 44.1 kHz in AAC."""
    return clip(folder / "good.mp4")
