"""The packaged dataset: loads in every way, holds the very bytes and answers, and is replaced whole or not at all."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders import package
from mma_bench.builders.dataset import shards
from mma_bench.builders.dataset.columns import COLUMNS
from mma_bench.config import Params, load_params
from mma_bench.errors import DataError, StageError
from mma_bench.folders import exclusive
from mma_bench.schema import ALIGNED, PAPERS_CONDITIONS, VARIANTS
from mma_bench.tables import from_rows, read_table, write_table
from tests.faults.kill import is_over, snapshot
from tests.waiting import wait_until

CLASSES = ["Bird", "Cat", "Cattle", "Horse"]
PLAIN = "Which class best describes the {} content of this video? Options: Bird, Cat, Cattle, Horse."
SHORT = " Answer using a single word or phrase."


@pytest.fixture(scope="module")
def params() -> Params:
    # One worker is this process; others take longer to start than the clips.
    return load_params(Path(__file__).parents[2] / "params.yaml").model_copy(update={"workers": 1})


def rows_of(root: Path, condition: str, split: str = "test") -> list[dict[str, Any]]:
    paths = sorted((root / "mma-bench/data" / condition).glob(f"{split}-*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def change(schema: dict[str, Any], path: Path, edit: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    table = read_table(path, schema)
    write_table(edit(table), path, schema, ["id" if "id" in schema else "clip_id"])


LOAD = """
import json
from datasets import Audio, Video, get_dataset_config_names, load_dataset
seen = {}
for config in get_dataset_config_names("mma-bench"):
    for streaming in (False, True):
        for split, rows in load_dataset("mma-bench", config, streaming=streaming).items():
            assert isinstance(rows.features["video"], Video), rows.features
            first = next(iter(rows))
            frames = first["video"].get_frames_in_range(0, 5).data
            sound = next(iter(rows.cast_column("video", Audio(sampling_rate=16000))))["video"].get_all_samples().data
            raw = rows.cast_column("video", Video(decode=False))
            seen[f"{config}/{split}/{streaming}"] = {
                "ids": [row["id"] for row in raw],
                "captions": [row["caption"] for row in raw],
                "frames": list(frames.shape),
                "brightest": int(frames.max()),
                "loudest": float(sound.abs().max()),
            }
assert load_dataset("mma-bench", split="test")[0]["condition"] == "aligned"
json.dump(seen, open("seen.json", "w"))
"""


RELOAD = """
from datasets import load_dataset
print(*sorted(set(load_dataset("mma-bench", "misleading_caption", split="test")["caption"])))
try:
    print(load_dataset("mma-bench", "misaligned"))
except Exception as error:
    print(type(error).__name__)
