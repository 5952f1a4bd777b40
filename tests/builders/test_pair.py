"""What the pairing promises, as properties over random collections."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders.pair import HEADROOM, choose_donors, main
from mma_bench.config import Params, load_params
from mma_bench.errors import DataError
from mma_bench.schema import ALIGNED
from mma_bench.tables import from_rows, read_json, write_table


def collection(sizes: dict[str, int], duration_s: float = 10.0) -> pl.DataFrame:
    rows = [
        {
            "clip_id": f"{name}-{number}",
            "video_id": f"video-{name}-{number}",
            "class_name": name,
            "video_duration_s": duration_s,
            "audio_duration_s": duration_s,
        }
        for name, size in sizes.items()
        for number in range(size)
    ]
    return pl.DataFrame(rows)


sizes = st.dictionaries(st.sampled_from([f"class{i}" for i in range(14)]), st.integers(1, 12), min_size=4, max_size=14)


@pytest.mark.slow
@given(sizes, st.integers(1, 3), st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_donors_are_of_distinct_other_classes(sizes: dict[str, int], count: int, seed: int) -> None:
    clips = collection(sizes)
    class_of = dict(clips.select("clip_id", "class_name").iter_rows())
    chosen = choose_donors(clips, count, seed=seed, slack_s=0.0)
    assert set(chosen) == set(class_of)
    for base, donors in chosen.items():
        classes = [class_of[donor] for donor in donors]
        assert len(donors) == len(set(classes)) == count
        assert class_of[base] not in classes


@pytest.mark.slow
@given(sizes, st.integers(0, 5))
@settings(deadline=None, max_examples=40)
def test_the_order_of_rows_does_not_matter(sizes: dict[str, int], seed: int) -> None:
    clips = collection(sizes)
    shuffled = clips.sample(fraction=1.0, shuffle=True, seed=seed)
    assert choose_donors(clips, 1, seed=seed, slack_s=0.0) == choose_donors(shuffled, 1, seed=seed, slack_s=0.0)


@given(st.lists(st.floats(1, 10), min_size=12, max_size=40), st.integers(0, 5))
@settings(deadline=None, max_examples=40)
def test_a_donor_is_long_enough(durations: list[float], seed: int) -> None:
    clips = pl.DataFrame(
        {
            "clip_id": [f"c{i}" for i in range(len(durations))],
            "video_id": [f"v{i}" for i in range(len(durations))],
            "class_name": [f"class{i % 4}" for i in range(len(durations))],
            "video_duration_s": durations,
            "audio_duration_s": durations,
        }
    )
    # One donor of full length in every class, so that each clip can be paired.
    clips = pl.concat([clips, collection({f"class{i}": 1 for i in range(4)}).select(clips.columns)])
    length = dict(clips.select("clip_id", "audio_duration_s").iter_rows())
    needed = dict(clips.select("clip_id", "video_duration_s").iter_rows())
    for base, donors in choose_donors(clips, 2, seed=seed, slack_s=0.1).items():
        assert all(length[donor] >= needed[base] - 0.1 for donor in donors)


def paper_sized(seed: int) -> pl.DataFrame:
    """658 clips in 49 classes, as skewed as AudioSet's."""
    weights = np.random.default_rng(seed).zipf(1.6, 49).clip(1, 60)
    counts = np.maximum(1, np.round(weights / weights.sum() * 658)).astype(int)
    return collection({f"class{i:02}": int(n) for i, n in enumerate(counts)})


@pytest.mark.parametrize("seed", range(3))
def test_donor_classes_are_near_uniform(seed: int) -> None:
    clips = paper_sized(seed)
    class_of = dict(clips.select("clip_id", "class_name").iter_rows())
    taken = Counter(class_of[donor] for (donor,) in choose_donors(clips, 1, seed=seed, slack_s=0.0).values())
    even = clips.height / 49
    assert len(taken) == 49
    assert max(taken.values()) <= math.ceil((1 + HEADROOM) * even)
    assert min(taken.values()) >= even / 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [1, 10])
def test_adding_a_clip_leaves_most_pairs_as_they_were(seed: int, count: int) -> None:
    clips = paper_sized(seed)
    before = choose_donors(clips, count, seed=seed, slack_s=0.0)
    moved = []
    for name in ("class00", "class17", "a-class-that-was-not-there"):
        newcomer = collection({name: 1}).with_columns(clip_id=pl.lit("newcomer"), video_id=pl.lit("newcomer"))
        after = choose_donors(pl.concat([clips, newcomer]), count, seed=seed, slack_s=0.0)
        moved.append(sum(len(set(donors) - set(after[base])) for base, donors in before.items()))
    assert np.mean(moved) <= 0.06 * clips.height * count, moved


