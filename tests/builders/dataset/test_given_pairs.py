"""Given pairs: kept as they are, left out with their reason, and refused where the list contradicts the clips."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.builders.dataset.given_pairs import given_donors
from mma_bench.errors import DataError
from mma_bench.pair_list import GivenPair, read_pairs


def clips(**changed: dict[str, object]) -> pl.DataFrame:
    rows = {
        "cat": {"class_name": "Cat"},
        "dog": {"class_name": "Dog"},
        "dog-2": {"class_name": "Dog"},
        "bell": {"class_name": "Bell"},
        "cow": {"class_name": "Cow", "split": "train"},
        "pig": {"class_name": "Pig", "split": "train"},
    }
    return pl.DataFrame(
        [
            {
                "clip_id": name,
                "split": "test",
                "video_id": f"video-{name}",
                "video_duration_s": 10.0,
                "audio_duration_s": 10.0,
                **row,
                **changed.get(name.replace("-", "_"), {}),
            }
            for name, row in rows.items()
        ]
    )


def pair(base: str, donor: str = "", sound: str = "") -> GivenPair:
    return GivenPair(where="pairs.csv, line 2", base_id=base, donor_id=donor, donor_class=sound)


Chosen = tuple[dict[str, list[str]], dict[str, dict[str, int]]]


def donors(*listed: GivenPair, table: pl.DataFrame | None = None, seed: int = 1) -> Chosen:
    chosen, left_out = given_donors(clips() if table is None else table, listed, seed=seed, slack_s=0.1)
    return chosen, {split: dict(counts) for split, counts in left_out.items() if counts}


def test_pairs_are_kept_in_the_order_of_the_list() -> None:
    chosen, left_out = donors(pair("cat", "dog"), pair("cow", "pig"), pair("cat", "bell", "Bell"))
    assert chosen == {"cat": ["dog", "bell"], "cow": ["pig"]}
    assert left_out == {}


def test_a_missing_clip_is_not_replaced() -> None:
    chosen, left_out = donors(pair("cat", "gone", "Dog"), pair("gone", "dog"), pair("dog", "cat"), pair("cow", "gone"))
    assert chosen == {"dog": ["cat"]}
    assert left_out == {"test": {"donor_missing": 1, "base_missing": 1}, "train": {"donor_missing": 1}}


def test_a_pair_of_which_neither_clip_is_there_counts_once_and_in_no_split() -> None:
    _, left_out = donors(pair("cat", "dog"), pair("gone", "lost"), pair("gone", sound="Dog"))
    assert left_out == {"unknown": {"base_missing": 2}}


NAMES = st.sampled_from(["cat", "dog", "bell", "cow", "pig", "gone", "lost"])


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES), unique=True, max_size=12))
def test_each_pair_of_the_list_is_kept_or_counted_once(names: list[tuple[str, str]]) -> None:
    split = dict(clips().select("clip_id", "split").iter_rows())
    listed = [
        pair(base, donor)
        for base, donor in names
        if base != donor and len({split[name] for name in (base, donor) if name in split}) <= 1
    ]
    chosen, left_out = donors(*listed)
    kept = sum(map(len, chosen.values()))
    assert kept + sum(sum(counts.values()) for counts in left_out.values()) == len(listed)


def test_a_class_without_a_donor_gets_one_of_it_whatever_the_order_of_the_clips() -> None:
    chosen, _ = donors(pair("cat", sound="Dog"))
    assert chosen["cat"][0] in ("dog", "dog-2")
    assert chosen == donors(pair("cat", sound="Dog"), table=clips().reverse())[0]
    assert len({donors(pair("cat", sound="Dog"), seed=seed)[0]["cat"][0] for seed in range(20)}) == 2
    both, _ = donors(pair("cat", sound="Dog"), pair("cat", sound="Dog"))
    assert sorted(both["cat"]) == ["dog", "dog-2"]
    assert donors(pair("cat", sound="Owl"))[1] == {"test": {"donor_missing": 1}}


def test_a_donor_that_is_too_short_is_left_out_or_not_chosen() -> None:
    table = clips(dog={"audio_duration_s": 9.85}, dog_2={"audio_duration_s": 9.91})
    assert donors(pair("cat", "dog"), table=table) == ({}, {"test": {"donor_too_short": 1}})
    assert donors(pair("cat", sound="Dog"), table=table)[0] == {"cat": ["dog-2"]}


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ([pair("cat", "cow")], "donor cow is in train, base cat in test"),
        ([pair("dog", "dog-2")], "donor dog-2 has the class of base dog, Dog"),
        ([pair("cat", "dog", "Bell")], "donor dog is Dog here, the list says Bell"),
        ([pair("cat", "dog"), pair("cat", "dog", "Dog")], "donor dog is given twice for cat"),
    ],
)
def test_a_contradiction_is_refused_by_its_line(listed: list[GivenPair], said: str) -> None:
    with pytest.raises(DataError, match=f"pairs.csv, line 2: {said}"):
        donors(*listed)


def test_a_donor_of_the_bases_video_is_refused() -> None:
    with pytest.raises(DataError, match="donor dog is of the same video as base cat"):
        donors(pair("cat", "dog"), table=clips(dog={"video_id": "video-cat"}))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("cat,,", "neither donor_id nor donor_class is given"),
        ("cat,cat,", "cat is its own donor"),
        ("../cat,dog,", "line 2, column 'base_id'"),
    ],
)
def test_a_row_that_is_no_pair_is_refused_by_its_line(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(f"base_id,donor_id,donor_class\n{row}\n")
    with pytest.raises(DataError, match=said):
        read_pairs(path)
