"""YouTube as a source: hostile ids are refused unasked, secrets stay out of sight, finished work is not done again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_bench.builders.sources import youtube
from mma_bench.builders.sources.contracts import Refusal, Segment
from mma_bench.builders.sources.youtube import YouTubeSource, retrying
from mma_bench.builders.sources.youtube_access import Access, access
from mma_bench.builders.sources.youtube_info import Video, read_video
from mma_bench.config import YouTubeParams
from mma_bench.errors import Blocked, ConfigError, Permanent, Retryable
from mma_bench.media.facts import media_facts
from tests.builders.sources.bad_site import Site, bad_site
from tests.builders.sources.site_project import END_S, START_S, site_settings, small_video


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.chdir(tmp_path)
    with bad_site(small_video(tmp_path / "video.mp4")) as found:
        yield found


def source(site: Site) -> YouTubeSource:
    return YouTubeSource(YouTubeParams(**site_settings(site.address)), max_bytes=10_000_000)


HOSTILE = ["../../../x", "a/b/c/d/e/f", "nul\0aaaaaaa", "-" * 12, "x" * 4096, "\u202eaaaaaaaaaa", "aaaaaaaaaa?", ""]


@pytest.mark.slow
@pytest.mark.parametrize("video_id", HOSTILE)
def test_a_hostile_id_is_refused_and_nobody_is_asked(site: Site, video_id: str) -> None:
    request = source(site).request(Segment("clip_0", video_id, 0.0, 1.0))
    assert isinstance(request, Refusal)
    assert request.error.reason == "unsafe_id"
    assert str(request.error).isprintable()
    assert not site.pages


def test_an_id_that_begins_with_a_dash_is_an_id(site: Site, tmp_path: Path) -> None:
    request = source(site).request(Segment("-rf-rf-rf-r_2000", "-rf-rf-rf-r", START_S, END_S))
    request.fetch(tmp_path / "clip.mp4")
    assert media_facts(tmp_path / "clip.mp4")["frames"] == 10


def test_what_a_killed_run_finished_is_taken_without_asking(site: Site, tmp_path: Path) -> None:
    request = source(site).request(Segment("gooaaaaaaaa_2000", "gooaaaaaaaa", START_S, END_S))
    first = request.fetch(tmp_path / "one.mp4")
    asked = site.pages.total(), site.media.total()
    assert request.fetch(tmp_path / "two.mp4") == first
    assert (site.pages.total(), site.media.total()) == asked
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


@pytest.mark.parametrize("fault", ["429", "42d"])
def test_a_block_closes_the_door_for_all(site: Site, tmp_path: Path, fault: str) -> None:
    videos = source(site)
    with pytest.raises(Blocked, match="come back after"):
        videos.request(Segment("a_0", f"{fault}aaaaaaaa", START_S, END_S)).fetch(tmp_path / "a.mp4")
    asked = site.pages.total()
    with pytest.raises(Blocked, match="come back after"):
        videos.request(Segment("b_0", "gooaaaaaaaa", START_S, END_S)).fetch(tmp_path / "b.mp4")
    assert site.pages.total() == asked


@given(word=st.text("abcXYZ019", min_size=4, max_size=20))
def test_secrets_are_known_and_not_shown(word: str) -> None:
    way = Access("# Netscape HTTP Cookie File\n" + "\t".join([*"abcdef", word]), f"http://me:{word}pw@host:1")
    assert {word, f"{word}pw"} <= set(way.secrets)
    assert f"{word}pw" not in repr(way)


def test_access_that_cannot_be_used_is_named_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMA_BENCH_COOKIES", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="cannot be read"):
        access()
    (tmp_path / "none").write_text("SID=crumbs")
    with pytest.raises(ConfigError, match="Netscape") as raised:
        access()
    assert "crumbs" not in str(raised.value)
    monkeypatch.delenv("MMA_BENCH_COOKIES")
    monkeypatch.setenv("MMA_BENCH_PROXY", "me:word@host")
    with pytest.raises(ConfigError, match="is not the address of a proxy") as raised:
        access()
    assert "word" not in str(raised.value)


def retry_settings(**changes: float) -> YouTubeParams:
    return YouTubeParams(**{**site_settings("http://site/{id}"), "url": "http://site/{id}", **changes})


def test_a_passing_fault_is_retried_with_growing_waits_and_a_final_one_is_not() -> None:
    settings = retry_settings(attempts=4, backoff_s=2.0, retry_budget_s=100.0)
    waits: list[float] = []

    def fails(error: Exception) -> None:
        raise error

    with pytest.raises(Retryable, match="timeout"):
        retrying(settings, sleep=waits.append)(fails, Retryable("timeout", "no reply"))
    assert [1 <= waits[0] <= 2, 2 <= waits[1] <= 4, 4 <= waits[2] <= 8] == [True] * 3
    assert len(waits) == 3
    with pytest.raises(Permanent):
        retrying(settings, sleep=waits.append)(fails, Permanent("removed", "gone"))
    assert len(waits) == 3


def test_no_wait_is_longer_than_the_runs_budget() -> None:
    settings = retry_settings(attempts=2, backoff_s=50.0, retry_budget_s=3.0)
    waits: list[float] = []

    def fails() -> None:
        raise Retryable("timeout", "no reply")

    with pytest.raises(Retryable):
        retrying(settings, sleep=waits.append)(fails)
    assert waits == [3.0]


@pytest.mark.parametrize(
    ("info", "why"),
    [
        (None, "formats.0.url: Field required"),
        ({"duration": 5}, "formats.0.url: Field required"),
        ({"url": 5}, "formats.0.url: Input should be a valid string"),
        ({"requested_formats": [{"url": "http://a"}, {}]}, "formats.1.url: Field required"),
        ({"url": "http://a", "duration": "long"}, "duration: Input should be a valid number"),
    ],
)
def test_an_info_dict_of_another_form_is_a_passing_fault_that_names_the_key(info: object, why: str) -> None:
    with pytest.raises(Retryable, match=f"unclassified: http://page: {why}"):
        read_video(info, "http://page")


def test_sight_and_sound_come_as_one_file_or_two() -> None:
    whole = {"url": "http://a", "format_id": "18", "duration": 5, "formats": [{"url": "http://other"}]}
    assert [item.url for item in read_video(whole, "p").formats] == ["http://a"]
    parts = {"requested_formats": [{"url": "http://v"}, {"url": "http://s"}]}
    assert [item.url for item in read_video(parts, "p").formats] == ["http://v", "http://s"]


def rendition(number: str, **facts: object) -> dict[str, object]:
    """A format as yt-dlp's YouTube extractor describes one: 360p, picture and sound, unless told otherwise."""
    usual = {"url": f"http://site/{number}", "format_id": number, "protocol": "https", "ext": "mp4", "height": 360}
    codecs = {"width": 640, "vcodec": "avc1.42001E", "acodec": "mp4a.40.2", "language_preference": -1}
    return {**usual, **codecs, **facts}


