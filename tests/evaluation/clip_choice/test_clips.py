"""Known difficulties and abilities are found, and a planned subset keeps the ranking as often as it says."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import special

from mma_bench.cli import main
from mma_bench.errors import ConfigError
from mma_bench.evaluation.chosen_clips import Subset, read_clips
from mma_bench.evaluation.clip_choice.items import Outcomes, item_facts, outcomes_of
from mma_bench.evaluation.clip_choice.page import page
from mma_bench.evaluation.clip_choice.rasch import abilities, difficulty
from mma_bench.evaluation.clip_choice.subset import certainty_text, plan_subset
from mma_bench.evaluation.predictions import Prediction
from tests.browser import CHROMIUM, faults
from tests.evaluation.runs import prediction, write_run


def outcomes(right: np.ndarray) -> Outcomes:
    """Of [runs, clips], one question each."""
    names = [f"clip{number:03}" for number in range(right.shape[1])]
    return Outcomes([(f"{name}.misaligned", "audio") for name in names], names, names, right.astype(float))


def drawn(of_runs: np.ndarray, of_items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Answers of the Rasch model."""
    return (rng.random((len(of_runs), len(of_items))) < special.expit(of_runs[:, None] - of_items)).astype(float)


def made(right: np.ndarray, certainty: float = 0.95, long: str = "") -> str:
    """The page of [runs, clips], both questions alternating."""
    found = outcomes(right)
    items = [(row_id, ("audio", "visual")[number % 2]) for number, (row_id, _) in enumerate(found.items)]
    found = replace(found, items=items)
    rows = [prediction(base, "misaligned", seen="Bowed_string_instrument") for base in found.bases]
    runs = {f"{long}run{number}": rows for number in range(len(right))}
    facts, plan = item_facts(found), plan_subset(found, certainty)
    return page(runs, found, facts, plan, heading="forced choice, misaligned", file="clips.csv")


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


def test_the_command_ends_with_the_page_and_how_to_ask_about_the_subset(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "runs" / name, _run(skill)) for name, skill in (("one", 0.4), ("two", 0.8))]
    out = tmp_path / "clips.csv"
    done = CliRunner().invoke(main, ["clips", *map(str, runs), "--out", str(out)])
    assert f"page: {tmp_path / 'clips.html'}\n" in done.output
    then = f"next: mma-bench evaluate --model MODEL --clips {out} --out {tmp_path / 'runs' / 'MODEL'}\n"
    assert done.output.endswith(then)
    html = (tmp_path / "clips.html").read_text()
    chosen = read_clips(out)  # what `evaluate --clips` reads
    assert f"On {len(chosen)} of the 200 clips, fresh runs" in html
    assert f"(digest {Subset.of(chosen).digest})" in html
    assert "2 runs: the difficulty of a single clip is uncertain" in html


@pytest.mark.parametrize(
    ("certainty", "text"),
    [
        (0.95, "95.0 %"),
        (0.9599, "95.9 %"),
        (0.9, "90.0 %"),
        (0.999, "99.9 %"),
        (0.9996, "more than 99.9 %"),
        (1.0, "more than 99.9 %"),
    ],
)
def test_a_certainty_is_never_rounded_up(certainty: float, text: str) -> None:
    assert certainty_text(certainty) == text


def test_the_page_is_not_written_over_the_table(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, _run(skill)) for name, skill in (("one", 0.4), ("two", 0.8))]
    done = CliRunner().invoke(main, ["clips", *map(str, runs), "--out", str(tmp_path / "clips.html")])
    assert done.exit_code == 2
    assert "--out must end in .csv" in done.output
    assert not (tmp_path / "clips.html").exists()


def test_the_page_names_what_everybody_or_nobody_gets_right_and_what_better_runs_get_wrong() -> None:
    html = made(np.array([[1, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 0, 0]]))
    parts = {name: part.split("<h2")[0] for part in html.split("<h2 ")[1:] for name in [part.split('"')[1]]}
    assert re.findall(r'<th scope="row">(\w+)\.', parts["nobody"]) == ["clip001"]
    assert re.findall(r'<th scope="row">(\w+)\.', parts["everybody"]) == ["clip000"]
    assert re.findall(r'<th scope="row">(\w+)\.', parts["doubtful"]) == ["clip002"]
    assert len(re.findall(r'<th scope="row">clip', parts["all"])) == 6
    assert "There is none: the 6 clips tell no two of the runs apart." in parts["subset"]
    assert "not told apart" in parts["runs"]
    assert "Bowed string" in parts["all"]


def test_a_page_without_a_sufficient_subset_says_how_certain_all_clips_are() -> None:
    html = made(np.array([[1] * 40, [1] * 30 + [0] * 10]), certainty=0.9999999)
    assert re.search(r"even fresh runs on all 40 clips keep the order with a certainty of 9\d\.\d % only", html)
    assert "--clips clips.csv" not in html


def test_with_enough_runs_there_is_no_warning() -> None:
    right = drawn(np.linspace(-2, 2, 30), np.linspace(-2, 2, 20), np.random.default_rng(5))
    assert "Read groups of clips" in made(right[:29])
    assert "Read groups of clips" not in made(right)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_fits_in_a_browser(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    for name, runs in (("few", 2), ("many", 33)):
        right = drawn(np.linspace(-1.5, 1.5, runs), rng.normal(size=150), rng)
        (tmp_path / f"{name}.html").write_text(made(right, long="a-long-name-of-a-folder/" * 4))
        assert faults(tmp_path / f"{name}.html") == []


def test_runs_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ConfigError, match="one run"):
        outcomes_of({"one": _run(0.5)}, "forced_choice", "misaligned")
    with pytest.raises(ConfigError, match="different data"):
        outcomes_of({"one": _run(0.5), "two": _run(0.5, "g")}, "forced_choice", "misaligned")
    with pytest.raises(ConfigError, match="no clip"):
        outcomes_of({"one": _run(0.5), "two": _run(0.5)}, "forced_choice", "aligned")