"""


def in_a_new_process(script: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run a script whose caches lie below `root`, without a network."""
    env = {**os.environ, "HF_HOME": str(root / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_load_dataset_takes_every_config_with_and_without_streaming(build: Path, params: Params) -> None:
    package.main(params)
    run = in_a_new_process(LOAD, build)
    assert run.returncode == 0, run.stderr
    seen = json.loads((build / "seen.json").read_text())
    splits = {f"{c}/test" for c in PAPERS_CONDITIONS} | {"aligned/train", "misaligned/train"}
    assert set(seen) == {f"{split}/{streaming}" for split in splits for streaming in (False, True)}
    good = read_table(layout.VARIANTS, VARIANTS).filter(pl.col("status") == "ok")
    for key, facts in seen.items():
        condition, split, _ = key.split("/")
        wanted = good.filter((pl.col("condition") == condition) & (pl.col("split") == split))["id"].sort().to_list()
        assert facts["ids"] == wanted
        assert facts["frames"] == [5, 3, 48, 64]
        assert (facts["brightest"] < 5) == (condition == "frames_zeroed")
        assert (facts["loudest"] == 0) == (condition == "audio_removed")

    # A new version in the same place is what a new process gets, not what an earlier one left in its cache; and a
    # shard that is gone is an error, not a smaller dataset or an older one.
    change(VARIANTS, layout.VARIANTS, lambda rows: rows.with_columns(caption=pl.col("caption").replace("Cat", "Horse")))
    package.main(params)
    next((build / "mma-bench/data/misaligned").glob("test-*")).unlink()
    run = in_a_new_process(RELOAD, build)
    assert run.returncode == 0, run.stderr
    captions, *missing = run.stdout.splitlines()
    assert captions == "Bird Cattle Horse"
    assert missing
    assert "Dataset" not in missing[0]


def loaded(folder: Path, cache: Path) -> dict[str, list[dict[str, Any]]]:
    """Config → its test rows without media, as `load_dataset` gives them."""
    import datasets

    return {
        config: [
            {name: value for name, value in row.items() if name != "video"}
            for row in datasets.load_dataset(str(folder), config, split="test", cache_dir=str(cache)).cast_column(
                "video", datasets.Video(decode=False)
            )
        ]
        for config in map(str, PAPERS_CONDITIONS)
    }


@pytest.mark.slow
def test_a_relabelled_build_of_the_same_size_is_not_served_from_the_cache(build: Path, params: Params) -> None:
    package.main(params)
    card = (build / "mma-bench/README.md").read_text()
    before = loaded(build / "mma-bench", build / "cache")
    reversed_labels = pl.col("visual_class", "audio_class").reverse().over("condition", "split", "status")
    change(VARIANTS, layout.VARIANTS, lambda rows: rows.with_columns(reversed_labels))
    package.main(params)
    after = loaded(build / "mma-bench", build / "cache")
    for config, rows in before.items():
        seen = [row["visual_class"] for row in rows]
        assert seen != seen[::-1]
        assert [row["visual_class"] for row in after[config]] == seen[::-1], config
    # Nothing else of what the cache is looked up by has changed.
    changed = set(card.splitlines()) ^ set((build / "mma-bench/README.md").read_text().splitlines())
    assert {line.partition(":")[0].strip() for line in changed} <= {"description", "download_size"}


@pytest.mark.parametrize(
    ("condition", "visual", "audio", "abstentions"),
    [
        ("aligned", PLAIN.format("visual") + SHORT, PLAIN.format("audio") + SHORT, ["Bird", "Bird"]),
        ("misaligned", PLAIN.format("visual") + SHORT, PLAIN.format("audio") + SHORT, ["Bird", "Cat"]),
        ("audio_removed", PLAIN.format("visual") + SHORT, PLAIN.format("audio") + SHORT, ["Bird", "None of the above"]),
        ("frames_zeroed", PLAIN.format("visual") + SHORT, PLAIN.format("audio") + SHORT, ["None of the above", "Bird"]),
        (
            "misleading_caption",
            "Video_caption: Cat. " + PLAIN.format("visual"),
            "Video_caption: Cat. " + PLAIN.format("audio"),
            ["Bird", "Bird"],
        ),
        ("long_context", PLAIN.format("visual") + SHORT, PLAIN.format("audio") + SHORT, ["Bird", "Bird"]),
    ],
)
def test_questions_and_answers(built: Path, condition: str, visual: str, audio: str, abstentions: list[str]) -> None:
    row = rows_of(built, condition)[0]
    assert list(row) == list(COLUMNS)
    assert row["base_id"] == "bird-test0"
    assert (row["visual_question"], row["audio_question"]) == (visual, audio)
    heard = "Cat" if condition == "misaligned" else "Bird"
    assert (row["visual_answer"], row["audio_answer"]) == ("Bird", heard)
    assert [row["visual_abstention_answer"], row["audio_abstention_answer"]] == abstentions
    assert row["options"] == CLASSES
    assert row["donor_id"] == ("cat-test0" if condition == "misaligned" else None)
    assert row["caption"] == ("Cat" if condition == "misleading_caption" else None)
    assert row["context_seed"] == (7 if condition == "long_context" else None)
    assert row["context"] == ("far ease" if condition == "long_context" else None)
    for question, text in (("visual", visual), ("audio", audio)):
        due = text + SHORT if condition == "misleading_caption" else None
        assert row[f"{question}_question_short_answer"] == due


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, params: Params, make_build: Callable[[Path], None]) -> Path:
    root = tmp_path_factory.mktemp("built")
    make_build(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        package.main(params)
    return root


def test_every_good_row_has_the_bytes_of_its_file_and_its_facts(built: Path) -> None:
    variants = read_table(built / layout.VARIANTS, VARIANTS)
    packaged = {row["id"]: row for c in PAPERS_CONDITIONS for s in ("train", "test") for row in rows_of(built, c, s)}
    good = {row["id"]: row for row in variants.filter(pl.col("status") == "ok").iter_rows(named=True)}
    assert set(packaged) == set(good)
    for key, row in packaged.items():
        assert hashlib.sha256(row["video"]["bytes"]).hexdigest() == good[key]["sha256"]
        assert row["video"]["path"] == f"{key}.mp4"
        same = set(COLUMNS) & set(VARIANTS)
        assert {name: row[name] for name in same} == {name: good[key][name] for name in same}


def test_what_is_refused_is_counted_and_left_out(built: Path) -> None:
    assert "horse-test1.frames_zeroed" not in {row["id"] for row in rows_of(built, "frames_zeroed")}
    counted = json.loads((built / layout.metrics("package")).read_text())
    assert counted == {"test": {"in": 48, "decode_failed": 1, "ok": 47}, "train": {"in": 8, "ok": 8}}


def test_checksums_name_every_file(built: Path) -> None:
    lines = (built / "mma-bench/checksums.sha256").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {p.relative_to(built / "mma-bench").as_posix(): p for p in (built / "mma-bench").rglob("*") if p.is_file()}
    assert set(sums) == set(files) - {"checksums.sha256"}
    assert all(hashlib.sha256(files[name].read_bytes()).hexdigest() == digest for name, digest in sums.items())


def test_the_licence_texts_of_photo_and_sound_come_along_and_of_nothing_else(build: Path, params: Params) -> None:
    package.main(params)
    assert (build / "mma-bench/licences/GPL-2.txt").read_text() == "GNU GENERAL PUBLIC LICENSE\n"
    assert "in `licences/`" in (build / "mma-bench/LICENSE.md").read_text()
    change(ALIGNED, layout.ALIGNED, lambda table: table.with_columns(source=pl.lit("folder")))
    package.main(params)
    assert not (build / "mma-bench/licences").exists()
    assert "in `licences/`" not in (build / "mma-bench/LICENSE.md").read_text()


def test_equal_inputs_give_equal_bytes(build: Path, built: Path, params: Params) -> None:
    package.main(params)
    assert (build / "mma-bench/checksums.sha256").read_bytes() == (built / "mma-bench/checksums.sha256").read_bytes()


def test_row_groups_are_small_enough_to_stream(tmp_path: Path) -> None:
    row = dict.fromkeys(COLUMNS) | {
        "options": ["Cat"],
        "label_ids": [],
        "video": {"bytes": b"x", "path": "x"},
    }
    shards.write_shard(tmp_path / "x.parquet", ({**row, "id": str(n)} for n in range(20)))
    written = pq.ParquetFile(tmp_path / "x.parquet").metadata
    assert [written.row_group(n).num_rows for n in range(written.num_row_groups)] == [8, 8, 4]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 120))