PICTURE = {"acodec": "none"}
SOUND = {"vcodec": "none", "height": None, "width": None}
OPUS = {**SOUND, "acodec": "opus", "ext": "webm"}
ORIGINAL, DEFAULT = {"language_preference": 10, "language": "es"}, {"language_preference": 5, "language": "en"}
DAMAGED = {"format_note": "360p, DAMAGED", "preference": -10}
WHOLE = rendition("18")
PARTS = [rendition("134", **PICTURE), rendition("140", **SOUND)]


@pytest.mark.parametrize(
    ("formats", "taken"),
    [
        ([WHOLE, *PARTS], ["18"]),
        ([rendition("18", **DAMAGED), *PARTS], ["134", "140"]),
        ([rendition("18", **DAMAGED)], ["18"]),
        ([rendition("18", height=240), *PARTS], ["134", "140"]),
        ([rendition("18", height=240), rendition("160", height=144, **PICTURE), rendition("140", **SOUND)], ["18"]),
        ([*PARTS, rendition("136", height=720, **PICTURE)], ["134", "140"]),
        # dubbed in AAC, original in Opus
        ([PARTS[0], rendition("140-0", **SOUND), rendition("251-1", **OPUS | ORIGINAL)], ["134", "251-1"]),
        ([PARTS[0], rendition("140-0", **SOUND | DEFAULT), rendition("251-1", **OPUS | ORIGINAL)], ["134", "251-1"]),
        ([PARTS[0], rendition("140-0", **SOUND), rendition("251-1", **OPUS | DEFAULT)], ["134", "251-1"]),
        # one file does not say its language, while the sounds do
        ([WHOLE, PARTS[0], rendition("140-0", **SOUND), rendition("140-1", **SOUND | ORIGINAL)], ["134", "140-1"]),
        ([PARTS[0], rendition("140", **SOUND | DAMAGED), rendition("251", **OPUS)], ["134", "251"]),
        # the original only with a smaller picture would still be the original
        ([rendition("18", **ORIGINAL | {"height": 240}), *PARTS], ["18"]),
    ],
)  # fmt: skip
def test_original_language_then_undamaged_then_size(formats: list[dict[str, object]], taken: list[str]) -> None:
    ydl = youtube._downloader(retry_settings(min_height=360), Access("", ""))
    facts = {"id": "aaaaaaaaaaa", "title": "t", "extractor": "youtube", "extractor_key": "Youtube"}
    given = [dict(item) for item in formats]
    info = ydl.process_video_result({**facts, "webpage_url": "http://site", "formats": given}, download=False)
    assert [item.format_id for item in read_video(info, "http://site").formats] == taken


def test_a_rendition_that_is_shorter_than_the_video_is_not_the_last_word(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told_longer(info: object, page: str) -> Video:
        return read_video(info, page).model_copy(update={"duration": 60.0})

    monkeypatch.setattr(youtube, "read_video", told_longer)
    for start_s in (50.0, 2.0):  # past the end of the file; a section that ends early
        request = source(site).request(Segment(f"goo_{start_s}", "gooaaaaaaaa", start_s, start_s + 10))
        with pytest.raises(Retryable, match="short_rendition"):
            request.fetch(tmp_path / "clip.mp4")
