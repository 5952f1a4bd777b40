"""A folder of clips: names are read without doubt, files are taken by rule, and no name does harm."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders.sources import open_source
from mma_bench.builders.sources.contracts import Request, Segment
from mma_bench.builders.sources.folder import SUFFIXES, Cut, FolderCopy, FolderSource, parse_name
from mma_bench.config import AcquireParams
from mma_bench.errors import ClipError, ConfigError
from tests.clips import AAC, H264, clip, make, picture, tone

ID = "-abc_1Y34_Z"
SEGMENT = Segment(f"{ID}_30000", ID, 30.0, 40.0)
IDS = st.text("ABCXYZabcxyz0123456789_-", min_size=11, max_size=11)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, called as it is from the project's root."""
    monkeypatch.chdir(tmp_path)
    Path("mirror").mkdir()
    return Path("mirror")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A clip's bytes; what is in a file decides how it is read, not how its name ends."""
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


@settings(deadline=None, max_examples=200)
@given(
    video_id=IDS,
    prefix=st.sampled_from(["", "Y"]),
    start_s=st.integers(0, 590),
    length_s=st.integers(1, 10),
    form=st.sampled_from(["s", "s.0", "s.000", "zeros", "ms"]),
    parts=st.integers(0, 2),
    join=st.sampled_from("_-"),
    suffix=st.sampled_from([*SUFFIXES, ".MP4"]),
)
def test_every_usual_name_of_every_segment_is_read_back(
    video_id: str, prefix: str, start_s: int, length_s: int, form: str, parts: int, join: str, suffix: str
) -> None:
    write = {"s": "{}", "s.0": "{:.1f}", "s.000": "{:.3f}", "zeros": "{:06d}", "ms": "{}"}[form].format
    factor = 1000 if form == "ms" else 1
    times = [start_s, start_s + length_s][:parts]
    name = prefix + video_id + join.join(["", *(write(time * factor) for time in times)]).replace("-", "_", 1) + suffix
    expected = [time * 1000 for time in times] + [None, None]
    assert parse_name(name) == Cut(video_id, expected[0], expected[1])


@settings(deadline=None, max_examples=300)
@given(stem=st.text("Y_-.013a", min_size=10, max_size=24))
@example("Yabcdefghij__30")
@example("Yabcdefghij_30")
@example("Y_________3_3")
def test_no_name_has_two_readings(stem: str) -> None:
    number = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
    rest = rf"(?:_{number}(?:[_-]{number})?)?"
    with_y = re.fullmatch(rf"Y([\w-]{{11}}){rest}", stem, re.ASCII)
    without = re.fullmatch(rf"([\w-]{{11}}){rest}", stem, re.ASCII)
    assert with_y is None or without is None
    readings = [match[1] for match in (with_y, without) if match]
    cut = parse_name(f"{stem}.mp4")
    assert ([cut.video_id] if cut else []) == readings


@pytest.mark.parametrize(
    "name",
    [
        "abcdefghij.mp4", "Xabcdefghijk.mp4", "abcdefghijk.mp3", "abcdefghijk", "abcdefghijk_.mp4", ".mp4", "",
        "abcdefghijk_30_40_50.mp4", "abcdefghijk_-30.mp4", "abcdefghijk_30_.mp4", "abcdefghijk_3e1.mp4",
        "abcdefghijk_٣٠.mp4", "abcdefghijk_30.mp4\n", "abcdefghijk_30\n.mp4", "abcdefghijk_nan.mp4", "abcdefgh/jk.mp4",
        "abcdefghi\0k.mp4", "\u202eabcdefghij.mp4", "abcdefghijk.mp4.part", ".tmp-abcdefghijk.mp4", "ábcdefghijk.mp4",
        "abcdefghijk_" + "1" * 4096 + ".mp4",
    ],
)  # fmt: skip
def test_other_names_are_not_ours(name: str) -> None:
    assert parse_name(name) is None


@pytest.mark.parametrize(
    "name",
    [
        f"Y{ID}.mp4", f"{ID}.webm", f"{ID}_30.mkv", f"{ID}_30000.m4v", f"{ID}_30_40.mp4", f"{ID}_30.000_40.000.mp4",
        f"Y{ID}_000030.MP4", f"{ID}_30-40.mp4", f"deep/er/{ID}_30000_40000.mp4",
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
    assert fetched.note == ""
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


def test_of_several_files_the_best_named_then_the_first_is_taken_and_told(mirror: Path) -> None:
    names = [f"a/Y{ID}.mp4", f"b/{ID}_30.mp4", f"c/{ID}_30_40.webm", f"d/{ID}_30000_40000.mp4"]
    fill(mirror, *names)
    notes = []
    for name in [names[2], names[3], names[1]]:
        request = ask(mirror)
        assert isinstance(request, FolderCopy)
        assert request.found.path == name
        notes.append(request.note)
        (mirror / name).unlink()
    assert notes[0] == f"took '{names[2]}', not '{names[3]}', '{names[1]}', '{names[0]}'"
    assert notes[2] == f"took '{names[1]}', not '{names[0]}'"
    last = ask(mirror)
    assert isinstance(last, FolderCopy)
    assert (last.found.path, last.note) == (names[0], "")


def test_a_whole_video_is_not_taken_for_a_cut(mirror: Path) -> None:
    make(mirror / f"Y{ID}.mp4", *picture(12.4, "32x32", "5"), *tone(12.4, rate=8000), *H264, *AAC)
    assert reason(ask(mirror)) == "not_a_cut"
    # With a start in its name, the same file is a cut that is merely long.
    (mirror / f"Y{ID}.mp4").rename(mirror / f"{ID}_30.mp4")
    ask(mirror).fetch(Path("into.mp4"))


def test_a_file_that_is_no_media_is_refused_under_its_own_name(mirror: Path) -> None:
    fill(mirror, f"Y{ID}.mp4", content=b"no clip")
    request = ask(mirror)
    assert reason(request) == "unreadable"
    with pytest.raises(ClipError, match=f"'mirror/Y{ID}.mp4': not a readable media file"):
        request.fetch(Path("into.mp4"))


def test_a_file_that_is_too_large_is_not_copied(mirror: Path) -> None:
    fill(mirror, f"{ID}_30.mp4", content=b"x" * 11)
    assert reason(FolderSource(mirror, max_bytes=10).request(SEGMENT)) == "too_many_bytes"
    FolderSource(mirror, max_bytes=11).request(SEGMENT).fetch(Path("into.mp4"))


def test_links_that_leave_the_folder_are_refused(mirror: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(Path(), f"outside/{ID}_30.mp4")
    fill(mirror, "hidden/clip.bin", "zzzzzzzzzzz.mp4")
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


def test_hostile_folder_names_are_shown_harmlessly(mirror: Path) -> None:
    hostile = mirror / os.fsdecode(b"caf\xff\xe2\x80\xae\n")
    hostile.mkdir()
    fill(hostile, f"{ID}_30.mp4")
    fetched = ask(mirror).fetch(Path("into.mp4"))
    assert fetched.origin.isprintable()
    json.dumps(fetched.origin, ensure_ascii=False).encode()
    Path("into.mp4").unlink()
    (hostile / f"{ID}_30.mp4").rename(hostile / f"Y{ID}.mp4")
    assert reason(ask(mirror)) == "unreadable"
    (hostile / f"Y{ID}.mp4").rename(hostile / f"{ID}_31.mp4")
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
