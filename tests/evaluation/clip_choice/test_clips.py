"""Known difficulties and abilities are found, and a planned subset keeps the ranking as often as it says."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import special

from mma_bench.cli import main
from mma_bench.errors import ConfigError
from mma_bench.evaluation.clip_choice.items import Outcomes, item_facts, outcomes_of
from mma_bench.evaluation.clip_choice.rasch import abilities, difficulty
from mma_bench.evaluation.clip_choice.subset import plan_subset
from mma_bench.evaluation.predictions import Prediction
from tests.evaluation.runs import prediction, write_run


def outcomes(right: np.ndarray) -> Outcomes:
    """Of [runs, clips], one question each."""
    names = [f"clip{number:03}" for number in range(right.shape[1])]
    return Outcomes([(f"{name}.misaligned", "audio") for name in names], names, names, right.astype(float))


def drawn(of_runs: np.ndarray, of_items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Answers of the Rasch model."""
    return (rng.random((len(of_runs), len(of_items))) < special.expit(of_runs[:, None] - of_items)).astype(float)


def test_known_abilities_and_difficulties_are_found() -> None:
    rng = np.random.default_rng(0)
    of_runs, of_items = np.linspace(-1.5, 1.5, 40), rng.normal(size=1500)
    right = drawn(of_runs, of_items, rng)
    assert abilities(right) == pytest.approx(of_runs, abs=0.25)
    facts = item_facts(outcomes(right))
    found = np.array([np.nan if fact.difficulty is None else fact.difficulty for fact in facts])
    known = ~np.isnan(found)
    errors = np.array([fact.standard_error for fact in facts], float)[known]
    assert np.mean(np.abs(found[known] - of_items[known]) < 1.96 * errors) > 0.9


def test_a_difficulty_needs_a_run_that_is_right_and_one_that_is_wrong() -> None:
    of_runs = np.array([-1.0, 0.0, 1.0])
    assert difficulty(0, of_runs) == difficulty(3, of_runs) == (None, None)
    easy, hard = difficulty(2, of_runs)[0], difficulty(1, of_runs)[0]
    assert easy is not None
    assert hard is not None
    assert easy < 0 < hard


def test_runs_that_are_always_right_or_wrong_are_no_obstacle() -> None:
    right = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]])
    assert abilities(right)[0] == np.inf
    assert abilities(right)[3] == -np.inf
    assert len(item_facts(outcomes(right))) == 4


def test_an_item_that_good_runs_get_wrong_stands_out() -> None:
    rng = np.random.default_rng(1)
    right = drawn(np.linspace(-2, 2, 12), rng.normal(size=200), rng)
    right[:, 0] = np.linspace(-2, 2, 12) < 0
    first, *others = item_facts(outcomes(right))
    assert first.item_rest is not None
    assert first.item_rest < -0.6 < np.mean([fact.item_rest for fact in others if fact.item_rest is not None])


@pytest.mark.parametrize("certainty", [0.8, 0.95])
def test_fresh_runs_of_the_same_models_keep_the_ranking_as_often_as_stated(certainty: float) -> None:
    """Each draw plans on one run of each model and looks whether another one keeps the order on the subset."""
    rng = np.random.default_rng(2)
    of_items = rng.normal(size=400)
    of_runs = np.array([-0.8, 0.0, 0.9])
    kept, sizes = [], []
    for seed in range(150):
        plan = plan_subset(outcomes(drawn(of_runs, of_items, rng)), certainty, seed)
        if not plan.clips:
            continue
        places = [int(name.removeprefix("clip")) for name in plan.clips]
        fresh = drawn(of_runs, of_items, rng)[:, places].mean(axis=1)
        kept.append(all(fresh[better] > fresh[worse] for better, worse in plan.pairs))
        sizes.append(len(places))
    assert len(kept) > 100
    assert np.mean(kept) > certainty - 0.04
    assert np.median(sizes) < 250


def test_runs_that_are_alike_are_ties_and_need_no_subset() -> None:
    right = drawn(np.zeros(2), np.zeros(100), np.random.default_rng(3))
    plan = plan_subset(outcomes(right), 0.95)
    assert (plan.clips, plan.pairs, plan.ties) == ([], [], [(0, 1)])


def test_a_certainty_that_all_clips_do_not_give_has_no_subset() -> None:
    right = np.array([[1] * 40, [1] * 30 + [0] * 10])
    plan = plan_subset(outcomes(right), 0.9999999)
    assert plan.clips == []
    assert 0.9 < plan.certainty < 0.9999999


def _run(skill: float, fingerprint: str = "f") -> list[Prediction]:
    rng = np.random.default_rng(4)
    return [
        prediction(f"clip{number:03}", "misaligned", question, answer, dataset_fingerprint=fingerprint)
        for number in range(200)
        for question in ("visual", "audio")
        for answer in ["Bird" if rng.random() < skill else "Rain"]
    ]


def test_the_command_writes_every_clip_and_marks_the_subset(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, _run(skill)) for name, skill in (("one", 0.4), ("two", 0.8))]
    done = CliRunner().invoke(main, ["clips", *map(str, runs), "--out", str(tmp_path / "clips.csv")])
    assert done.exit_code == 0, done.output
    assert "2 runs: the difficulty of a single clip is uncertain" in done.output
    lines = (tmp_path / "clips.csv").read_text().splitlines()
    assert len(lines) == 401
    assert lines[0] == "id,question,base_id,right,difficulty,standard_error,item_rest,subset"
    chosen = {line.split(",")[2] for line in lines[1:] if line.endswith(",1")}
    assert f"{len(chosen)} of 200 clips" in done.output


def test_runs_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ConfigError, match="one run"):
        outcomes_of({"one": _run(0.5)}, "forced_choice", "misaligned")
    with pytest.raises(ConfigError, match="different data"):
        outcomes_of({"one": _run(0.5), "two": _run(0.5, "g")}, "forced_choice", "misaligned")
    with pytest.raises(ConfigError, match="no clip"):
        outcomes_of({"one": _run(0.5), "two": _run(0.5)}, "forced_choice", "aligned")
