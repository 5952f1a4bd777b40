"""Clips as files: with their track, unless it is dropped."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mma_bench.errors import InvalidInput
from mma_bench.evaluation.conditions import Variant, as_asked
from mma_bench.evaluation.tasks.clips import clip_file
from mma_bench.schema import PAPERS_CONDITIONS
from tests.evaluation.tasks.built import row
from tests.mma_bench.models.servers import clip, has_audio_track


@pytest.mark.parametrize("condition", list(PAPERS_CONDITIONS))
def test_a_clip_keeps_its_track_even_a_silent_one(condition: str) -> None:
    assert clip_file(row(condition), clip()).read_bytes() == clip()


def test_audio_dropped_has_no_track() -> None:
    asked = as_asked(row("audio_removed"), Variant.AUDIO_DROPPED)
    assert not has_audio_track(clip_file(asked, clip()).read_bytes())


def test_a_clip_with_sound_is_handed_on_unchanged_and_shared() -> None:
    paths = {clip_file(row(condition), clip(1)) for condition in ("aligned", "long_context", "misleading_caption")}
    assert len(paths) == 1
    assert paths.pop().read_bytes() == clip(1)
    assert clip_file(row("aligned"), clip(2)) != clip_file(row("aligned"), clip(1))


def test_threads_that_ask_at_once_get_a_whole_file() -> None:
    video = clip(3)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda _: clip_file(row("aligned"), video).read_bytes(), range(32)))
    assert set(read) == {video}


def test_a_broken_clip_is_named_and_leaves_no_file() -> None:
    for _ in range(2):  # the second time no half-written file may pass for the clip
        with pytest.raises(InvalidInput, match=r"clip clip0\.audio_dropped"):
            clip_file(as_asked(row("audio_removed"), Variant.AUDIO_DROPPED), b"no video")
