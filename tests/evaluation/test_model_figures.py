"""The paper's figures with all runs: which conditions each has, and that its points are the runs' numbers."""

from typing import Any

import pytest

from mma_bench.evaluation import figures
from mma_bench.evaluation.conditions import CONDITIONS, CONFIGS, WITHOUT_THE_CLIP
from mma_bench.evaluation.model_figures import FIGURES, figure_rows
from mma_bench.schema import PAPERS_CONDITIONS, Condition


def run_of(name: str, *cells: tuple[str, float | None], unranked: str | None = None, chance: float = 0.25) -> Any:
    """A run of leaderboard.json whose accuracy under a condition is this value, for both questions."""
    accuracy = [
        {
            "protocol": "forced_choice",
            "condition": condition,
            "question": question,
            "mean": mean,
            "low": None if mean is None else mean - 0.1,
            "high": None if mean is None else mean + 0.05,
            "n": 40,
            "chance": chance,
        }
        for condition, mean in cells
        for question in ("visual", "audio")
    ]
    return {"run": name, "model": f"owner/{name}", "unranked": unranked, "accuracy": accuracy}


def shown(rows: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(row["figure"], row["run"], row["condition"]) for row in rows if row["question"] == "audio"}


def test_every_condition_is_in_one_figure_of_the_paper() -> None:
    conditions = [condition for figure in FIGURES for condition in figure.conditions]
    assert sorted(map(str, [Condition.ALIGNED, *conditions])) == sorted(
        name for name in CONDITIONS if CONFIGS[name] in PAPERS_CONDITIONS and name not in WITHOUT_THE_CLIP
    )
    numbers = [int(number) for figure in FIGURES for number in figure.numbers.split(" and ")]
    assert sorted(numbers) == [4, 6, 7, 8, 21, 22, 23, 24]


def test_a_figure_has_the_conditions_that_runs_have_and_no_others() -> None:
    runs = [
        run_of("b", ("aligned", 0.9), ("audio_removed", 0.8), ("misaligned", 0.3)),
        run_of("a", ("aligned", 0.7), ("misaligned", None), ("misleading_caption", None)),
    ]
    assert shown(figure_rows(runs)) == {
        ("one_modality", "b", "aligned"),
        ("one_modality", "b", "audio_removed"),
        ("one_modality", "a", "aligned"),
        ("conflict", "b", "aligned"),
        ("conflict", "b", "misaligned"),
        ("conflict", "a", "aligned"),
    }
    assert figure_rows([run_of("a", ("aligned", 0.7))]) == []


def test_the_rows_are_the_numbers_of_the_accuracy() -> None:
    rows = figure_rows([run_of("a", ("aligned", 0.9), ("long_context", 0.4), unranked="incomplete")])
    assert rows[-1] == {
        "figure": "long_context",
        "paper": "Figures 8 and 24",
        "protocol": "forced_choice",
        "run": "a",
        "model": "owner/a",
        "unranked": "incomplete",
        "condition": "long_context",
        "question": "audio",
        "mean": 0.4,
        "low": pytest.approx(0.3),
        "high": pytest.approx(0.45),
        "n": 40,
        "chance": 0.25,
    }
    assert len(rows) == 4


def test_a_chart_draws_each_run_s_value_interval_and_chance() -> None:
    cells = ("aligned", 0.9), ("audio_removed", 0.8), ("frames_zeroed", 0.3)
    runs = [run_of("b", *cells), run_of("a", *cells[:2], chance=0.1, unranked="other data")]
    (axes,) = figures.conditions_by_run([row for row in figure_rows(runs) if row["question"] == "audio"]).axes
    drawn = {}
    for bars in axes.containers:
        points, _, (whiskers,) = bars
        ends = [tuple(segment[:, 0]) for segment in whiskers.get_segments()]
        drawn[bars.get_label()] = list(points.get_xdata()), ends
    assert drawn == {
        "aligned": (pytest.approx([90, 90]), [pytest.approx((80, 95))] * 2),
        "audio removed": (pytest.approx([80, 80]), [pytest.approx((70, 85))] * 2),
        "frames zeroed": (pytest.approx([30]), [pytest.approx((20, 35))]),
    }
    (chance,) = [line for line in axes.lines if line.get_label() == "chance"]
    assert list(chance.get_xdata()) == pytest.approx([25, 25, 10, 10])
    assert list(chance.get_ydata()) == [-0.5, 0.5, 0.5, 1.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a\n(other data)"]


def test_names_are_wrapped_and_shortened() -> None:
    name = "qwen2.5-omni-7b-tuned-with-lora-on-conflicts-seed-3"
    rows = figure_rows([run_of(name, ("aligned", 0.9), ("misaligned", 0.2))])
    (axes,) = figures.conditions_by_run([row for row in rows if row["question"] == "visual"]).axes
    (label,) = [each.get_text() for each in axes.get_yticklabels()]
    assert label.startswith("qwen2.5-omni-7b-\n")
    assert len(label.splitlines()) == 3
    assert max(map(len, label.splitlines())) <= 18
