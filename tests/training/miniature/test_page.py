"""The miniature's page: its numbers are those of the predictions, its verdicts are computed, and it fits the window."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mma_bench.errors import DataError
from mma_bench.page import data_uri
from mma_bench.stats import format_estimate
from mma_bench.training.miniature import page as pages
from mma_bench.training.miniature.metrics import QUESTIONS, STATES, metrics
from mma_bench.training.miniature.page import (
    Example,
    PageFacts,
    attention,
    changes,
    followed,
    page,
    read_rows,
    seen_rows,
)
from mma_bench.training.miniature.world import CLASSES
from tests.browser import CHROMIUM, faults
from tests.evaluation.pages import Page
from tests.training.miniature.raised import SKILL, run, runs

HOSTILE = "<script>alert(1)</script>"
SUMMARY = {
    "by_layer": [
        {
            **{"state": state, "condition": "misaligned", "group": group, "layer": layer},
            **{"d": 0.1 * layer, "low": 0.0, "high": 0.4},
        }
        for state in ("before", "after")
        for group in ("video", "audio")
        for layer in (1, 2, 3)
    ]
}


@pytest.fixture(scope="module")
def facts() -> PageFacts:
    answered = runs()
    half = [run("tuned", seed, conditions=("aligned", "misaligned")) for seed in range(3)]
    return PageFacts(
        metrics=metrics(answered),
        followed=followed(answered),
        seen=seen_rows(half, frozenset(CLASSES[:4])),
        examples=[
            Example(
                "bird-test-0000.misaligned.rain-test-0001",
                "Bird",
                "Rain",
                data_uri(b"clip", "video/mp4"),
                {question: dict.fromkeys(STATES, "Rain") for question in QUESTIONS},
            )
        ],
        tried=[{"recipe": HOSTILE, "seed": "10", "tuned_misaligned": "91/100"}],
        changes=[],
        runs=[("Model", "1,020,000 parameters"), ("Versions", "torch 2.14.1, " * 12)],
        seeds=(0, 1, 2),
        clips=32,
        chance=1 / 8,
        attention=attention(SUMMARY),
    )


@pytest.mark.slow
def test_every_accuracy_is_on_the_page_with_its_interval(facts: PageFacts) -> None:
    text = Page(page(facts)).text
    for state in STATES:
        for condition in facts.metrics[state] if state in ("base", "tuned") else ("aligned", "misaligned"):
            for question in QUESTIONS:
                assert format_estimate(facts.metrics[state][condition][question]) in text
    for row in facts.seen:
        assert format_estimate(row) in text


@pytest.mark.slow
def test_the_verdicts_follow_the_numbers(facts: PageFacts) -> None:
    better = {**facts.metrics, "tuned": _with(facts.metrics["tuned"], 0.99)}
    worse = {**facts.metrics, "tuned": _with(facts.metrics["tuned"], 0.10)}
    said = [Page(page(replace(facts, metrics=tree))).text for tree in (better, worse)]
    assert "10 of 10 are met" not in said[1]
    assert said[1].count("not met") == said[0].count("not met") + 4


def _with(tree: Any, mean: float) -> Any:
    return {
        condition: {question: {**found, "mean": mean} for question, found in by_question.items()}
        for condition, by_question in tree.items()
    }


@pytest.mark.slow
def test_what_was_tried_is_shown_and_nothing_runs_or_is_fetched(facts: PageFacts) -> None:
    content = page(facts)
    found = Page(content)
    assert found.unsafe == []
    assert HOSTILE not in content
    assert HOSTILE in found.text
    assert "91/100" in found.text


@pytest.mark.slow
def test_answers_are_right_or_wrong_by_the_sense_that_is_asked_about(facts: PageFacts) -> None:
    cells = Page(page(facts)).elements["td"]
    marks = [cell["class"] for cell in cells if cell.get("class") in ("good", "bad")]
    assert marks == ["bad", "good"] * len(STATES)  # Rain is what is heard


def test_parts_that_were_not_measured_are_left_out(facts: PageFacts) -> None:
    text = Page(page(replace(facts, seen=[], attention=()))).text
    assert "Seen and unseen" not in text
    assert "Table 9" not in text
    assert "Cohen" not in text


def test_the_papers_seen_and_unseen_classes_have_a_table_of_their_own(facts: PageFacts) -> None:
    ours, paper = Page(page(facts)).text.split("The paper’s own results (Table 9)")
    assert "24.6 %" not in ours.split("Seen and unseen classes")[-1]
    assert "unseen misaligned audio 24.6 % 55.1 %" in paper
    assert "not comparable" in paper


def test_answers_that_follow_the_other_sense_are_counted(facts: PageFacts) -> None:
    for state in STATES:
        for question, skill in zip(QUESTIONS, SKILL[state], strict=True):
            assert facts.followed[state][question]["mean"] == pytest.approx(1 - skill, abs=0.15)
            right = facts.metrics[state]["misaligned"][question]["mean"]
            assert facts.followed[state][question]["mean"] == pytest.approx(1 - right)


def test_seen_and_unseen_go_by_the_class_that_is_asked_for() -> None:
    rows = [
        replace(row, answer=row.expected if row.expected in CLASSES[:4] else row.other)
        for row in run("tuned", 0, conditions=("misaligned",))
    ]
    found = {(row["question"], row["group"]): row["mean"] for row in seen_rows([rows], frozenset(CLASSES[:4]))}
    assert found == {
        (question, group): float(group == "seen") for question in QUESTIONS for group in ("seen", "unseen")
    }


def test_what_changed_since_the_earlier_report_is_listed_with_its_reason(facts: PageFacts) -> None:
    tree = facts.metrics
    earlier = [
        {"state": state, "condition": condition, "question": question, "mean": f"{values['mean']:.4f}"}
        for state, conditions in tree.items()
        for condition, questions in conditions.items()
        for question, values in questions.items()
    ]
    assert changes(earlier, tree) == []
    assert "No accuracy differs" in page(facts)
    for row in earlier:
        if (row["state"], row["question"]) == ("base", "visual") and row["condition"] in ("aligned", "audio_removed"):
            row["mean"] = "0.1234"
    found = changes(earlier, tree)
    assert [(row["condition"], row["before"]) for row in found] == [("aligned", 0.1234), ("audio_removed", 0.1234)]
    text = page(replace(facts, changes=found))
    assert text.count("12.3 %") == 2
    assert "processor" in found[0]["why"]
    assert "no sound at all" in found[1]["why"]


@pytest.mark.parametrize("content", ["", "recipe,seed\n", "recipe,seed\na\n", "recipe,seed\na,1,2\n"])
def test_a_broken_table_of_recipes_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tried.csv").write_text(content)
    with pytest.raises(DataError, match=r"tried\.csv"):
        read_rows(tmp_path / "tried.csv")


def test_a_missing_table_of_recipes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_rows(tmp_path / "tried.csv")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_nothing_stands_out_of_the_window(facts: PageFacts, tmp_path: Path) -> None:
    (tmp_path / "miniature.html").write_text(page(facts))
    assert faults(tmp_path / "miniature.html") == []
    assert pages.EXAMPLES <= 4  # the page can be mailed
