"""The benchmark is read as any user reads it: streamed, undecoded, the same clips under every condition."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation.dataset import Benchmark
from tests.evaluation.packaged import BASES, media_of, packaged_row, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    rows = {name: [packaged_row(base, name) for base in BASES] for name in ("misaligned", "aligned")}
    return write(tmp_path / "bench", **rows)


def test_conditions_come_in_the_papers_order(folder: Path) -> None:
    assert Benchmark(str(folder)).conditions() == ["aligned", "misaligned"]
    assert Benchmark(str(folder), split="train").conditions() == []


def test_rows_carry_the_clips_bytes_undecoded(folder: Path) -> None:
    rows = list(Benchmark(str(folder)).rows("aligned"))
    assert [row["id"] for row in rows] == ["a.aligned", "b.aligned", "c.aligned"]
    assert rows[0]["video"]["bytes"] == media_of("a")


def test_a_limit_takes_the_same_clips_under_every_condition(folder: Path) -> None:
    bench = Benchmark(str(folder), limit=2)
    assert [[row["base_id"] for row in bench.rows(name)] for name in bench.conditions()] == [["a", "b"], ["a", "b"]]


def test_the_fingerprint_follows_what_a_model_sees(folder: Path, tmp_path: Path) -> None:
    bench = Benchmark(str(folder))
    assert bench.fingerprint("aligned") == bench.fingerprint("aligned")
    assert bench.fingerprint("aligned") != bench.fingerprint("misaligned")
    rows = [packaged_row(base, "aligned") for base in BASES]
    same = write(tmp_path / "same", aligned=rows)
    rows[1] = {**rows[1], "video_sha256": "0" * 64}
    other = write(tmp_path / "other", aligned=rows)
    assert Benchmark(str(same)).fingerprint("aligned") == bench.fingerprint("aligned")
    assert Benchmark(str(other)).fingerprint("aligned") != bench.fingerprint("aligned")


def test_right_answers_are_counted_over_the_split_whatever_the_limit(tmp_path: Path, folder: Path) -> None:
    rows = [packaged_row(base, "aligned") | {"audio_answer": "Bird" if base == "c" else "Cat"} for base in BASES]
    bench = Benchmark(str(write(tmp_path / "counted", aligned=rows)), limit=1)
    assert bench.answers("aligned") == {"visual": {"Cat": 3}, "audio": {"Cat": 2, "Bird": 1}}


def test_the_judges_are_those_of_the_split_whatever_the_limit(tmp_path: Path, folder: Path) -> None:
    rows = [packaged_row(base, "misaligned") | {"judge": f"judge of {base}"} for base in BASES]
    bench = Benchmark(str(write(tmp_path / "judged", misaligned=rows)), limit=1)
    assert bench.judges() == ["judge of a", "judge of b", "judge of c"]
    assert Benchmark(str(folder)).judges() == []  # the column is empty
    assert Benchmark(str(folder), split="train").judges() == []  # there is no such split


def test_a_dataset_without_the_judges_column_names_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write(tmp_path / "older", aligned=[packaged_row("a", "aligned")])
    (file,) = other.rglob("*.parquet")
    pq.write_table(pq.read_table(file).drop_columns(["judge"]), file)
    assert Benchmark(str(other)).judges() == []


@pytest.mark.parametrize("bytes_", [b"no clip", media_of("c")], ids=["no clip", "another clip"])
def test_bytes_that_are_not_the_declared_ones_are_refused_unless_that_is_allowed(
    folder: Path, tmp_path: Path, bytes_: bytes
) -> None:
    rows = [packaged_row(base, "aligned") for base in BASES]
    rows[1]["video"]["bytes"] = bytes_
    altered = str(write(tmp_path / "altered", aligned=rows))
    with pytest.raises(DataError, match=r"altered, aligned: b\.aligned is not the clip that its row describes"):
        list(Benchmark(altered, checked=True).rows("aligned"))
    assert len(list(Benchmark(altered).rows("aligned"))) == 3
    assert len(list(Benchmark(str(folder), checked=True).rows("aligned"))) == 3


def test_a_dataset_out_of_reach_or_damaged_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match="the dataset org/no-such-bench cannot be read"):
        Benchmark("org/no-such-bench").conditions()
    (shard,) = folder.glob("data/aligned/*.parquet")
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(DataError, match="bench cannot be read"):
        list(Benchmark(str(folder)).rows("aligned"))


def test_a_missing_dataset_is_named() -> None:
    with pytest.raises(ConfigError, match="'no-such-bench' is not a directory"):
        Benchmark("no-such-bench")


def test_a_folder_has_no_revision(folder: Path) -> None:
    with pytest.raises(ConfigError, match="--revision applies to datasets on the Hub"):
        Benchmark(str(folder), revision="1.0.0")