def test_a_clip_is_not_paired_with_its_own_video() -> None:
    clips = collection({"a": 3, "b": 2, "c": 1}).with_columns(
        video_id=pl.when(pl.col("class_name") == "c").then(pl.lit("video-a-0")).otherwise(pl.col("video_id"))
    )
    for seed in range(12):
        chosen = choose_donors(clips, 1, seed=seed, slack_s=0.0)
        assert chosen["a-0"] != ["c-0"]
        assert chosen["c-0"] != ["a-0"]


def test_too_few_classes_are_named() -> None:
    with pytest.raises(DataError, match=r"3 donors of distinct other classes need 4"):
        choose_donors(collection({"a": 2, "b": 2, "c": 2}), 3, seed=0, slack_s=0.0)


def test_a_clip_without_a_donor_is_named() -> None:
    clips = pl.concat([collection({"a": 1}, 10.0), collection({"b": 1, "c": 1}, 3.0)])
    with pytest.raises(DataError, match=r"clip a-0 \(10.00 s\) has 0 classes"):
        choose_donors(clips, 1, seed=0, slack_s=0.1)


CLIPS = {"cat": ("Cat", "test"), "dog": ("Dog", "test"), "cow": ("Cow", "train"), "pig": ("Pig", "train")}


def project(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str, **pair: Any) -> Params:
    """A project up to the stage with these clips as its aligned ones; the current folder."""
    params = load_params(Path("params.yaml"))
    monkeypatch.chdir(folder)
    rows = [
        {"clip_id": name, "video_id": name, "class_name": CLIPS[name][0], "split": CLIPS[name][1]}
        | {"video_duration_s": 10.0, "audio_duration_s": 10.0}
        for name in names
    ]
    write_table(from_rows(rows, ALIGNED), layout.ALIGNED, ALIGNED, ["clip_id"])
    monkeypatch.setattr("mma_bench.builders.pair.load_classes", lambda _: None)
    monkeypatch.setattr("mma_bench.builders.pair.class_distance", lambda *_: 2)
    donors = {"test": 1, "train": 1}
    return params.model_copy(update={"pair": params.pair.model_copy(update={"donors": donors, **pair})})


def licensed(params: Params) -> Params:
    return params.model_copy(update={"package": params.package.model_copy(update={"licences": ["cc-by"]})})


def test_given_pairs_are_counted_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = project(tmp_path, monkeypatch, *CLIPS, given="pairs.csv")
    Path("pairs.csv").write_text("base_id,donor_id\ncat,dog\ncow,pig\ngone,dog\ngone,lost\ndog,gone\npig,gone\n")
    main(params)
    assert "2 of 6 pairs of pairs.csv are kept; base missing 2, donor missing 2" in capsys.readouterr().err
    counts = read_json(layout.metrics("pair"))
    assert {split: (each["pairs"], each.get("base_missing", 0)) for split, each in counts.items()} == {
        "test": (1, 1),
        "train": (1, 0),
        "unknown": (0, 1),
    }
    assert (counts["test"]["donor_missing"], counts["train"]["donor_missing"]) == (1, 1)


@pytest.mark.parametrize("given", [None, "pairs.csv"])
@pytest.mark.parametrize("restricted", [True, False])
def test_a_split_without_a_pair_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, restricted: bool
) -> None:
    params = project(tmp_path, monkeypatch, "cow", "pig", given=given)
    Path("pairs.csv").write_text("base_id,donor_id\ncat,dog\ncow,pig\n")
    with pytest.raises(DataError, match=r"no pair is left in split test: it has 0 aligned clips") as caught:
        main(licensed(params) if restricted else params)
    assert ("package.licences" in str(caught.value.hint)) == restricted
    assert "acquire.tombstones" in str(caught.value.hint)


def test_too_few_classes_under_the_licences_are_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = licensed(project(tmp_path, monkeypatch, "cat", "cow", "pig"))
    with pytest.raises(DataError, match=r"no pair is left in split test: it has 1 aligned clip of 1 class") as caught:
        main(params)
    assert "package.licences" in str(caught.value.hint)
    assert "data/dropped.csv" in str(caught.value.hint)
