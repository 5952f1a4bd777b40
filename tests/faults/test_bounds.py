"""What comes from a site ends in time, however it trickles."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mma_bench.builders.sources import youtube
from mma_bench.builders.sources.contracts import Segment
from mma_bench.builders.sources.youtube import YouTubeSection
from mma_bench.config import YouTubeParams
from mma_bench.errors import Retryable
from mma_bench.retry import call_in_time

PROFILE = Path(__file__).parents[2] / "profiles" / "audioset.yaml"


@pytest.fixture
def endless() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_call_ends_in_time_with_its_result_its_error_or_a_timeout(endless: threading.Event) -> None:
    assert call_in_time(lambda: 7, 60) == 7
    with pytest.raises(ZeroDivisionError):
        call_in_time(lambda: 1 // 0, 60)
    with pytest.raises(TimeoutError, match=r"timed out: took longer than 0\.05 s"):
        call_in_time(endless.wait, 0.05)


def test_a_page_that_never_ends_is_a_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endless: threading.Event
) -> None:
    class Downloader:
        def extract_info(self, *_: Any, **__: Any) -> None:
            endless.wait()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(youtube, "_downloader", lambda *_: Downloader())
    raw = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))["acquire"]["youtube"]
    settings = YouTubeParams.model_validate(raw | {"retry_budget_s": 0.05, "interval_s": 0.0})
    section = YouTubeSection(Segment("a" * 11 + "_0", "a" * 11, 0.0, 10.0), settings, 1 << 20, "r")
    with pytest.raises(Retryable) as error:
        section._download(tmp_path)
    assert error.value.reason == "timeout"
