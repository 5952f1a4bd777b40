"""The leaderboard: order, comparability, corrected comparisons, and a page that fits."""

from dataclasses import replace
from pathlib import Path

import pytest

from mma_bench.errors import DataError
from mma_bench.evaluation import formats, leaderboard, model_figures, score
from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.leaderboard import comparisons, summarise
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.published import published_rows
from mma_bench.evaluation.ranking import Run, comparable, order, unranked
from mma_bench.schema import ABSENT, MODALITIES, STEPPED
from mma_bench.stats import format_estimate, holm, paired
from mma_bench.tables import read_json
from tests.browser import faults
from tests.evaluation.pages import CHROMIUM, Page, clicked
from tests.evaluation.runs import answers, prediction, write_predictions

OTHER = "0" * 64
STEP = {
    str(condition): {"manipulation": names[0], "level": None if condition in ABSENT else 1.0}
    for condition, names in STEPPED.items()
}


def _hears(share: float, clips: int = 10, **others: str) -> list[Prediction]:
    """Right about the picture always, and about the sound in a share of the misaligned clips."""
    return [
        prediction(f"c{i}", "misaligned", question, answer, heard="Cat", **others)
        for i in range(clips)
        for question, answer in (("visual", "Bird"), ("audio", "Cat" if i < share * clips else "Bird"))
    ]


def test_who_is_right_with_both_senses_comes_first_and_one_without_a_number_last() -> None:
    runs = [
        Run.of("none", [prediction()]),
        Run.of("hears", [replace(row, answer="Cat") for row in _hears(1.0)]),
        Run.of("half", _hears(0.5)),
        Run.of("best", _hears(0.9)),
        Run.of("thinks", _hears(1.0, protocol="chain_of_thought")),
    ]
    assert [run.folder for run in order(runs, "forced_choice")] == ["best", "half", "hears", "none"]
    assert [run.folder for run in order(runs, "chain_of_thought")] == ["thinks"]


def test_a_run_that_lacks_answers_is_neither_ranked_nor_compared() -> None:
    best = _hears(1.0)
    failed = [replace(row, status="failed", answer=None) if i == 0 else row for i, row in enumerate(best)]
    runs = [Run.of("half", _hears(0.5)), Run.of("zero", _hears(0.0)), Run.of("fails", failed), Run.of("few", best[:4])]
    assert unranked(runs) == {"fails": "incomplete", "few": "incomplete"}
    board = summarise(runs)
    assert {row["run"]: row["rank"] for row in board["runs"]} == {
        "half": {"forced_choice": 1},
        "zero": {"forced_choice": 2},
        "fails": {},
        "few": {},
    }
    assert {(row["first"], row["second"]) for row in board["pairs"]} == {("half", "zero")}


def test_a_run_on_other_data_or_prompts_is_not_comparable() -> None:
    runs = [
        Run.of("a", _hears(0.5)),
        Run.of("b", [*_hears(0.7), prediction()]),  # one condition more is not an obstacle
        Run.of("data", _hears(0.9, dataset_fingerprint=OTHER)),
        Run.of("prompts", _hears(0.9, prompt_version="2")),
        Run.of("order", [replace(row, settings={"option_order": "shuffled"}) for row in _hears(0.9)]),
    ]
    assert [run.folder for run in comparable(runs)] == ["a", "b"]
    assert [run.folder for run in comparable(runs[::-1])] == ["b", "a"]


def test_pairs_are_corrected_over_the_whole_page() -> None:
    runs = [Run.of(name, _hears(share)) for name, share in (("a", 0.0), ("b", 0.8), ("c", 1.0))]
    rows = [row for row in comparisons(runs) if row["question"] == "audio"]
    assert [(row["first"], row["second"]) for row in rows] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [row["difference"] for row in rows] == pytest.approx([0.8, 1.0, 0.2])
    changed = [8, 10, 2]
    due = [paired([1.0] * n + [0.0] * (10 - n), [list(range(10))]).p for n in changed]
    assert [row["p"] for row in rows] == pytest.approx(due)
    assert len(comparisons(runs)) == 9  # three pairs: visual, audio, both
    assert [row["p_holm"] for row in comparisons(runs)] == pytest.approx(holm([row["p"] for row in comparisons(runs)]))


