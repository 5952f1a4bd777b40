"""The miniature's benchmark: rendered clips that the build's own stages and gates take, with nothing claimed."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from mma_bench import layout
from mma_bench.builders import conflicts, pair
from mma_bench.classes import class_distance
from mma_bench.config import load_params
from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.files import file_sha256
from mma_bench.schema import ALIGNED, VARIANTS
from mma_bench.tables import read_table, write_table
from mma_bench.training.miniature import dataset
from mma_bench.training.miniature.dataset import (
    HALF_PARAMS,
    MiniatureParams,
    WorldParams,
    class_table,
    clip_tasks,
    load_miniature_params,
    make_clips,
    project_params,
)
from mma_bench.training.miniature.world import CLASSES
from mma_bench.validation import gate

ROOT = Path(__file__).parents[3]
WORLD = WorldParams(train_per_class=1, test_per_class=1, train_seed=1_000_000, test_seed=2_000_000)


def small() -> MiniatureParams:
    """The miniature's own params with the fewest clips."""
    return load_miniature_params().model_copy(update={"world": WORLD})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the finished project."""
    folder = tmp_path_factory.mktemp("miniature")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_clips(ROOT / "params.yaml", small())
        params = load_params(layout.PARAMS)
        pair.main(params)
        conflicts.main(params)
        dataset.package(params.package.max_shard_mb)
    return folder


@pytest.fixture
def made(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished project as the current folder: every test begins in the real one."""
    monkeypatch.chdir(built)
    return built


@pytest.mark.slow
def test_every_class_is_in_both_splits_under_every_condition(made: Path) -> None:
    conditions = {"test": set(Benchmark("mma-bench").conditions())}
    conditions["train"] = set(Benchmark("mma-bench", split="train").conditions())
    assert conditions == {
        "test": {
            *("aligned", "misaligned", "audio_removed", "frames_zeroed", "misleading_caption"),
            *("degraded_audio", "mixed_audio", "degraded_video", "three_way", "shifted_audio"),
        },
        "train": {"aligned", "misaligned"},
    }
    for split, names in conditions.items():
        for name in names:
            rows = list(Benchmark("mma-bench", split=split).rows(name, ["visual_class", "options"]))
            assert {row["visual_class"] for row in rows} == set(CLASSES)
            assert all(row["options"] == sorted(CLASSES) for row in rows)


@pytest.mark.slow
def test_nothing_is_said_to_be_judged_or_reviewed(made: Path) -> None:
    rows = list(Benchmark("mma-bench").rows("misaligned", ["judge", "human_verified", "source"]))
    assert {(row["judge"], row["human_verified"], row["source"]) for row in rows} == {
        ("none (known by construction)", False, "miniature (rendered)")
    }
    card = (made / "mma-bench/README.md").read_text()
    assert "nothing here was recorded, filtered by labels, judged or reviewed" in card


@pytest.mark.slow
@pytest.mark.parametrize("table", ["pairs", "variants", "package"])
def test_the_gates_of_the_build_hold(made: Path, table: str) -> None:
    gate.main(table, load_params(layout.PARAMS))


@pytest.mark.slow
def test_a_second_run_makes_the_same_bytes_and_renders_nothing(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file_sha256(made / "mma-bench/checksums.sha256")
    changed = {path: path.stat().st_mtime_ns for path in (made / layout.NORMALISED_CLIPS).rglob("*.mp4")}
    make_clips(ROOT / "params.yaml", small())
    dataset.package(256)
    assert file_sha256(made / "mma-bench/checksums.sha256") == before
    assert {path: path.stat().st_mtime_ns for path in changed} == changed


@pytest.mark.slow
def test_half_of_the_classes_are_for_the_seen_and_unseen_run(made: Path) -> None:
    whole, half = load_params(layout.PARAMS), load_params(HALF_PARAMS)
    assert (whole.sft.classes, half.sft.classes) == (None, 0.5)
    assert whole.model_dump(exclude={"sft"}) == half.model_dump(exclude={"sft"})


@pytest.mark.slow
def test_a_variant_that_could_not_be_made_is_not_left_out_silently(made: Path) -> None:
    table = read_table(layout.VARIANTS, VARIANTS)
    first = pl.col("id") == table["id"][0]
    broken = table.with_columns(
        status=pl.when(first).then(pl.lit("refused")).otherwise("status"),
        reason=pl.when(first).then(pl.lit("decode_failed")).otherwise("reason"),
    )
    write_table(broken, layout.VARIANTS, VARIANTS, ["id"])
    try:
        with pytest.raises(DataError, match=rf"{table['id'][0]} could not be made: decode_failed"):
            dataset.package(256)
    finally:
        write_table(table, layout.VARIANTS, VARIANTS, ["id"])


@pytest.mark.slow
def test_a_clip_says_what_it_was_rendered_from(made: Path) -> None:
    for row in read_table(layout.ALIGNED, ALIGNED).iter_rows(named=True):
        assert row["clip_id"].startswith(row["class_name"].lower())
        assert (row["width"], row["height"], row["duration_s"] >= 2.0) == (112, 112, True)


def test_no_clip_is_in_both_splits_and_more_of_one_class_move_no_other() -> None:
    tasks = clip_tasks(WORLD.model_copy(update={"train_per_class": 3}))
    seeds = [task.payload["seed"] for task in tasks]
    assert len(set(seeds)) == len(seeds)
    assert {task.fingerprint for task in clip_tasks(WORLD)} <= {task.fingerprint for task in tasks}


def test_seeds_that_meet_are_refused() -> None:
    with pytest.raises(ConfigError, match="overlap"):
        clip_tasks(WORLD.model_copy(update={"test_seed": WORLD.train_seed + 100}))


def test_every_class_is_as_far_from_every_other() -> None:
    classes = class_table()
    assert {class_distance(classes, a, b) for a in CLASSES for b in CLASSES if a != b} == {2}


def test_single_keys_are_replaced_and_the_rest_stays() -> None:
    project = yaml.safe_load((ROOT / "params.yaml").read_text())
    merged = project_params(project, {"pair": {"donors": {"test": 1, "train": 2}}})
    assert merged["pair"] == {**project["pair"], "donors": {"test": 1, "train": 2}}
    assert {name: merged[name] for name in project if name != "pair"} == {
        name: project[name] for name in project if name != "pair"
    }


@pytest.mark.parametrize(
    ("changes", "key"), [({"pair": {"donor": 1}}, "pair.donor"), ({"weather": {"rain": True}}, "weather")]
)
def test_a_key_that_the_build_does_not_know_is_named(changes: dict[str, Any], key: str) -> None:
    project = yaml.safe_load((ROOT / "params.yaml").read_text())
    with pytest.raises(ConfigError, match=key):
        project_params(project, changes)


@pytest.mark.parametrize(("text", "said"), [("world: {", "not YAML"), ("world: {}\nbuild: {}\n", "train_per_class")])
def test_params_that_cannot_be_used_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_miniature_params(tmp_path / "params.yaml")
