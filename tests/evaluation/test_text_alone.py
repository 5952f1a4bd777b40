"""Asked without its clip, a model knows what the text tells: a guesser, one that knows the answers, one that looks."""

from pathlib import Path
from typing import Any

import pytest

from mma_bench.errors import DataError
from mma_bench.evaluation import report
from mma_bench.evaluation.conditions import WITHOUT_THE_CLIP
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.infer import Plan, infer
from mma_bench.evaluation.other_clip import other_clips
from mma_bench.evaluation.predictions import read_predictions
from mma_bench.evaluation.protocols import Protocol, Sampling
from mma_bench.evaluation.score import main, score
from mma_bench.evaluation.text_alone import sentence
from mma_bench.models.contracts import Answer, ClipTask, Prompt
from mma_bench.tables import read_json
from tests.evaluation import packaged
from tests.evaluation.doubles import Rows, Scripted, row
from tests.evaluation.runs import CLASSES, prediction, write_run

BASES = {"a": "Bird", "b": "Cat", "c": "Cat"}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    columns = ("visual_class", "audio_class", "visual_answer", "audio_answer")
    rows = [packaged.packaged_row(base, "aligned") | dict.fromkeys(columns, name) for base, name in BASES.items()]
    return Benchmark(str(packaged.write(tmp_path / "bench", aligned=rows)), checked=True)


def test_the_other_clip_is_of_another_class_and_its_hashes_are_those_of_the_row(bench: Benchmark) -> None:
    rows = {found["base_id"]: found for found in bench.rows("other_clip")}
    assert rows.keys() == BASES.keys()
    for base, found in rows.items():
        assert found["id"] == f"{base}.other_clip"
        assert BASES[found["donor_id"]] != BASES[base] == found["visual_answer"]
        assert found["video"]["bytes"] == packaged.media_of(found["donor_id"])
        assert found["video_sha256"] == packaged.hashes(packaged.media_of(found["donor_id"]))["video_sha256"]
    texts = {found["base_id"]: found["donor_id"] for found in bench.texts("other_clip")}
    assert texts == {base: found["donor_id"] for base, found in rows.items()}


def test_a_part_or_a_limited_number_of_rows_has_the_same_other_clips(bench: Benchmark) -> None:
    whole = {found["base_id"]: found["donor_id"] for found in bench.texts("other_clip")}
    parts = [list(bench.rows("other_clip", every=2, start=start)) for start in range(2)]
    assert {found["base_id"]: found["donor_id"] for part in parts for found in part} == whole
    (first,) = Benchmark(bench.name, limit=1).rows("other_clip")
    assert (first["base_id"], first["donor_id"]) == ("a", whole["a"])


def test_the_fingerprint_of_other_clips_is_not_that_of_no_clip(bench: Benchmark) -> None:
    assert len({bench.fingerprint(condition) for condition in ("aligned", *WITHOUT_THE_CLIP)}) == 3


def test_a_clip_that_joins_changes_few_choices() -> None:
    def named(number: int) -> dict[str, str]:
        name = f"Class_{number % 7}"
        return {"base_id": f"clip{number}", "visual_class": name, "audio_class": name}

    before = other_clips([named(number) for number in range(200)])
    after = other_clips([named(number) for number in range(201)])
    assert sum(after[base]["base_id"] != other["base_id"] for base, other in before.items()) <= 5
    assert len({other["base_id"] for other in before.values()}) > 100


def test_with_one_class_there_is_no_other_clip() -> None:
    alike = [{"base_id": base, "visual_class": "Cat", "audio_class": "Cat"} for base in "ab"]
    with pytest.raises(DataError, match="no other clip"):
        other_clips(alike)


def test_without_a_clip_a_task_has_the_text_alone(tmp_path: Path) -> None:
    seen: dict[str, ClipTask] = {}

    def reply(task: ClipTask, prompt: Prompt) -> Answer:
        seen[task.id] = task
        return Answer(prompt.key, text="Cat")

    plan = Plan(("aligned", "no_clip"), (Protocol.FORCED_CHOICE,), Sampling())
    bench: Any = Rows([row("a", "aligned")])
    rows = read_predictions(infer(Scripted(reply), bench, plan, tmp_path, settings={}))
    alone, shown = seen["a.no_clip"], seen["a.aligned"]
    assert (alone.text_alone, alone.hears, alone.video) == (True, False, b"")
    assert (shown.text_alone, shown.hears, shown.video) == (False, True, b"not a real clip")
    assert [prompt.text for prompt in alone.prompts] == [prompt.text for prompt in shown.prompts]
    assert {found.expected for found in rows} == {"Cat"}


def _answers(condition: str, share_known: float, clips: int = 400) -> list[Any]:
    """Two fifths of the clips are birds; a share of all answers is right, the others are wrong."""
    rows = []
    for number in range(clips):
        right = CLASSES[0] if number % 5 < 2 else CLASSES[1 + number % 3]
        known = number < share_known * clips
        answer = right if known else CLASSES[(CLASSES.index(right) + 1) % len(CLASSES)]
        rows += [
            prediction(f"clip{number:03}", condition, question, answer, seen=right, heard=right)
            for question in ("visual", "audio")
        ]
    return rows


@pytest.mark.parametrize("condition", WITHOUT_THE_CLIP)
@pytest.mark.parametrize(("share", "above"), [(0.25, False), (0.4, False), (0.5, True)])
def test_right_answers_are_held_against_the_most_frequent_class(condition: str, share: float, above: bool) -> None:
    """A model that names the most frequent class of two fifths has learnt nothing about a clip; one above it has."""
    table = score(_answers(condition, share))["text_alone"]
    assert [(found["condition"], found["question"]) for found in table] == [(condition, "visual"), (condition, "audio")]
    for found in table:
        assert found["mean"] == pytest.approx(share)
        assert (found["chance"], found["most_frequent"], found["most_frequent_class"]) == (0.25, 0.4, "Bird")
        assert found["above"] is above
    told = sentence(table)
    assert told is not None
    assert ("gives no answer away" in told) is not above


def test_the_table_is_in_the_reports_and_only_where_it_was_asked(tmp_path: Path) -> None:
    asked, default = tmp_path / "asked", tmp_path / "default"
    write_run(asked, _answers("no_clip", 0.5, clips=20))
    write_run(default, _answers("aligned", 0.5, clips=20))
    for out in (asked, default):
        main(out)
        report.main(out)
        has = out is asked
        assert ("text_alone" in read_json(out / "scores.json")) is has
        assert ("text_alone" in read_json(out / "report.json")) is has
        for name in ("report.md", "report.html"):
            assert ("What text alone gives" in (out / name).read_text()) is has


def test_a_run_without_answers_says_so() -> None:
    rows = [prediction("a", "no_clip", "visual", None, status="unsupported", error="needs a clip")]
    (found,) = score(rows)["text_alone"]
    assert (found["mean"], found["above"]) == (None, None)
    assert sentence([found]) is None