def test_a_real_difference_is_found_among_many_runs() -> None:
    runs = [Run.of(f"run{i}", _hears(0.5, 100, model=f"m{i}")) for i in range(8)] + [Run.of("better", _hears(0.8, 100))]
    found = [row for row in comparisons(runs) if row["question"] == "audio"]
    assert len(found) == 36
    for row in found:
        assert (row["p_holm"] < 0.001) == ("better" in (row["first"], row["second"]))


def test_the_pages_hold_the_runs_numbers(tmp_path: Path) -> None:
    runs = {"one": _hears(0.8), "two/deep": _hears(0.3), "foreign": _hears(0.9, dataset_fingerprint=OTHER)}
    for name, rows in runs.items():
        write_predictions(tmp_path / name / "predictions.jsonl", rows)
    leaderboard.main(tmp_path)
    page = Page((tmp_path / "leaderboard.html").read_text())
    text = (tmp_path / "leaderboard.md").read_text()
    board = read_json(tmp_path / "leaderboard.json")
    for rows, listed in zip((runs[row["run"]] for row in board["runs"]), board["runs"], strict=True):
        assert listed["accuracy"] == score.accuracy(rows)
        assert listed["headline"] == score.score(rows)["headline"]
        for cell in (*listed["accuracy"], *listed["headline"]):
            assert format_estimate(cell) in page.text
            assert format_estimate(cell) in text
    lines = [line.split("|")[1:3] for line in text.splitlines() if "| tiny |" in line]
    assert [[part.strip() for part in line] for line in lines[:3]] == [
        ["1", "one"],
        ["2", "two/deep"],
        ["–", "foreign (other data: not ranked)"],
    ]
    rows = comparisons([Run.of("one", runs["one"]), Run.of("two/deep", runs["two/deep"])])
    assert board["pairs"] == rows
    for row in rows:
        assert {"difference", "low", "high", "p", "p_holm"} <= row.keys()
        assert formats.points(row) in page.text
        assert formats.points(row) in text
    assert "two/deep against one" in page.text
    assert "foreign against" not in page.text
    assert page.text.count("other data: not ranked") == 2
    assert "The paper’s own results" in page.text
    assert sum(row["model"] in page.text for row in published_rows()) == len(published_rows()) >= 8
    assert board["figures"] == model_figures.figure_rows(board["runs"])
    assert list(dict.fromkeys(row["run"] for row in board["figures"])) == ["foreign", "one", "two/deep"]
    charts = [element["aria-label"] for element in page.elements["svg"]]
    drawn = [f"Conflicting video and audio, {question} question, forced_choice" for question in ("visual", "audio")]
    assert charts == ["Misaligned clips, forced_choice", *drawn]
    assert page.text.count("The paper’s Figures 6 and 21.") == 2
    assert page.text.count("(other data)") == 2  # marked in either chart


@pytest.mark.parametrize("status", ["unsupported", "refused"])
def test_what_a_model_cannot_take_or_refuses_stands_in_its_cell(status: str, tmp_path: Path) -> None:
    rows = [*_hears(0.8), prediction("z", "long_context", "visual", status=status, error="too long")]
    write_predictions(tmp_path / "one" / "predictions.jsonl", rows)
    leaderboard.main(tmp_path)
    assert f"1 {status}" in Page((tmp_path / "leaderboard.html").read_text()).text
    assert f"(1 {status})" in (tmp_path / "leaderboard.md").read_text()


def test_names_are_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>|"
    write_predictions(tmp_path / "<b>run" / "predictions.jsonl", _hears(0.5, model=hostile))
    write_predictions(tmp_path / "x" / "predictions.jsonl", _hears(0.5, model=hostile))
    leaderboard.main(tmp_path)
    html = (tmp_path / "leaderboard.html").read_text()
    assert Page(html).unsafe == ["<script>"]  # the page's own, which sorts
    assert html.count("<script") == 1
    assert "<b>run" not in html
    assert "&lt;b&gt;run" in html
    assert "<script>" not in (tmp_path / "leaderboard.md").read_text()


def test_no_runs_and_broken_runs_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing is not a folder"):
        leaderboard.main(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"no predictions\.jsonl below"):
        leaderboard.main(tmp_path)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "predictions.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"bad/predictions\.jsonl, line 1"):
        leaderboard.main(tmp_path)


