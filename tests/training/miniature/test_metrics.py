"""The miniature's numbers: means over seeds, honest intervals, and bars that are computed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mma_bench.errors import DataError
from mma_bench.evaluation.predictions import to_entry
from mma_bench.executor.ledger import Ledger
from mma_bench.tables import read_json
from mma_bench.training.miniature import metrics
from mma_bench.training.miniature.metrics import QUESTIONS, STATES, answers_of, bars, cell, run_folder
from tests.evaluation.runs import prediction
from tests.training.miniature.raised import CONDITIONS, run, runs

ANSWERS = st.integers(1, 4).flatmap(
    lambda seeds: st.integers(1, 30).flatmap(
        lambda clips: st.lists(
            st.lists(st.sampled_from([0.0, 1.0]), min_size=clips, max_size=clips), min_size=seeds, max_size=seeds
        )
    )
)


@given(rows=ANSWERS)
@settings(max_examples=25, deadline=None)
def test_the_interval_holds_the_mean_and_is_no_narrower_than_that_of_one_seeds_clips(rows: list[list[float]]) -> None:
    answers = np.array(rows)
    found = cell(answers)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.mean == pytest.approx(np.mean(found.seeds))
    assert found.seeds == [pytest.approx(np.mean(row)) for row in rows]
    hits, clips = found.mean * answers.shape[1], answers.shape[1]
    exact = stats.binomtest(int(np.floor(hits + 1e-9)), clips).proportion_ci(method="exact")
    assert found.low <= exact.low + 1e-9 or hits != pytest.approx(round(hits))
    assert found.high - found.low > 0


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_all_agree_the_interval_is_the_exact_one(value: float) -> None:
    found = cell(np.full((3, 96), value))
    exact = stats.binomtest(int(96 * value), 96).proportion_ci(method="exact")
    assert (found.low, found.high) == (pytest.approx(exact.low), pytest.approx(exact.high))


def test_seeds_that_disagree_widen_the_interval() -> None:
    clips = np.arange(96) % 10 < 6
    alike = np.stack([clips] * 3).astype(float)
    apart = np.stack([np.ones(96), clips, np.arange(96) % 10 < 2]).astype(float)
    assert apart.mean() == pytest.approx(alike.mean(), abs=0.02)
    one, other = cell(alike), cell(apart)
    assert other.high - other.low > 2 * (one.high - one.low)


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Clips differ in how hard they are, seeds do not: the case in which the clips alone decide."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(120):
        hardness = rng.beta(4, 2, 60)
        answers = (rng.random((3, 60)) < hardness).astype(float)
        found = cell(answers)
        covered += found.low <= 4 / 6 <= found.high
    assert covered >= 0.93 * 120


def test_an_answer_that_names_no_class_is_wrong() -> None:
    rows = [prediction("a", answer="Bird"), prediction("b", answer=None, status="unparseable")]
    assert answers_of([rows])["aligned", "visual"].tolist() == [[1.0, 0.0]]


def test_a_failed_prompt_is_an_error_and_not_a_wrong_answer() -> None:
    with pytest.raises(DataError, match=r"b\.aligned.*HTTP 500"):
        answers_of([[prediction("a"), prediction("b", status="failed")]])


def test_seeds_that_were_asked_other_clips_are_not_averaged() -> None:
    with pytest.raises(DataError, match="run 2 has different clips"):
        answers_of([[prediction("a")], [prediction("b")]])


def _tree(**changed: float) -> dict[str, Any]:
    """Metrics that meet all bars exactly, but for `<state>_<condition>_<question>`."""
    due = {
        ("base", "aligned"): 0.95,
        ("base", "misaligned"): 0.60,
        ("tuned", "misaligned"): 0.90,
        ("tuned", "aligned"): 0.95,
        ("aligned_only", "misaligned"): 0.70,
    }
    tree: dict[str, Any] = {}
    for (state, condition), mean in due.items():
        tree.setdefault(state, {})[condition] = {
            question: {"mean": changed.get(f"{state}_{condition}_{question}", mean)} for question in QUESTIONS
        }
    return tree


def test_what_lies_on_a_bar_meets_it() -> None:
    found = bars(_tree())
    assert len(found) == 10
    assert all(bar.met for bar in found)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_aligned_audio", 0.949),
        ("base_misaligned_visual", 0.601),
        ("tuned_misaligned_audio", 0.899),
        ("tuned_aligned_visual", 0.949),
        ("aligned_only_misaligned_audio", 0.701),
        ("aligned_only_misaligned_visual", 0.499),
    ],
)
def test_what_misses_a_bar_by_little_does_not_meet_it(key: str, value: float) -> None:
    missed = [bar for bar in bars(_tree(**{key: value})) if not bar.met]
    assert [bar.question for bar in missed] == [key.rpartition("_")[2]]


def test_metrics_hold_every_state_condition_and_question(tmp_path: Path) -> None:
    for state, of_seeds in runs(clips=8).items():
        for seed, rows in enumerate(of_seeds):
            folder = run_folder(tmp_path, seed, state)
            folder.mkdir(parents=True)
            with Ledger(folder / "predictions.jsonl") as ledger:
                for row in rows:
                    ledger.append(to_entry(row))
    metrics.main(tmp_path, (0, 1, 2), tmp_path / "metrics.json")
    tree = read_json(tmp_path / "metrics.json")
    assert list(tree) == list(STATES)
    for state in STATES:
        assert list(tree[state]) == list(CONDITIONS)  # in the paper's order
        for condition in CONDITIONS:
            for question in QUESTIONS:
                found = tree[state][condition][question]
                assert list(found) == ["mean", "low", "high", "seeds"]
                assert len(found["seeds"]) == 3
    right = [row for row in run("base", 1, clips=8) if (row.condition, row.question) == ("misaligned", "audio")]
    share = sum(row.answer == row.expected for row in right) / len(right)
    assert tree["base"]["misaligned"]["audio"]["seeds"][1] == pytest.approx(share)


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="seed-0/answers/base"):
        metrics.main(tmp_path, (0,), tmp_path / "metrics.json")
    assert not (tmp_path / "metrics.json").exists()


def test_answers_can_be_counted_by_another_rule() -> None:
    rows = [replace(row, answer=row.other) if row.other else row for row in run("base", 0, clips=4)]
    followed = answers_of([rows], lambda row: row.answer is not None and row.answer == row.other)
    assert followed["misaligned", "visual"].all()
    assert not followed["aligned", "visual"].any()
