"""What the base model learns from: every answer is true of its clip, and no question about a class has a conflict."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.prompts import forced_choice
from mma_bench.training.miniature.lessons import CLASS_ASKED, KINDS, LEVEL_ASKED, Kind, Lessons, drawn
from mma_bench.training.miniature.world import CLASSES

LESSONS = Lessons(3, whole=2, blanked=1, conflicts=7)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_true_of_the_clips(kind: Kind) -> None:
    rows = LESSONS.rows(kind)
    assert {row["id"] for row in rows} <= set(LESSONS.clips())
    assert len({row["example_id"] for row in rows}) == len(rows)
    for row in rows:
        clip = LESSONS.clip(row["id"])
        assert clip.seen == clip.heard
        asked = {row["prompt"]}
        if kind == "levels":
            right = {LEVEL_ASKED["visual"]: clip.brightness, LEVEL_ASKED["audio"]: clip.loudness}
            assert row["answer"] == right[row["prompt"]]
            continue
        assert row["answer"] == clip.seen
        assert asked <= {forced_choice("visual", CLASSES), forced_choice("audio", CLASSES)}
        # A sense that is taken away is never asked about.
        assert clip.frames.any() or asked == {forced_choice("audio", CLASSES)}
        assert clip.sound.any() or asked == {forced_choice("visual", CLASSES)}


def test_each_kind_has_the_state_it_is_called_after() -> None:
    states = {kind: LESSONS.clip(LESSONS.rows(kind)[0]["id"]) for kind in KINDS}
    heard = {kind: LESSONS.task(LESSONS.rows(kind)[0]["id"]).hears for kind in KINDS}
    assert [kind for kind in KINDS if not states[kind].frames.any()] == ["black"]
    assert [kind for kind in KINDS if not states[kind].sound.any()] == ["silent", "soundless"]
    assert [kind for kind in KINDS if not heard[kind]] == ["soundless"]


@pytest.mark.slow
def test_a_conflict_asks_each_sense_for_its_own_class_with_every_other_one_as_often() -> None:
    rows = LESSONS.rows("conflict")
    pairs = Counter()
    for row in rows:
        clip = LESSONS.clip(row["id"])
        assert row["answer"] == {CLASS_ASKED["visual"]: clip.seen, CLASS_ASKED["audio"]: clip.heard}[row["prompt"]]
        pairs[clip.seen, clip.heard] += 1
    assert pairs == {(one, other): 2 for one in CLASSES for other in CLASSES if one != other}
    task = LESSONS.task("Bird.conflict.0")
    assert (task.visual_class, task.audio_class, task.hears) == ("Bird", LESSONS.clip("Bird.conflict.0").heard, True)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_no_two_clips_of_any_seeds_are_alike(seed: int) -> None:
    these, others = (Lessons(number, whole=1, blanked=1, conflicts=1) for number in (seed, seed + 1))
    pictures = [
        lessons.clip(f"Bird.{state}.0").frames.tobytes()
        for lessons in (these, others)
        for state in ("whole", "silent", "conflict")
    ]
    assert len(set(pictures)) == len(pictures)


def test_too_many_clips_would_reach_into_the_next_class() -> None:
    with pytest.raises(ValueError, match="at most 10000 clips"):
        Lessons(0, whole=10_000, blanked=1, conflicts=0)


def test_rows_are_drawn_by_share_and_alike_for_a_seed() -> None:
    pools: dict[Kind, range] = {"aligned": range(4), "black": range(4, 6), "levels": range(6, 9)}
    shares: dict[Kind, float] = {"aligned": 3.0, "black": 1.0, "levels": 0.0}
    first, again, other = (list(islice(drawn(pools, shares, seed), 4000)) for seed in (1, 1, 2))
    assert first == again != other
    counts = Counter(first)
    assert set(counts) == set(range(6))
    assert sum(counts[index] for index in range(4)) == pytest.approx(3000, abs=100)
    assert np.array([counts[index] for index in range(4)]).min() > 600