@pytest.mark.parametrize("left", ["", '{"key": "cut'])
def test_a_run_without_an_answer_is_named_and_hides_no_other(tmp_path: Path, left: str) -> None:
    """It was refused or stopped before its first answer, or has only just begun."""
    (tmp_path / "down").mkdir()
    (tmp_path / "down" / "predictions.jsonl").write_text(left)
    with pytest.raises(DataError, match=r"no run below .* has answered anything yet: down"):
        leaderboard.main(tmp_path)
    write_predictions(tmp_path / "good" / "predictions.jsonl", _hears(0.5))
    board = leaderboard.main(tmp_path)
    assert [run["run"] for run in board["runs"]] == ["good"]
    assert board["without_answers"] == ["down"]
    assert "Without an answer so far: down" in Page((tmp_path / "leaderboard.html").read_text()).text
    assert "Without an answer so far: down." in (tmp_path / "leaderboard.md").read_text()
    assert [row[:2] for row in leaderboard.summary_rows(board)] == [("good", "1"), ("down", "no answers")]


def test_every_run_is_in_the_terminal_also_one_that_was_not_asked_about_conflict(tmp_path: Path) -> None:
    write_predictions(tmp_path / "good" / "predictions.jsonl", _hears(0.5))
    aligned = [prediction("c0", "aligned", question, "Bird") for question in MODALITIES]
    write_predictions(tmp_path / "part" / "predictions.jsonl", aligned)
    rows = leaderboard.summary_rows(leaderboard.main(tmp_path))
    assert {row[0] for row in rows} == {"good", "part"}


def test_a_trial_run_whose_prompts_failed_is_marked_as_what_is_worse() -> None:
    rows = _hears(0.5)
    failed = [replace(rows[0], status="failed", answer=None, raw=None, error="no server"), *rows[1:]]
    runs = [Run.of(name, given, {"limit": 5}) for name, given in (("trial", rows), ("failed trial", failed))]
    assert unranked(runs) == {"trial": "limited", "failed trial": "incomplete"}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("runs", [1, 9])
def test_it_fits_in_a_browser(tmp_path: Path, runs: int) -> None:
    for seed, name in zip(
        range(runs), ("run-with-a-rather-long-folder-name-and-more-of-it", *"bcdefghi"), strict=False
    ):
        write_predictions(tmp_path / name / "predictions.jsonl", answers(8, seed, model="owner/" + "long-name-" * 8))
    leaderboard.main(tmp_path)
    assert faults(tmp_path / "leaderboard.html") == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_all_conditions_fit_in_a_browser(tmp_path: Path) -> None:
    """Those beyond the paper too, whose intervals are as wide as can be."""
    for name in ("one", "two"):
        rows = [
            prediction(f"c{i}", condition, question, heard="Cat", **STEP.get(condition, {}))
            for condition in CONDITIONS
            for question in MODALITIES
            for i in range(2)
        ]
        write_predictions(tmp_path / name / "predictions.jsonl", rows)
    leaderboard.main(tmp_path)
    page = Page((tmp_path / "leaderboard.html").read_text())
    assert page.text.index("The paper’s conditions") < page.text.index("Beyond the paper")
    assert faults(tmp_path / "leaderboard.html") == []


def test_questions_about_neither_sense_have_no_colour_of_a_sense_and_empty_comparisons_are_left_out(
    tmp_path: Path,
) -> None:
    for name in ("one", "two"):
        withheld = [prediction(f"c{i}", "no_clip", status="unsupported", error="needs a clip") for i in range(3)]
        write_predictions(tmp_path / name / "predictions.jsonl", [*_hears(0.5), *withheld])
    leaderboard.main(tmp_path)
    html = (tmp_path / "leaderboard.html").read_text()
    pairwise = html[html.index('id="pairs"') :]
    assert '<td class="">both</td>' in pairwise
    assert "no clip" not in pairwise
    assert "no clip" not in (tmp_path / "leaderboard.md").read_text().partition("## Pairwise")[2]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_click_on_a_heading_sorts_and_unranked_runs_stay_below(tmp_path: Path) -> None:
    for name, share in (("a", 0.2), ("b", 0.9), ("c", 0.5)):
        write_predictions(tmp_path / name / "predictions.jsonl", _hears(share))
    write_predictions(tmp_path / "foreign" / "predictions.jsonl", _hears(1.0, dataset_fingerprint=OTHER))
    leaderboard.main(tmp_path)
    assert clicked(tmp_path / "leaderboard.html", "th button", 3, "tbody th.model") == ["b", "c", "a", "foreign"]