@settings(deadline=None, max_examples=60)
def test_shards_hold_every_row_once_in_order_and_keep_to_the_limit(sizes: list[int], limit: int) -> None:
    rows = [
        {"id": f"{n:03}", "split": "test", "condition": "aligned", "status": "ok", "path": str(n)}
        for n in range(len(sizes))
    ]
    refused = {"id": "bad", "split": "test", "condition": "aligned", "status": "refused"}
    by_path = {str(n): size for n, size in enumerate(sizes)}
    planned = shards.plan(from_rows([*rows, refused], VARIANTS), by_path, limit)
    assert [clip for shard in planned for clip in shard.rows["id"]] == [row["id"] for row in rows]
    for number, shard in enumerate(planned):
        filled = sum(by_path[path] for path in shard.rows["path"])
        assert shard.rows.height == 1 or (shard.rows.height and filled <= limit)
        assert shard.path == Path(f"data/aligned/test-{number:05}-of-{len(planned):05}.parquet")
    # No shard could have taken the next one's first row.
    for shard, after in pairwise(planned):
        assert sum(by_path[path] for path in shard.rows["path"]) + by_path[after.rows["path"][0]] > limit


KILLED = """
import os, signal, sys
from pathlib import Path
from mma_bench.builders import package
from mma_bench.builders.dataset import shards
from mma_bench.config import load_params

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

calls = 0
def second_shard(*args, whole=shards.write_shard):
    global calls
    calls += 1
    return die() if calls == 2 else whole(*args)

def while_removing(path, ignore_errors=False, whole=package.shutil.rmtree):
    return whole(path, ignore_errors=True) if ignore_errors else die()

at = sys.argv[1]
if at == "second shard":
    shards.write_shard = second_shard
elif at == "before the swap":
    package.swap_folder = die
elif at == "after it":
    package.shutil.rmtree = while_removing
package.main(load_params(Path(sys.argv[2])).model_copy(update={"workers": int(sys.argv[3])}))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("at", "left"), [("second shard", "old"), ("before the swap", "old"), ("after it", "new")])
def test_a_kill_leaves_the_old_dataset_or_the_new_one(build: Path, params: Params, at: str, left: str) -> None:
    checksums = build / "mma-bench/checksums.sha256"
    package.main(params)
    old = checksums.read_bytes()
    change(VARIANTS, layout.VARIANTS, lambda table: table.with_columns(licence=pl.lit("CC0-1.0")))
    params_path = Path(__file__).parents[2] / "params.yaml"
    run = subprocess.run([sys.executable, "-c", KILLED, at, str(params_path), "1"], capture_output=True, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr
    whole = subprocess.run(
        ["sha256sum", "--check", "--quiet", "checksums.sha256"], cwd=build / "mma-bench", check=False
    )
    assert whole.returncode == 0
    assert (checksums.read_bytes() == old) == (left == "old")

    package.main(params)
    assert checksums.read_bytes() != old
    assert not list(build.glob(".tmp-*"))


@pytest.mark.slow
def test_a_kill_ends_the_workers_too_and_the_next_build_begins_anew(build: Path, params: Params) -> None:
    package.main(params)
    before = snapshot(build)
    clip = Path(read_table(layout.VARIANTS, VARIANTS).filter(condition="frames_zeroed", status="ok").item(0, "path"))
    video = clip.read_bytes()
    clip.unlink()
    os.mkfifo(clip)  # its reader waits
    params_path = Path(__file__).parents[2] / "params.yaml"
    command = [sys.executable, "-c", KILLED, "never", str(params_path), "2"]
    run = subprocess.Popen(command, start_new_session=True)
    wait_until(lambda: run.poll() is not None or any(build.glob(".tmp-*/data/frames_zeroed/*.parquet")))
    run.kill()
    assert run.wait() == -signal.SIGKILL
    wait_until(lambda: is_over(run.pid))
    clip.unlink()
    clip.write_bytes(video)
    assert list(build.glob(".tmp-*/data/aligned/*.parquet"))
    package.main(params)
    assert snapshot(build) == before
    assert not list(build.glob(".tmp-*"))


@pytest.mark.slow
def test_the_folder_is_the_same_whatever_the_number_of_workers(build: Path, built: Path, params: Params) -> None:
    package.main(params.model_copy(update={"workers": 2}))
    assert snapshot(build / "mma-bench") == snapshot(built / "mma-bench")
    clip = Path(read_table(layout.VARIANTS, VARIANTS).filter(id="cat-test0.audio_removed").item(0, "path"))
    clip.write_bytes(b"?")
    with pytest.raises(DataError) as raised:
        package.main(params.model_copy(update={"workers": 2}))
    assert raised.value.message == f"cat-test0.audio_removed: {clip} is not the file that the table describes"
    assert raised.value.hint == "run `dvc repro` to make the clip again"
    assert snapshot(build / "mma-bench") == snapshot(built / "mma-bench")
    assert not list(build.glob(".tmp-*"))


def test_each_shard_gets_the_texts_of_its_rows(build: Path, params: Params, tmp_path: Path) -> None:
    texts = pl.when(condition="long_context", status="ok").then(pl.format("far {}", "id"))
    change(VARIANTS, layout.VARIANTS, lambda rows: rows.with_columns(context=texts))
    variants = read_table(layout.VARIANTS, VARIANTS)
    planned = shards.plan(variants.drop("context"), dict.fromkeys(variants["path"].drop_nulls(), 1), 3)
    options = package.class_lists(read_table(layout.ALIGNED, ALIGNED))
    written = shards.write_shards(tmp_path / "out", planned, options, params)
    assert [path.name for path in written if path.parent.name == "long_context"] == [
        f"test-{number:05}-of-00003.parquet" for number in range(3)
    ]
    rows = [row for path in written for row in pq.read_table(tmp_path / "out" / path).to_pylist()]
    assert {row["id"]: row["context"] for row in rows} == dict(
        variants.filter(status="ok").select("id", "context").iter_rows()
    )
    left = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left == set(written), "the texts' own files are removed"


def test_a_table_that_is_not_sorted_by_id_is_refused(build: Path, params: Params) -> None:
    texts = pl.when(condition="long_context").then(pl.lit("far ease"))
    rows = read_table(layout.VARIANTS, VARIANTS).with_columns(context=texts).sort("id", descending=True)
    rows.write_parquet(layout.VARIANTS)
    with pytest.raises(DataError, match="is not sorted by id"):
        package.main(params)


def test_two_at_once_are_refused_and_the_first_is_not_touched(build: Path, params: Params) -> None:
    package.main(params)
    before = snapshot(build)
    with exclusive(layout.PACKAGE), pytest.raises(StageError, match="mma-bench is being written by another process"):
        package.main(params)
    assert snapshot(build) == before
    package.main(params)
    assert snapshot(build) == before


def test_a_link_to_the_dataset_stays_a_link(build: Path, params: Params, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "data"
    target.mkdir(parents=True)
    layout.PACKAGE.symlink_to(target)
    package.main(params)
    assert layout.PACKAGE.is_symlink()
    assert (target / "checksums.sha256").is_file()
    assert [path.name for path in target.parent.iterdir()] == ["data"]


def folders(root: Path) -> tuple[Path, Path]:
    """Two folders, each with a file of its name."""
    new, old = root / "new", root / "old"
    for folder in (new, old):
        folder.mkdir(parents=True)
        (folder / folder.name).touch()
    return new, old


def test_the_swap_is_one_call_where_the_system_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not package._exchange(*folders(tmp_path / "probe")):
        pytest.skip("this file system cannot exchange two folders")
    new, old = folders(tmp_path)
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("two steps, with nothing there between them"))
    package.swap_folder(new, old)
    assert list(old.iterdir()) == [old / "new"]
    assert not new.exists()


def test_without_an_exchange_of_folders_the_swap_still_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "_exchange", lambda *_: False)
    new, old = folders(tmp_path)
    package.swap_folder(new, old)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["old", "old/new"]


@pytest.mark.parametrize("fault", ["other bytes", "gone"])
def test_a_clip_that_is_not_the_tables_stops_the_build_and_names_it(build: Path, params: Params, fault: str) -> None:
    package.main(params)
    before = (build / "mma-bench/checksums.sha256").read_bytes()
    clip = Path(
        read_table(layout.VARIANTS, VARIANTS)
        .filter(pl.col("id") == "cat-test0.misaligned.cattle-test0")
        .item(0, "path")
    )
    clip.write_bytes(b"?") if fault == "other bytes" else clip.unlink()
    with pytest.raises(DataError, match=rf"^cat-test0.misaligned.cattle-test0: {clip} .*\n  hint: run `dvc repro`"):
        package.main(params)
    assert (build / "mma-bench/checksums.sha256").read_bytes() == before


def test_an_answer_outside_the_options_stops_the_build(build: Path, params: Params) -> None:
    change(ALIGNED, layout.ALIGNED, lambda table: table.filter(pl.col("class_name") != "Cat"))
    with pytest.raises(DataError, match=r"'Cat' is not among the 3 classes"):
        package.main(params)


def test_nothing_to_package_is_an_error(build: Path, params: Params) -> None:
    change(VARIANTS, layout.VARIANTS, lambda table: table.with_columns(status=pl.lit("refused"), reason=pl.lit("x")))
    with pytest.raises(DataError, match="nothing to package"):
        package.main(params)
