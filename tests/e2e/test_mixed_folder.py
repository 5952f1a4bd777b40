"""A folder of 60 good, broken and badly named files is built to the end, and the page accounts for each of them."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from mma_bench import layout
from mma_bench.builders.pages.files import clip_ends
from mma_bench.schema import ALIGNED, CANDIDATES, FILES, NORMALISED, VARIANTS, VERDICTS
from mma_bench.tables import read_table
from tests.clips import AAC, H264, SILENCE, cut_off, make, picture, plain, tone
from tests.e2e.project import command, composed, dvc, edit_params, fresh

pytestmark = pytest.mark.slow

FOLDER = Path("my clips")
Built = tuple[Path, dict[str, tuple[str, str]]]
TEST = {"cat-1": "Cat", "dog-1": "Canidae", "frog-1": "Frog", "owl-1": "Bird", "crow-1": "Bird"}
TRAIN = {"rooster-1": "Fowl", "dog-2": "Canidae", "cow-2": "Cattle", "blackbird-1": "Bird"}


class Names:
    """Names of segments, each of another candidate."""

    def __init__(self, candidates: pl.DataFrame) -> None:
        ten = (pl.col("end_s") - pl.col("start_s") == 10.0) & (pl.col("start_s") > 0)
        listed = candidates.filter(ten).sort("clip_id").select("subset", "class_name", "video_id", "start_s")
        # Of a video with two segments, a name without a time would mean either.
        self._left = listed.unique("video_id", keep="none", maintain_order=True).rows()

    def take(self, form: str, name: str = "Cat", subset: str = "eval") -> Path:
        """A file name of a new segment of a class: `form` with {id}, {start}, {end} and {ms}, {end_ms}."""
        row = next(row for row in self._left if row[:2] == (subset, name))
        self._left.remove(row)
        start = round(row[3])
        times = {"start": start, "end": start + 10, "ms": start * 1000, "end_ms": start * 1000 + 10_000}
        return FOLDER / form.format(id=row[2], **times)


def fill(names: Names, sources: Path) -> Iterator[tuple[Path, str, str]]:
    """Make the files; each with where it must end, and why or in which split."""
    good = composed(sources, *TEST, *TRAIN)
    square = ("-vf", "crop=min(iw\\,ih):min(iw\\,ih)", *H264, "-c:a", "copy")  # as train clips become
    good["crow-1"] = make(sources / "square.mp4", "-i", str(good["crow-1"]), *square)
    small = make(sources / "small.mp4", *picture(10, "160x120", "10"), *tone(10), *H264, *AAC)
    still = ("-f", "lavfi", "-i", "color=red:size=160x120:rate=10:duration=0.1")

    def put(path: Path, source: Path | bytes | tuple[str, ...]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            shutil.copyfile(source, path)
        elif isinstance(source, bytes):
            path.write_bytes(source)
        else:
            make(path, *source)
        return path

    # Good clips under the names that tools leave, each beside something worse.
    forms = (
        "Y{id}.mp4",
        "a/{id}_{start}.mp4",
        "{id}_{ms}_{end_ms}.mp4",
        "Some title [{id}].mp4",
        "[{id}]-[{start}-{end}].mp4",
    )
    for form, (name, class_name) in zip(forms, TEST.items(), strict=True):
        yield put(names.take(form, class_name), good[name]), "used", "test"
    forms = ("v{id}_{start}_{end}_out.mp4", "{id}.m4v", "b/c/{id}_{start}.0.mp4", "{id}_{start}-{end}.mov")
    for form, (name, class_name) in zip(forms, TRAIN.items(), strict=True):
        yield put(names.take(form, class_name, "balanced_train"), good[name]), "used", "train"
    best, second = "{id}_{start}_{end}.mp4", "z/{id}.mp4"
    for bad, reason in (
        (b"", "empty_file"),
        (b"<!doctype html><html><body>Sign in</body></html>", "unreadable"),
        ((*picture(10, "160x120", "10"), *H264), "no_audio_stream"),
    ):
        path = names.take(best)
        yield put(path, bad), "acquire", reason
        beside = FOLDER / second.format(id=path.name[:11])
        yield put(beside, small), "judge", "visual_unimodal"
    path = names.take(best)
    yield put(path, small), "judge", "visual_unimodal"
    yield put(FOLDER / f"Y{path.name[:11]}.mp4", small), "another_file_taken", ""
    yield put(FOLDER / f"d/{path.name[:11]}.mkv", ("-i", str(small), "-c", "copy")), "another_file_taken", ""

    # Refused when they are copied.
    long = ("-stream_loop", "3", "-i", str(small), "-c", "copy")
    yield put(names.take(best), long), "acquire", "longer_than_named"
    yield put(names.take("Y{id}.mp4"), long), "acquire", "not_a_cut"
    for form in ("{id}_{start}.mp4", "{id}.webm", "{id}.avi"):
        yield put(names.take(form), b""), "acquire", "empty_file"
    yield put(names.take("Y{id}.mp4"), b"<html>"), "acquire", "unreadable"
    yield put(names.take("{id}_{start}.mkv"), b"\x89PNG"), "acquire", "unreadable"
    yield put(names.take(best), (*tone(10), *AAC)), "acquire", "no_video_stream"
    yield put(names.take(best), (*picture(10, "160x120", "10"), *H264)), "acquire", "no_audio_stream"
    yield cut_off(small, names.take(best), 0.6), "acquire", "unreadable"
    transport = make(sources / "small.ts", "-i", str(small), "-c", "copy")
    yield put(names.take(best), transport), "acquire", "unreadable"
    outside = names.take(best)
    outside.symlink_to("/etc/hostname")
    yield outside, "acquire", "link_leaves_folder"

    # Refused when they are decoded.
    sound = (*tone(10), *H264, *AAC)
    yield put(names.take(best), (*plain("black", 10), *sound)), "normalise", "black_picture"
    yield put(names.take(best), (*plain("red", 10), *sound)), "normalise", "still_picture"
    yield put(names.take(best), (*still, *tone(10), *H264, *AAC)), "normalise", "single_frame"
    yield put(names.take(best), (*picture(10), *SILENCE, "-t", "10", *H264, *AAC)), "normalise", "silent"
    hole = ("-af", "aselect='not(between(t,2,6))'", "-fps_mode", "passthrough")
    yield put(names.take(best), (*picture(10), *tone(10), *hole, *H264, *AAC)), "normalise", "audio_too_short"
    yield put(names.take(best), (*picture(10), *tone(3), *H264, *AAC)), "normalise", "audio_too_short"
    frozen = ("-vf", "tpad=stop_mode=clone:stop_duration=8")
    yield put(names.take(best), (*picture(2), *tone(10), *frozen, *H264, *AAC)), "normalise", "frozen"
    short = (*picture(5), *tone(5), *H264, *AAC)
    yield put(names.take(best, "Cat", "balanced_train"), short), "normalise", "too_short"

    # Rejected by the judge, or dropped beside the others.
    (sources / "long.srt").write_text("1\n00:00:01,000 --> 00:00:59,000\nhello\n")
    subtitled = (
        "-i",
        str(sources / "long.srt"),
        "-i",
        str(small),
        "-map",
        "1",
        "-map",
        "0",
        "-c",
        "copy",
        "-c:s",
        "srt",
    )
    yield put(names.take("{id}_{start}.mkv"), subtitled), "judge", "visual_unimodal"
    yield put(names.take("Y{id}.mp4"), good["dog-1"]), "judge", "visual_unimodal"
    yield put(names.take(best, "Bird", "balanced_train"), good["crow-1"]), "verify", "same_file"

    # Nothing of this build.
    for name in ("Yzzzzzzzzzzz.mp4", "z/zzzzzzzzzzz_30.mp4", "Title [zzzzzzzzzzz].mkv", "[zzzzzzzzzzz]-[30-40].mp4"):
        yield put(FOLDER / name, small), "not_wanted", ""
    path = names.take("{id}")
    yield put(FOLDER / f"{path.name}_599_609.mp4", small), "not_wanted", ""
    for name in ("Funny cats.mp4", "clip.flv", "x.WMV", "y.ts", "4pm\u202e4pm.exe.mp4", "line\nbreak.mp4"):
        yield put(FOLDER / name, b"no clip"), "unknown_name", ""
    bytes_that_are_no_text = FOLDER / os.fsdecode(b"caf\xe9.mp4")
    yield put(bytes_that_are_no_text, b"no clip"), "unknown_name", ""
    for name in ("notes.txt", "thumbs/a.jpg", ".DS_Store", "aaaaaaaaaaa.mp4.part", "list.csv"):
        yield put(FOLDER / name, b"no clip"), "not_a_video", ""
    (FOLDER / "loop").symlink_to(".")
    yield FOLDER / "loop", "link", ""
    (FOLDER / "gone.mp4").symlink_to("nothing.mp4")
    yield FOLDER / "gone.mp4", "link", ""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The project after `dvc repro`, and how each file must end."""
    project = fresh(tmp_path_factory.mktemp("project"), "profiles/folder.yaml")
    edit_params(project, "acquire", folder=str(FOLDER))
    edit_params(project, "pair", donors={"test": 1, "train": 1})
    edit_params(project, "sft", validation_share=0.0)
    (project / FOLDER).mkdir()
    listed = dvc(project, "repro", "candidates")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        names = Names(read_table(layout.CANDIDATES, CANDIDATES))
        ends = {str(path): (end, why) for path, end, why in fill(names, tmp_path_factory.mktemp("sources"))}
    done = dvc(project, "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return project, ends


def test_every_file_ends_where_it_must(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    project, expected = built
    monkeypatch.chdir(project)
    clips = clip_ends(
        read_table(layout.NORMALISED, NORMALISED),
        read_table(layout.VERDICTS, VERDICTS),
        pl.read_csv(layout.DROPPED),
        read_table(layout.ALIGNED, ALIGNED),
        read_table(layout.VARIANTS, VARIANTS),
    )
    found = {}
    for path, clip_id, status, reason in read_table(layout.FILES, FILES).select(list(FILES)).iter_rows():
        unused = (reason, "") if status == "unused" else ("acquire", reason)
        found[path] = clips[clip_id] if status == "ok" else unused
    assert found == {path.encode(errors="backslashreplace").decode(): end for path, end in expected.items()}


def test_the_page_accounts_for_all_of_them(built: Built) -> None:
    project, expected = built
    page = (project / layout.DATASET_PAGE).read_text()
    said = re.search(r"<p>(Of 60 files: .*)</p>", page)
    assert said is not None
    assert said[1].startswith("Of 60 files: 9 used, ")
    assert sum(map(int, re.findall(r"(\d+) (?!files)", said[1]))) == 60
    ends = Counter(end for end, _ in expected.values())
    assert sorted(map(int, re.findall(r"(\d+) (?!files)", said[1]))) == sorted(ends.values())
    assert "loop" in page
    assert "\u202e" not in page


def test_the_gates_ran_and_a_second_build_does_nothing(built: Built) -> None:
    project, _ = built
    assert (project / "reports/validation.html").is_file()
    again = dvc(project, "repro")
    assert [line for line in again.stdout.splitlines() if line.startswith("Running")] == ["Running stage 'inputs':"]
    status = command(project, "mma_bench.cli", "acquire", "status")
    assert status.returncode == 0, status.stderr
