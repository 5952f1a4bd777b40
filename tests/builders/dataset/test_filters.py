"""Which clips cannot be in one dataset: a twin in the other split, no donor. Twins in plain Python decide the same."""

from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.builders.dataset.filters import leaks, without_donors


def clip(clip_id: str, split: str = "test", **others: Any) -> dict[str, Any]:
    row = {"clip_id": clip_id, "split": split, "class_name": clip_id[0], "video_id": f"video of {clip_id}"}
    row |= {"video_sha256": f"picture of {clip_id}", "audio_sha256": f"sound of {clip_id}", "phash": "0" * 16}
    row |= {"source_sha256": f"file of {clip_id}"}
    return row | {"video_duration_s": 10.0, "audio_duration_s": 10.0} | others


def far(number: int) -> str:
    """Hashes at least 8 bits apart."""
    return f"{0xFF << 8 * number:016x}"


def test_of_two_clips_that_share_something_the_train_clip_goes() -> None:
    clips = [
        clip("a", phash=far(0), video_id="v", video_sha256="p", audio_sha256="s", source_sha256="f"),
        *(clip(name, "train", phash=far(number + 1)) for number, name in enumerate("bcdef")),
    ]
    shared = {
        "b": ("video_id", "v"),
        "c": ("video_sha256", "p"),
        "d": ("audio_sha256", "s"),
        "e": ("source_sha256", "f"),
    }
    for name, (column, value) in shared.items():
        next(row for row in clips if row["clip_id"] == name)[column] = value
    assert leaks(pl.DataFrame(clips), 6) == {
        "b": ("same_video", "a"),
        "c": ("same_picture", "a"),
        "d": ("same_sound", "a"),
        "e": ("same_file", "a"),
    }
    assert leaks(pl.DataFrame([row | {"split": "train"} for row in clips]), 6) == {}, "shared within a split"


def test_near_duplicates_are_those_within_the_bits() -> None:
    clips = [clip("a"), clip("b", phash=far(1)), clip("c", "train", phash="000000000000003f")]
    assert leaks(pl.DataFrame(clips), 6) == {"c": ("near_duplicate", "a")}
    assert leaks(pl.DataFrame(clips), 5) == {}


PICTURES = st.lists(st.tuples(st.sampled_from(["test", "train"]), st.integers(0, 255)), min_size=1, max_size=20)


@given(PICTURES, st.integers(0, 12))
@settings(deadline=None, max_examples=60)
def test_a_near_duplicate_is_told_with_the_nearest_test_clip(drawn: list[tuple[str, int]], bits: int) -> None:
    """Of equally near ones, with the first."""
    words = {f"clip{number:02}": (split, word << 56 | word) for number, (split, word) in enumerate(drawn)}
    clips = [clip(name, split, phash=f"{word:016x}") for name, (split, word) in words.items()]
    expected = {}
    for name, (split, word) in words.items():
        near = [((word ^ other).bit_count(), test) for test, (there, other) in words.items() if there == "test"]
        if split == "train" and near and min(near)[0] <= bits:
            expected[name] = ("near_duplicate", min(near)[1])
    assert leaks(pl.DataFrame(clips), bits) == expected


CLIPS = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(0, 4), st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=9
)


@given(CLIPS, st.integers(0, 2))
@settings(deadline=None, max_examples=200)
def test_every_clip_that_is_left_has_its_donors_and_no_other_was_dropped(
    drawn: list[tuple[str, int, int, int]], needed: int
) -> None:
    rows = [
        clip(f"{name}{number}", class_name=name, video_id=str(video), video_duration_s=seen, audio_duration_s=heard)
        for number, (name, video, seen, heard) in enumerate(drawn)
    ]

    def classes(base: dict[str, Any], among: list[dict[str, Any]]) -> int:
        return len(
            {
                donor["class_name"]
                for donor in among
                if donor["class_name"] != base["class_name"]
                and donor["video_id"] != base["video_id"]
                and donor["audio_duration_s"] >= base["video_duration_s"] - 0.5
            }
        )

    left = rows
    while len({row["class_name"] for row in left}) > needed:
        good = [row for row in left if classes(row, left) >= needed]
        if good == left:
            break
        left = good
    found = without_donors(pl.DataFrame(rows), {"test": needed}, 0.5)
    assert sorted({row["clip_id"] for row in rows} - set(found)) == sorted(row["clip_id"] for row in left)
