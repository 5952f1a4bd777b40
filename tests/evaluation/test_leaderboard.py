"""The leaderboard: order, comparability, corrected comparisons, and a page that fits."""

from pathlib import Path

import pytest

from mma_bench.errors import DataError
from mma_bench.evaluation import leaderboard, report, score
from mma_bench.evaluation.leaderboard import Run, comparable, comparisons, order
from mma_bench.evaluation.predictions import Prediction
from mma_bench.stats import holm
from tests.evaluation.pages import CHROMIUM, Page, look
from tests.evaluation.runs import answers, prediction, write_predictions

OTHER = "0" * 64


def _hears(share: float, clips: int = 10, **others: str) -> list[Prediction]:
    """Right about what is heard in a share of the misaligned clips."""
    return [
        prediction(f"c{i}", "misaligned", "audio", "Cat" if i < share * clips else "Bird", heard="Cat", **others)
        for i in range(clips)
    ]


def test_the_best_listener_comes_first_and_one_without_a_number_last() -> None:
    runs = [
        Run.of("none", [prediction()]),
        Run.of("failed", [prediction("c", "misaligned", "audio", status="failed")]),
        Run.of("half", _hears(0.5)),
        Run.of("best", _hears(0.9)),
        Run.of("zero", _hears(0.0)),
        Run.of("thinks", _hears(1.0, protocol="chain_of_thought")),
    ]
    assert [run.folder for run in order(runs, "forced_choice")] == ["best", "half", "zero", "failed", "none"]
    assert [run.folder for run in order(runs, "chain_of_thought")] == ["thinks"]


def test_a_run_on_other_data_or_prompts_is_not_comparable() -> None:
    runs = [
        Run.of("a", _hears(0.5)),
        Run.of("b", [*_hears(0.7), prediction()]),  # one condition more is not an obstacle
        Run.of("data", _hears(0.9, dataset_fingerprint=OTHER)),
        Run.of("prompts", _hears(0.9, prompt_version="2")),
    ]
    assert [run.folder for run in comparable(runs)] == ["a", "b"]
    assert [run.folder for run in comparable(runs[::-1])] == ["b", "a"]


def test_pairs_are_corrected_over_the_whole_page() -> None:
    runs = [Run.of(name, _hears(share)) for name, share in (("a", 0.0), ("b", 0.8), ("c", 1.0))]
    rows = comparisons(runs)
    assert [(row["first"], row["second"]) for row in rows] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [row["difference"] for row in rows] == pytest.approx([0.8, 1.0, 0.2])
    raw = [2 / 2**8, 2 / 2**10, 0.5]
    assert [row["p"] for row in rows] == pytest.approx(raw)
    assert [row["p_holm"] for row in rows] == pytest.approx(holm(raw))
    assert [row["p_holm"] for row in rows] == pytest.approx([2 * raw[0], 3 * raw[1], 0.5])


def test_the_pages_hold_the_runs_numbers(tmp_path: Path) -> None:
    runs = {"one": _hears(0.8), "two/deep": _hears(0.3), "foreign": _hears(0.9, dataset_fingerprint=OTHER)}
    for name, rows in runs.items():
        write_predictions(tmp_path / name / "predictions.jsonl", rows)
    leaderboard.main(tmp_path)
    page = Page((tmp_path / "leaderboard.html").read_text())
    text = (tmp_path / "leaderboard.md").read_text()
    for rows in runs.values():
        (cell,) = score.accuracy(rows)
        assert score.format_estimate(cell) in page.text
        assert score.format_estimate(cell) in text
    lines = [line for line in text.splitlines() if "| tiny |" in line]
    assert [line.split("|")[1].strip() for line in lines] == [
        "one",
        "two/deep",
        "foreign (other data: not comparable)",
    ]
    (row,) = comparisons([Run.of("one", runs["one"]), Run.of("two/deep", runs["two/deep"])])
    assert report.points(row) in page.text
    assert report.points(row) in text
    assert "two/deep against one" in page.text
    assert "foreign against" not in page.text
    assert page.text.count("other data: not comparable") == 1


def test_names_are_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>|"
    write_predictions(tmp_path / "<b>run" / "predictions.jsonl", _hears(0.5, model=hostile))
    write_predictions(tmp_path / "x" / "predictions.jsonl", _hears(0.5, model=hostile))
    leaderboard.main(tmp_path)
    html = (tmp_path / "leaderboard.html").read_text()
    assert Page(html).unsafe == []
    assert "<b>run" not in html
    assert "&lt;b&gt;run" in html
    assert "<script>" not in (tmp_path / "leaderboard.md").read_text()


def test_no_runs_and_broken_runs_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no predictions\.jsonl below"):
        leaderboard.main(tmp_path)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "predictions.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"bad/predictions\.jsonl, line 1"):
        leaderboard.main(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_in_a_browser(tmp_path: Path, width: int) -> None:
    for name, seed in (("run-with-a-rather-long-folder-name-and-more-of-it", 1), ("b", 2)):
        write_predictions(tmp_path / name / "predictions.jsonl", answers(8, seed, model="owner/" + "long-name-" * 8))
    leaderboard.main(tmp_path)
    found = look(tmp_path / "leaderboard.html", width)
    assert (found["fetched"], found["wide"]) == ([], [])
    assert found["scroll"] <= found["client"] <= width
