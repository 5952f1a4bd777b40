"""A folder of clips: names are read without doubt, files are taken by rule, and no name does harm."""

import json
import os
from pathlib import Path

import pytest

from mma_bench import layout
from mma_bench.builders.sources import accounts, open_source
from mma_bench.builders.sources.composed import ComposedSource
from mma_bench.builders.sources.contracts import Request, Segment
from mma_bench.builders.sources.folder import FolderSource
from mma_bench.config import AcquireParams
from mma_bench.errors import ClipError, ConfigError
from tests.clips import AAC, H264, clip, make, picture, tone

ID = "-abc_1Y34_Z"
SEGMENT = Segment(f"{ID}_30000", ID, 30.0, 40.0)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, called as it is from the project's root."""
    monkeypatch.chdir(tmp_path)
    Path("mirror").mkdir()
    return Path("mirror")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A clip's bytes, far too short; what is in a file decides how it is read, not how its name ends."""
    return clip(tmp_path_factory.mktemp("small") / "clip.mp4", seconds=0.2, size="32x32").read_bytes()


def fill(mirror: Path, *names: str, content: bytes = b"clip") -> None:
    """Files of these names below the mirror."""
    for name in names:
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_bytes(content)


def ask(mirror: Path, segment: Segment = SEGMENT) -> Request:
    """The request for a segment."""
    return FolderSource(mirror, max_bytes=1_000_000).request(segment)


def reason(request: Request) -> str:
    """Why a request fails; it writes nothing then."""
    into = Path("into.mp4")
    with pytest.raises(ClipError) as caught:
        request.fetch(into)
    json.dumps(caught.value.detail, ensure_ascii=False).encode()  # as the ledger writes it
    assert caught.value.detail.isprintable()
    into.unlink(missing_ok=True)  # the stage gives a fetch a file that it removes on failure
    return caught.value.reason


@pytest.mark.parametrize(
    "name",
    [
        f"Y{ID}.mp4", f"{ID}.webm", f"{ID}_30.mkv", f"{ID}_30000.m4v", f"{ID}_30_40.mp4", f"{ID}_30.000_40.000.mp4",
        f"Y{ID}_000030.MP4", f"{ID}_30-40.mp4", f"deep/er/{ID}_30000_40000.mp4", f"[{ID}]-[30-40].mp4",
        f"v{ID}_30_40_out.mkv", f"A title, with [brackets] [{ID}].webm", f"Title [{ID}]_30_40.mp4", f"{ID}_30.avi",
    ],
)  # fmt: skip
def test_a_clip_is_found_and_copied(mirror: Path, name: str, small: bytes) -> None:
    fill(mirror, name, content=small)
    request = ask(mirror)
    assert request.suffix == Path(name).suffix.lower()
    into = Path(f"into{request.suffix}")
    fetched = request.fetch(into)
    assert into.read_bytes() == small
    assert fetched.origin == repr(f"mirror/{name}")
    assert fetched.note == f"'mirror/{name}' lasts 0.2 s of 10 s"
    assert "uploader" in fetched.licence
    # The copy is a file of its own: what happens to it does not happen to the mirror.
    into.write_bytes(b"changed")
    into.chmod(0o444)
    assert (mirror / name).read_bytes() == small
    assert os.access(mirror / name, os.W_OK)
    assert (mirror / name).stat().st_nlink == 1


@pytest.mark.parametrize("name", [f"{ID}_31.mp4", f"{ID}_30_39.mp4", f"{ID}_30000_39000.mp4", f"{ID}_300.mp4"])
def test_another_cut_of_the_video_is_not_taken(mirror: Path, name: str) -> None:
    fill(mirror, name)
    request = ask(mirror)
    assert reason(request) == "not_in_folder"
    with pytest.raises(ClipError, match=f"of this video it holds '{name}'"):
        request.fetch(Path("into.mp4"))


def test_of_several_files_the_best_named_then_the_first_is_taken_and_told(mirror: Path, ten: bytes) -> None:
    names = [f"a/Y{ID}.mp4", f"b/{ID}_30.mp4", f"c/{ID}_30_40.webm", f"d/{ID}_30000_40000.mp4"]
    fill(mirror, *names, content=ten)
    notes = []
    for name in [names[2], names[3], names[1], names[0]]:
        fetched = ask(mirror).fetch(Path("into.mp4"))
        assert fetched.origin == repr(f"mirror/{name}")
        notes.append(fetched.note)
        (mirror / name).unlink()
        Path("into.mp4").unlink()
        fill(mirror, "zzzzzzzzzzz.mp4")  # never empty
    assert notes[0] == f"took '{names[2]}', not '{names[3]}', '{names[1]}', '{names[0]}'"
    assert notes[2:] == [f"took '{names[1]}', not '{names[0]}'", ""]


