"""YouTube as a source: hostile ids are refused unasked, secrets stay out of sight, finished work is not done again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_bench.builders.sources.contracts import Refusal, Segment
from mma_bench.builders.sources.youtube import Access, YouTubeSource, access
from mma_bench.config import YouTubeParams
from mma_bench.errors import Blocked, ConfigError
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
    with pytest.raises(ConfigError, match="is not an address of a proxy") as raised:
        access()
    assert "word" not in str(raised.value)
