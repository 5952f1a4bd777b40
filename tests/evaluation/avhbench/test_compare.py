"""AVHBench before and after tuning: the paired numbers are right, and unlike runs are refused by name."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mma_bench.cli import main as cli
from mma_bench.errors import ConfigError
from mma_bench.evaluation.avhbench.annotations import Task
from mma_bench.evaluation.avhbench.compare import AvhRun, compare, read_run, refuse_unlike
from mma_bench.evaluation.avhbench.infer import AvhPrediction
from mma_bench.evaluation.avhbench.meteor import Meteor
from mma_bench.files import write_json
from mma_bench.stats import mean_change, paired
from tests.evaluation.avhbench.test_avhbench import CAPTION, Thesaurus, row

RUN: dict[str, Any] = {
    "model": "m",
    "model_revision": "1",
    "adapter": None,
    "adapter_revision": None,
    "annotations_sha256": "a",
    "settings": {"fps": 1.0, "checkpoint": "here"},
}
TUNED = RUN | {"adapter": "lora", "adapter_revision": "2", "settings": {"fps": 1.0, "checkpoint": "there"}}


def sides(rows: list[tuple[AvhPrediction, AvhPrediction]]) -> tuple[AvhRun, AvhRun]:
    """The base's and the tuned model's run with these answers."""
    first, second = ({each.key: each for each in own} for own in zip(*rows, strict=True))
    return AvhRun(Path("base"), RUN, first), AvhRun(Path("tuned"), TUNED, second)


def binary(*answers: tuple[str | None, str | None]) -> list[tuple[AvhPrediction, AvhPrediction]]:
    """Questions whose label is Yes, each about a video of its own."""
    return [(row(number, "Yes", old), row(number, "Yes", new)) for number, (old, new) in enumerate(answers)]


def p_of(gained: int, lost: int = 0, equal: int = 0) -> float:
    """The p of known changes, one per source video."""
    p = paired([1.0] * gained + [-1.0] * lost + [0.0] * equal, [list(range(gained + lost + equal))]).p
    assert p is not None
    return p


def test_the_change_is_over_all_answers_of_both_runs() -> None:
    answers: list[tuple[str | None, str | None]] = [
        *[("no", "yes")] * 6,
        *[("hm", "yes")] * 2,  # unreadable before: wrong, and the gain counts
        *[("yes", "no")] * 1,
        *[("yes", "yes")] * 3,
        ("yes", None),  # failed after tuning: in no pair
    ]
    (task,) = compare(*sides(binary(*answers)))["tasks"]
    assert (task["base"]["mean"], task["base"]["parsed"]) == (5 / 13, 11 / 13)
    assert (task["tuned"]["mean"], task["tuned"]["parsed"], task["tuned"]["failed"]) == (11 / 12, 1.0, 1)
    assert (task["pairs"], task["unpaired"], task["clusters"]) == (12, 1, 12)
    assert task["difference"] == pytest.approx(7 / 12)
    assert task["p"] == p_of(gained=8, lost=1, equal=3)
    assert task["p_holm"] == task["p"]  # one task
    assert task["low"] < task["difference"] < task["high"]
    assert list(task["published"].values()) == [0.4957, 0.4957]


def test_p_values_are_corrected_over_the_tasks() -> None:
    rows = binary(*[("no", "yes")] * 8)
    other = [
        tuple(replace(each, task=str(Task.VIDEO_DRIVEN_AUDIO), key=f"v{each.key}") for each in pair)
        for pair in binary(*[("no", "yes")] * 3)
    ]
    first, second = compare(*sides([*rows, *other]))["tasks"]  # type: ignore[list-item]
    assert (first["task"], first["p"], first["p_holm"]) == (str(Task.VIDEO_DRIVEN_AUDIO), p_of(3), p_of(3))
    assert (second["p"], second["p_holm"]) == (p_of(8), 2 * p_of(8))


def test_questions_about_one_source_video_are_not_taken_for_independent() -> None:
    """Twelve gains in three videos are worth less than twelve in twelve."""
    alone = compare(*sides(binary(*[("no", "yes")] * 12)))["tasks"][0]
    pairs = [
        tuple(replace(each, source=f"video{number % 3}") for each in pair)
        for number, pair in enumerate(binary(*[("no", "yes")] * 12))
    ]
    shared = compare(*sides(pairs))["tasks"][0]  # type: ignore[arg-type]
    assert shared["difference"] == alone["difference"] == 1.0
    assert shared["p"] > alone["p"] == p_of(12)
    assert shared["low"] < alone["low"]


def test_captions_are_compared_per_source_video() -> None:
    meteor = Meteor(Thesaurus())
    said = [("Rain", CAPTION), ("A man snoring", CAPTION), (CAPTION, CAPTION), ("Rain", "A man snoring")]
    sources = ("a", "a", "b", "c")
    pairs = [
        tuple(row(number, CAPTION, text, task=Task.CAPTIONING, source=source) for text in own)
        for number, (own, source) in enumerate(zip(said, sources, strict=True))
    ]
    (task,) = compare(*sides(pairs), meteor)["tasks"]  # type: ignore[arg-type]
    gains = [meteor.score(new, CAPTION) - meteor.score(old, CAPTION) for old, new in said]
    expected = mean_change([(gains[0] + gains[1]) / 2, 0.0, gains[3]])
    assert {key: task[key] for key in asdict(expected)} == asdict(expected)
    assert (task["metric"], task["pairs"]) == ("meteor", 4)


def _of(run: AvhRun, **facts: Any) -> AvhRun:
    return replace(run, run={**run.run, **facts})


def _other_video(run: AvhRun) -> AvhRun:
    return replace(run, predictions={key: replace(each, video_sha256="1") for key, each in run.predictions.items()})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda base, tuned: (tuned, base), "tuned was made with the adapter lora"),
        (lambda base, _: (base, base), "base was made without an adapter"),
        (lambda base, tuned: (base, _of(tuned, model_revision="9")), "differ in base model: 1 and 9"),
        (lambda base, tuned: (base, _of(tuned, annotations_sha256="b")), "differ in annotations: a and b"),
        (lambda base, tuned: (base, _of(tuned, settings={"fps": 2.0})), r"differ in setting fps: 1\.0 and 2\.0"),
        (lambda base, tuned: (base, replace(tuned, predictions={})), "different questions, e.g. 00000/0"),
        (lambda base, tuned: (base, _other_video(tuned)), "different files of the video 00000"),
    ],
)
def test_runs_that_differ_in_more_than_the_adapter_are_refused(
    change: Callable[[AvhRun, AvhRun], tuple[AvhRun, AvhRun]], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        refuse_unlike(*change(*sides(binary(("yes", "no")))))


def test_the_command_writes_and_prints_both_runs_and_the_paper_apart(tmp_path: Path) -> None:
    for run in sides(binary(*[("no", "yes")] * 6, ("yes", "hm"))):
        folder = tmp_path / run.folder
        write_json(folder / "avhbench_run.json", run.run)
        lines = [json.dumps(asdict(each)) + "\n" for each in run.predictions.values()]
        (folder / "avhbench_predictions.jsonl").write_text("".join(lines))
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    done = CliRunner().invoke(cli, ["avhbench-compare", str(base), str(tuned)])
    assert done.exit_code == 0, done.output
    text = (tuned / "avhbench_comparison.md").read_text()
    assert "AV Matching  14.3 [0.4, 57.9]  85.7 [42.1, 99.6]  +71.4 [" in done.output
    assert f"page: {tuned / 'avhbench_comparison.md'}\nnext: mma-bench adapter card" in done.output
    found = json.loads((tuned / "avhbench_comparison.json").read_text())
    assert found["tasks"] == compare(read_run(base), read_run(tuned))["tasks"]
    ours, paper = text.split("The paper's own results")
    assert "| AV Matching | accuracy | 14.3 [0.4, 57.9] | 100.0 | 85.7 [42.1, 99.6] | 85.7 | +71.4 [" in ours
    p = f"{p_of(gained=6, lost=1):.3f}"
    assert f"| {p} | {p} | 7 | 0 |" in ours
    assert "49.6" not in ours
    assert "| AV Matching | 49.6 | 49.6 |" in paper
    elsewhere = CliRunner().invoke(cli, ["avhbench-compare", str(base), str(tuned), "--out", str(tmp_path / "out")])
    assert elsewhere.exit_code == 0
    assert (tmp_path / "out" / "avhbench_comparison.md").read_text() == text