def test_a_bad_file_does_not_hide_a_good_one(mirror: Path, ten: bytes) -> None:
    """By suffix, by folder, by another naming: every candidate is tried, and every refusal told."""
    mute = make(Path("mute.mp4"), *picture(10, "32x32", "5"), *H264).read_bytes()
    fill(mirror, f"a/{ID}_30_40.mp4", content=b"")
    fill(mirror, f"b/{ID}_30_40.mp4", content=b"<html>404</html>")
    fill(mirror, f"c/{ID}_30000.mp4", content=mute)
    fill(mirror, f"{ID}_30.mp4", content=ten[: len(ten) // 2])
    fill(mirror, f"Y{ID}.webm", content=ten)
    fetched = ask(mirror).fetch(Path("into.mp4"))
    assert Path("into.mp4").read_bytes() == ten
    assert fetched.origin == repr(f"mirror/Y{ID}.webm")
    for told in ("empty_file", "unreadable", "a page of HTML", "no_audio_stream", "interrupted download"):
        assert told in fetched.note
    (mirror / f"Y{ID}.webm").unlink()
    Path("into.mp4").unlink()
    assert reason(ask(mirror)) == "empty_file"
    with pytest.raises(ClipError, match=r"a/.*b/.*not a readable media file.*no_audio_stream"):
        ask(mirror).fetch(Path("into.mp4"))


def test_a_file_of_the_right_length_comes_before_one_with_a_note(mirror: Path, ten: bytes, small: bytes) -> None:
    fill(mirror, f"{ID}_30_40.mp4", content=small)
    fill(mirror, f"{ID}_30000_40000.mkv", content=b"")
    fill(mirror, f"Y{ID}.mp4", content=ten)
    fetched = ask(mirror).fetch(Path("into.mp4"))
    assert Path("into.mp4").read_bytes() == ten
    assert fetched.note.startswith(f"took 'Y{ID}.mp4', not '{ID}_30_40.mp4'; refused empty_file: ")
    (mirror / f"Y{ID}.mp4").write_bytes(small)
    Path("into.mp4").unlink()
    fetched = ask(mirror).fetch(Path("into.mp4"))
    assert fetched.origin == repr(f"mirror/{ID}_30_40.mp4"), "of two with a note, the better named"
    assert "lasts 0.2 s of 10 s" in fetched.note


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """10 s."""
    return lasting(tmp_path_factory.mktemp("ten") / "clip.mp4", 10).read_bytes()


def lasting(path: Path, seconds: float) -> Path:
    return make(path, *picture(seconds, "32x32", "5"), *tone(seconds, rate=8000), *H264, *AAC)


@pytest.mark.parametrize(
    ("name", "seconds", "outcome"),
    [
        (f"{ID}_30_40.mp4", 10, ""),
        (f"{ID}_30_40.mp4", 10.4, ""),
        (f"{ID}_30_40.mp4", 10.8, "lasts 0.8 s longer than 10 s and may begin that much early"),
        (f"{ID}_30_40.mp4", 12, "longer_than_named"),
        (f"{ID}_30_40.mp4", 60, "longer_than_named"),
        (f"{ID}_30.mp4", 12, "longer_than_named"),
        (f"[{ID}]-[30-40].mp4", 60, "longer_than_named"),
        (f"Y{ID}.mp4", 10, ""),
        (f"Y{ID}.mp4", 10.8, "lasts 0.8 s longer"),
        (f"Y{ID}.mp4", 60, "not_a_cut"),
        (f"{ID}_30_40.mp4", 4, "lasts 4.0 s of 10 s"),
    ],
)  # fmt: skip
def test_length_against_name_decides(mirror: Path, name: str, seconds: float, outcome: str) -> None:
    lasting(mirror / name, seconds)
    request = ask(mirror)
    if outcome in ("longer_than_named", "not_a_cut"):
        assert reason(request) == outcome
    else:
        note = request.fetch(Path("into.mp4")).note
        assert note == "" if outcome == "" else outcome in note


@pytest.mark.parametrize("name", [f"{ID}_0_10.mp4", f"{ID}_0.mp4", f"Y{ID}.mp4"])
@pytest.mark.parametrize(("seconds", "note"), [(7, ""), (10, "lasts 10.0 s, the segment 7 s")])
def test_the_full_ten_seconds_of_a_shorter_segment(mirror: Path, name: str, seconds: float, note: str) -> None:
    """At a video's end AudioSet's segments are shorter; downloaders ask for 10 s all the same."""
    lasting(mirror / name, seconds)
    told = ask(mirror, Segment(f"{ID}_0", ID, 0.0, 7.0)).fetch(Path("into.mp4")).note
    assert note in told
    assert bool(note) == bool(told)


def test_an_end_that_is_neither_the_segments_nor_ten_seconds_on_is_another_cut(mirror: Path) -> None:
    fill(mirror, f"{ID}_0_9.mp4")
    assert reason(ask(mirror, Segment(f"{ID}_0", ID, 0.0, 7.0))) == "not_in_folder"


def test_a_cut_that_another_tool_began_early_is_refused(mirror: Path) -> None:
    """Copied packets begin at the key frame before: 30 to 42 under the name of 32 to 42."""
    whole = make(Path("whole.mkv"), *picture(60, "32x32", "5"), *tone(60, rate=8000), *H264, "-g", "50", *AAC)
    make(mirror / f"{ID}_32_42.mkv", "-ss", "32", "-i", str(whole), "-t", "10", "-c", "copy")
    assert reason(ask(mirror, Segment(f"{ID}_32000", ID, 32.0, 42.0))) == "longer_than_named"
    # An MP4 file hides what is before the start, and every reader honours that.
    make(mirror / f"{ID}_32_42.mp4", "-ss", "32", "-i", str(whole), "-t", "10", "-c", "copy")
    fetched = ask(mirror, Segment(f"{ID}_32000", ID, 32.0, 42.0)).fetch(Path("into.mp4"))
    assert fetched.origin.endswith(".mp4'")


def test_subtitles_do_not_make_a_file_longer(mirror: Path) -> None:
    Path("long.srt").write_text("1\n00:00:01,000 --> 00:00:59,000\nhello\n")
    arguments = ("-i", "long.srt", *picture(10, "32x32", "5"), *tone(10, rate=8000), *H264, *AAC, "-c:s", "srt")
    make(mirror / f"{ID}_30_40.mkv", *arguments, "-map", "1", "-map", "2", "-map", "0")
    assert ask(mirror).fetch(Path("into.mkv")).note == ""


def test_files_that_no_clip_asked_for_are_told(mirror: Path, ten: bytes) -> None:
    fill(
        mirror,
        f"Y{ID}.mp4",
        "zzzzzzzzzzz.mp4",
        "Title-zzzzzzzzzzz.f137.mp4",
        "b/clip.FLV",
        "x.wmv",
        "y.ts",
        "notes.txt",
    )
    source = FolderSource(mirror, max_bytes=1)
    assert source.account.describe() == (
        "6 of 6 video files in 'mirror' are not used: 4 with a name of no known form, e.g. "
        "'mirror/Title-zzzzzzzzzzz.f137.mp4', 'mirror/b/clip.FLV', 'mirror/x.wmv'; "
        f"2 of segments that are not wanted, e.g. 'mirror/Y{ID}.mp4', 'mirror/zzzzzzzzzzz.mp4'"
    )
    source.request(SEGMENT)
    source.request(Segment("z", "zzzzzzzzzzz", 0.0, 10.0))
    assert source.account.describe().endswith("'mirror/x.wmv'")
    assert accounts(source) == accounts(ComposedSource([source])) == [source.account]


def test_a_file_that_is_no_media_is_refused_under_its_own_name(mirror: Path) -> None:
    fill(mirror, f"Y{ID}.mp4", content=b"no clip")
    request = ask(mirror)
    assert reason(request) == "unreadable"
    with pytest.raises(ClipError, match=f"'mirror/Y{ID}.mp4': not a readable media file"):
        request.fetch(Path("into.mp4"))


def test_a_file_that_is_too_large_is_not_copied(mirror: Path) -> None:
    fill(mirror, f"{ID}_30.mp4", content=b"x" * 11)
    assert reason(FolderSource(mirror, max_bytes=10).request(SEGMENT)) == "too_many_bytes"
    assert reason(FolderSource(mirror, max_bytes=11).request(SEGMENT)) == "unreadable"


def test_links_that_leave_the_folder_are_refused(
    mirror: Path, small: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(Path(), f"outside/{ID}_30.mp4", content=small)
    fill(mirror, "hidden/clip.bin", "zzzzzzzzzzz.mp4", content=small)
    link = mirror / f"{ID}_30.mp4"
    (mirror / "linked-folder").symlink_to(Path("outside").absolute())
    assert reason(ask(mirror)) == "not_in_folder"
    assert "'mirror/linked-folder' is a link to a folder and is skipped" in capsys.readouterr().err
    link.symlink_to(Path("outside", link.name).absolute())
    assert reason(ask(mirror)) == "link_leaves_folder"
    link.unlink()
    link.symlink_to("hidden/clip.bin")
    ask(mirror).fetch(Path("into.mp4"))
    link.unlink()
    link.symlink_to(link.name)  # to itself
    assert reason(ask(mirror)) == "not_in_folder"
    link.unlink()
    os.mkfifo(link)  # opening one would wait for ever
    assert reason(ask(mirror)) == "not_in_folder"


def test_a_file_that_may_not_be_read_is_refused(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(mirror, f"{ID}_30.mp4")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
    assert reason(ask(mirror)) == "not_readable"


def test_a_file_that_goes_away_meanwhile_is_tried_again(mirror: Path) -> None:
    fill(mirror, f"{ID}_30.mp4")
    request = ask(mirror)
    (mirror / f"{ID}_30.mp4").unlink()
    with pytest.raises(ClipError) as caught:
        request.fetch(Path("into.mp4"))
    assert (caught.value.status, caught.value.reason) == ("retry", "not_copied")


def test_the_revision_follows_the_file(mirror: Path) -> None:
    fill(mirror, "zzzzzzzzzzz.mp4")
    revisions = [ask(mirror).revision]
    fill(mirror, f"Y{ID}.mp4")
    revisions.append(ask(mirror).revision)
    assert ask(mirror).revision == revisions[-1]
    fill(mirror, f"Y{ID}.mp4", content=b"other")
    revisions.append(ask(mirror).revision)
    os.utime(mirror / f"Y{ID}.mp4", ns=(5, 5))
    revisions.append(ask(mirror).revision)
    fill(mirror, f"{ID}_30.mp4")
    revisions.append(ask(mirror).revision)
    assert len(set(revisions)) == 5


@pytest.mark.parametrize(
    "hostile", ["../../etc", "\0", "-rf", "x" * 4096, "\u202egpj.exe", "a/b", "", "\n", "*", "$(id)", f"Y{ID}"]
)
def test_hostile_ids_find_nothing_and_are_shown_harmlessly(mirror: Path, hostile: str) -> None:
    fill(mirror, "zzzzzzzzzzz.mp4")
    request = ask(mirror, Segment(hostile, hostile, 30.0, 40.0))
    assert reason(request) == "not_in_folder"
    with pytest.raises(ClipError) as caught:
        request.fetch(Path("into.mp4"))
    assert len(caught.value.detail) < 300


def test_hostile_folder_names_are_shown_harmlessly(mirror: Path, small: bytes) -> None:
    hostile = mirror / os.fsdecode(b"caf\xff\xe2\x80\xae\n")
    hostile.mkdir()
    fill(hostile, f"{ID}_30.mp4", content=small)
    fetched = ask(mirror).fetch(Path("into.mp4"))
    assert fetched.origin.isprintable()
    json.dumps(fetched.origin, ensure_ascii=False).encode()
    Path("into.mp4").unlink()
    (hostile / f"{ID}_30.mp4").write_bytes(b"no clip")
    assert reason(ask(mirror)) == "unreadable"
    (hostile / f"{ID}_30.mp4").rename(hostile / f"{ID}_31.mp4")
    assert reason(ask(mirror)) == "not_in_folder"


def test_a_folder_that_cannot_be_used_stops_at_once(mirror: Path) -> None:
    def opened(folder: str) -> None:
        open_source(
            AcquireParams(
                source="folder",
                folder=folder,
                splits={"test": ["eval"]},
                shards=None,
                youtube=None,
                manifest=None,
                tombstones="tombstones.csv",
                limit=None,
                max_bytes=10,
            )
        )

    with pytest.raises(ConfigError, match="'nowhere' is not a directory"):
        opened("nowhere")
    fill(mirror, "notes.txt")
    with pytest.raises(ConfigError, match="'mirror' holds no clip with a known name"):
        opened("mirror")
    fill(layout.ACQUIRED_CLIPS, f"test/{ID}_30000.mp4")
    for overlapping in (".", "data", str(layout.ACQUIRED_CLIPS), str(layout.ACQUIRED_CLIPS / "test")):
        with pytest.raises(ConfigError, match="overlap"):
            opened(overlapping)
