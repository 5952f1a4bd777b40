"""AVHBench: hostile annotations are refused by name, nothing is asked twice or dropped, and the numbers are right."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation.avhbench.annotations import (
    Entry,
    Task,
    annotations_sha256,
    read_annotations,
    yes_or_no,
)
from mma_bench.evaluation.avhbench.cli import avhbench
from mma_bench.evaluation.avhbench.infer import AvhPrediction, ask, read_avh_predictions
from mma_bench.evaluation.avhbench.meteor import Meteor
from mma_bench.evaluation.avhbench.score import main, markdown, score
from mma_bench.models.contracts import Answer, ClipTask, Stopped
from tests.evaluation.doubles import Scripted, says

CAPTION = "A young man snores in bed while footsteps pass."
ITEMS: list[dict[str, Any]] = [
    {"video_id": "00191", "task": "Video-driven Audio Hallucination", "text": "Is the couch heard?", "label": "No"},
    {"video_id": "00191", "task": "Audio-driven Video Hallucination", "text": "Is the man visible?", "label": "Yes"},
    {"video_id": "00191", "task": "AV Matching", "text": "Are the contexts matching?", "label": "Yes"},
    {"video_id": "00191", "task": "AV Captioning", "text": "Describe what you see and hear.", "label": CAPTION},
    {"video_id": "00191_swap", "task": "AV Matching", "text": "Are the contexts matching?", "label": "No"},
    {"video_id": "00006", "task": "AV Matching", "text": "Are the contexts matching?", "label": "yes"},
]


class Thesaurus:
    """Stands in for WordNet: knows no synonym, but is there."""

    def synsets(self, _word: str) -> list[Any]:
        return []


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A folder with qa.json and three videos."""
    (tmp_path / "video").mkdir()
    for video_id in ("00191", "00191_swap", "00006"):
        (tmp_path / "video" / f"{video_id}.mp4").write_bytes(video_id.encode())
    (tmp_path / "qa.json").write_text(json.dumps(ITEMS))
    return tmp_path


def run(bench: Path, engine: Any, **more: Any) -> dict[str, AvhPrediction]:
    annotations = bench / "qa.json"
    more = {"annotations": annotations_sha256(annotations), "settings": {"fps": 1.0}, **more}
    path = ask(engine, read_annotations(annotations), bench / "video", bench / "out", **more)
    return {f"{row.video_id} {row.task}": row for row in read_avh_predictions(path)}


def read(tmp_path: Path, text: str) -> list[Entry]:
    (tmp_path / "qa.json").write_text(text)
    return read_annotations(tmp_path / "qa.json")


def test_the_published_layout_is_read_from_a_file_and_from_a_folder(bench: Path) -> None:
    entries = read_annotations(bench / "qa.json")
    assert [(e.video_id, e.task.value, e.text) for e in entries] == [
        (i["video_id"], i["task"], i["text"]) for i in ITEMS
    ]
    assert [entry.label for entry in entries] == ["No", "Yes", "Yes", CAPTION, "No", "Yes"]
    (bench / "json").mkdir()
    for number, item in enumerate(ITEMS):
        (bench / "json" / f"{number}.json").write_text(json.dumps([item]))
    assert read_annotations(bench / "json") == entries


def test_prompts_are_the_published_text_and_offer_yes_and_no_where_that_is_asked(bench: Path) -> None:
    prompts = [entry.prompt() for entry in read_annotations(bench / "qa.json")]
    assert [prompt.text for prompt in prompts] == [item["text"] for item in ITEMS]
    assert [prompt.options for prompt in prompts] == [("Yes", "No")] * 3 + [()] + [("Yes", "No")] * 2
    assert {(prompt.mode, prompt.temperature) for prompt in prompts} == {("generate", 0.0)}


@pytest.mark.parametrize("video_id", ["../../etc/passwd", "/etc/passwd", "a/b", "..", "", ".hidden", "a\x00b", "a\nb"])
def test_a_video_id_that_could_leave_the_folder_is_refused_with_its_entry(tmp_path: Path, video_id: str) -> None:
    with pytest.raises(DataError, match=r"qa\.json, entry 2: "):
        read(tmp_path, json.dumps([ITEMS[0], {**ITEMS[1], "video_id": video_id}]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "AV Hallucination (Audio)"}, "unknown task 'AV Hallucination"),
        ({"label": "maybe"}, "label of .* is 'maybe'"),
        ({"label": None}, "label is None"),
        ({"text": "  "}, "text is '  '"),
        ({"video_id": 191}, "video_id is 191"),
    ],
)
def test_an_entry_that_breaks_the_layout_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=rf"qa\.json, entry 2: .*{said}"):
        read(tmp_path, json.dumps([ITEMS[0], {**ITEMS[1], **change}]))


@pytest.mark.parametrize("text", ["{}", "[]", "[", "[3]", '[["a"]]'])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"qa\.json"):
        read(tmp_path, text)


def test_keys_are_unique_also_for_a_question_that_stands_there_twice(tmp_path: Path) -> None:
    entries = read(tmp_path, json.dumps([*ITEMS, ITEMS[2], ITEMS[2]]))
    assert len({(entry.video_id, entry.key) for entry in entries}) == len(entries)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes", "Yes"),
        ("no.", "No"),
        ("**Yes**, it is.", "Yes"),
        ("No, there is no dog, yes I am sure", "No"),
        ("Yes, no doubt", "Yes"),
        ("Answer: No", "No"),
        ("The answer is YES!", "Yes"),
        ("Final answer: no", "No"),
        ("Yes or no", None),
        ("No/Yes", None),
        ("yes and no", None),
        ("Yes. No.", None),
        ("There is no dog", None),
        ("Yesterday", None),
        ("Nothing is heard", None),
        ("", None),
        ("?!", None),
    ],
)
def test_yes_and_no_are_read_by_the_written_rules(text: str, answer: str | None) -> None:
    assert yes_or_no(text) == answer


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_an_answer_that_does_not_hold_the_word_is_never_read_as_it(text: str) -> None:
    answer = yes_or_no(text)
    assert answer is None or answer.lower() in text.lower()


def test_a_question_that_is_refused_or_too_much_has_that_status_and_is_not_asked_again(bench: Path) -> None:
    def reply(task: ClipTask, prompt: Any) -> Answer:
        if task.id == "00006":
            return Answer(prompt.key, refused="content_filter")
        return Answer(prompt.key, unsupported="too long") if task.id == "00191_swap" else Answer(prompt.key, text="Yes")

    rows = run(bench, Scripted(reply))
    by_status = {row.status: row for row in rows.values()}
    assert by_status.keys() == {"ok", "refused", "unsupported"}
    assert (by_status["refused"].error, by_status["unsupported"].error) == ("content_filter", "too long")
    again = Scripted(says("No"))
    assert run(bench, again) == rows
    assert not again.asked
    scores = score(list(rows.values()))
    assert sum(task.get("refused", 0) for task in scores["tasks"]) == 1
    assert sum(task.get("unsupported", 0) for task in scores["tasks"]) == len(
        [row for row in rows.values() if row.video_id == "00191_swap"]
    )
    assert all(task["failed"] == 0 for task in scores["tasks"])
    assert "refused" in markdown(scores)
    assert "refused" not in markdown(score([row(0, "No", "no")]))


def test_a_second_run_asks_nothing_and_a_failed_question_is_asked_again(bench: Path) -> None:
    def reply(task: ClipTask, prompt: Any) -> Answer:
        return Answer(prompt.key, error="out of memory") if task.id == "00006" else Answer(prompt.key, text="Yes")

    first = Scripted(reply)
    assert run(bench, first)["00006 AV Matching"].status == "failed"
    assert len(first.asked) == len(ITEMS)
    second = Scripted(says("Yes"))
    rows = run(bench, second)
    assert [key.split("/")[0] for key in second.asked] == ["00006"]
    assert {row.status for row in rows.values()} == {"ok"}
    third = Scripted(says("No"))
    assert run(bench, third) == rows
    assert third.asked == []


def test_a_run_cut_in_the_middle_of_a_line_goes_on_there(bench: Path) -> None:
    rows = run(bench, Scripted(says("Yes")))
    path = bench / "out" / "avhbench_predictions.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    again = Scripted(says("Yes"))
    assert run(bench, again) == rows
    assert len(again.asked) == 1


def test_what_an_engine_answered_before_it_stopped_is_kept(bench: Path) -> None:
    class Stopping(Scripted):
        def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
            given = super().answer(tasks)
            raise Stopped("budget spent", [given[0][:1], *([] for _ in given[1:])])

    with pytest.raises(Stopped):
        run(bench, Stopping(says("Yes")), batch=2)
    again = Scripted(says("Yes"))
    assert len(run(bench, again)) == len(ITEMS)
    assert len(again.asked) == len(ITEMS) - 1


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_the_size_of_a_batch_changes_nothing(bench: Path, batch: int) -> None:
    def reply(task: ClipTask, prompt: Any) -> Answer:
        return Answer(prompt.key, text=f"Yes {task.id} {task.video.decode()} {task.condition}")

    rows = run(bench, Scripted(reply), batch=batch)
    assert {row.raw for row in rows.values()} == {
        f"Yes {video_id} {video_id} aligned" for video_id in ("00191", "00191_swap", "00006")
    }


def test_a_missing_video_is_counted_and_listed_and_asked_once_it_is_there(bench: Path) -> None:
    clip = bench / "video" / "00006.mp4"
    clip.unlink()
    engine = Scripted(says("Yes"))
    run(bench, engine)
    size = (bench / "out" / "avhbench_predictions.jsonl").stat().st_size
    rows = run(bench, engine)
    assert (bench / "out" / "avhbench_predictions.jsonl").stat().st_size == size
    assert rows["00006 AV Matching"].status == "missing"
    scores = score(list(rows.values()), Meteor(Thesaurus()))
    assert scores["missing_videos"] == ["00006"]
    matching = next(row for row in scores["tasks"] if row["task"] == Task.MATCHING)
    assert (matching["prompts"], matching["missing"], matching["n"], matching["mean"]) == (3, 1, 2, 0.5)
    assert "Missing videos (1): 00006" in markdown(scores)
    clip.write_bytes(b"here now")
    assert run(bench, engine)["00006 AV Matching"].status == "ok"


def test_a_changed_video_is_asked_again_and_no_video_at_all_is_an_error(bench: Path) -> None:
    run(bench, Scripted(says("Yes")))
    (bench / "video" / "00006.mp4").write_bytes(b"cut anew")
    again = Scripted(says("No"))
    assert run(bench, again)["00006 AV Matching"].answer == "No"
    assert len(again.asked) == 1
    for clip in (bench / "video").iterdir():
        clip.unlink()
    with pytest.raises(DataError, match="none of the 3 videos"):
        run(bench, again)


@pytest.mark.parametrize("what", ["model", "annotations_sha256", "settings"])
def test_another_run_in_the_same_folder_is_refused(bench: Path, what: str) -> None:
    run(bench, Scripted(says("Yes")))
    changed: dict[str, dict[str, Any]] = {
        "model": {},
        "annotations_sha256": {"annotations": "0" * 64},
        "settings": {"settings": {"fps": 2.0}},
    }
    engine = Scripted(says("Yes"), name="another" if what == "model" else "scripted")
    with pytest.raises(ConfigError, match=f"another run: {what}"):
        run(bench, engine, **changed[what])


def row(number: int, label: str, raw: str | None, *, task: Task = Task.MATCHING, source: str = "") -> AvhPrediction:
    answer = raw if raw is None or task is Task.CAPTIONING else yes_or_no(raw)
    video_id = source or f"{number:05d}"
    return AvhPrediction(
        key=f"{video_id}/{number}",
        video_id=video_id,
        source=video_id,
        task=str(task),
        text="?",
        label=label,
        status="failed" if raw is None else "unparseable" if answer is None else "ok",
        answer=answer,
        raw=raw,
        error="gone" if raw is None else None,
        usage={},
        video_sha256="0",
        model="m",
        model_revision="1",
        adapter=None,
        adapter_revision=None,
    )


def test_the_numbers_of_a_table_worked_out_by_hand() -> None:
    pairs: list[tuple[str, str | None]] = [
        *[("Yes", "yes")] * 3,
        *[("Yes", "no")] * 1,
        *[("No", "yes")] * 2,
        *[("No", "no")] * 2,
        ("Yes", "hm"),
        ("No", "hm"),
        ("Yes", None),
    ]
    (task,) = score([row(number, *pair) for number, pair in enumerate(pairs)])["tasks"]
    assert (task["prompts"], task["unparseable"], task["failed"], task["missing"]) == (11, 2, 1, 0)
    assert (task["mean"], task["method"], task["n"]) == (5 / 10, "clopper_pearson", 10)
    assert task["low"] == pytest.approx(0.1871, abs=1e-4)  # Clopper-Pearson for 5 of 10
    assert task["high"] == pytest.approx(0.8129, abs=1e-4)
    assert task["parsed"] == 8 / 10
    assert (task["precision"], task["recall"], task["yes"]) == (3 / 5, 3 / 5, 5 / 10)
    assert task["f1"] == pytest.approx(3 / 5)
    assert task["published"] == {"Qwen2.5-Omni-7B": 0.4957, "Qwen2.5-Omni-7B + modality-aware LoRA": 0.4957}


def test_answers_that_cannot_be_read_are_wrong_in_the_table_too() -> None:
    """One right answer in four, three unreadable: no column may say 100 %."""
    rows = [row(0, "No", "no"), *(row(number, "No", "hm") for number in (1, 2, 3))]
    text = markdown(score(rows))
    assert "| AV Matching | accuracy | 25.0 [0.6, 80.6] | 25.0 |" in text
    assert "100.0" not in text
    header, paper = text.index("| Task | Metric |"), text.index("The paper's own results")
    assert "49.6" not in text[header:paper]  # the paper's values have a table of their own
    assert "| AV Matching | 49.6 | 49.6 |" in text[paper:]


def test_a_model_that_never_says_yes_has_no_precision() -> None:
    (task,) = score([row(0, "Yes", "no"), row(1, "No", "no")])["tasks"]
    assert (task["precision"], task["recall"], task["f1"], task["yes"]) == (None, 0.0, 0.0, 0.0)


def test_answers_about_one_source_video_are_not_taken_for_independent(bench: Path) -> None:
    rows = run(bench, Scripted(says("Yes")))
    matching = next(t for t in score(list(rows.values()), Meteor(Thesaurus()))["tasks"] if t["task"] == Task.MATCHING)
    assert (matching["n"], matching["clusters"], matching["method"]) == (3, 2, "effective")


def test_meteor_is_nltk_s_and_bounded() -> None:
    meteor = Meteor(Thesaurus())
    words = len(CAPTION.split())
    assert meteor.score(CAPTION.upper().replace(".", " !"), CAPTION) == pytest.approx(1 - 0.5 / words**3)
    assert meteor.score("Rain falls", CAPTION) == meteor.score("", CAPTION) == meteor.score("!!", CAPTION) == 0
    assert 0 < meteor.score("A man snoring", CAPTION) < meteor.score("A young man snoring in bed", CAPTION) < 1


def test_synonyms_count_where_there_is_a_wordnet_and_the_score_is_named_for_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Lemma:
        def __init__(self, name: str) -> None:
            self._name = name

        def name(self) -> str:
            return self._name

    class Synset:
        def lemmas(self) -> list[Lemma]:
            return [Lemma("dog"), Lemma("hound")]

    class Wordnet:
        def synsets(self, word: str) -> list[Synset]:
            return [Synset()] if word in ("dog", "hound") else []

    monkeypatch.setattr("mma_bench.evaluation.avhbench.meteor._installed_wordnet", lambda: None)
    without, with_it = Meteor(), Meteor(Wordnet())
    assert (without.name, with_it.name) == ("meteor_exact_stem", "meteor")
    assert without.score("the hound barks", "the dog barks") < with_it.score("the hound barks", "the dog barks")


@pytest.mark.slow
def test_without_wordnet_s_data_nothing_is_called_meteor(tmp_path: Path) -> None:
    """In a process of its own, because NLTK keeps what it has found."""
    code = (
        "import nltk; nltk.data.path[:] = []\n"
        "from mma_bench.evaluation.avhbench.meteor import Meteor\n"
        "meteor = Meteor(); print(meteor.name, meteor.score('a b c', 'a b c') > 0.9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == ["meteor_exact_stem", "True"]


def test_captions_are_scored_and_an_empty_one_is_unparseable() -> None:
    rows = [row(n, CAPTION, raw, task=Task.CAPTIONING) for n, raw in enumerate([CAPTION, "Rain", None])]
    (task,) = score(rows, Meteor(Thesaurus()))["tasks"]
    assert (task["metric"], task["n"], task["failed"]) == ("meteor", 2, 1)
    assert task["mean"] == pytest.approx((1 - 0.5 / 9**3) / 2)
    assert task["published"]["Qwen2.5-Omni-7B"] == 0.155
    assert "precision" not in task


def test_an_empty_caption_is_unparseable(bench: Path) -> None:
    assert run(bench, Scripted(says(" \n")))["00191 AV Captioning"].status == "unparseable"


def command(bench: Path, *more: str) -> Any:
    arguments = ["--annotations", str(bench / "qa.json"), "--videos", str(bench / "video"), "--out", str(bench / "out")]
    return CliRunner().invoke(avhbench, [*arguments, *more])


def test_the_command_asks_scores_and_prints_the_table(bench: Path) -> None:
    done = command(bench, "--model", "majority")  # without a class of its own it takes the first option, Yes
    assert done.exit_code == 0, done.output
    scores = json.loads((bench / "out" / "avhbench_scores.json").read_text())
    assert [row["task"] for row in scores["tasks"]] == list(map(str, Task))
    matching = next(row for row in scores["tasks"] if row["task"] == Task.MATCHING)
    assert (matching["mean"], matching["yes"]) == (pytest.approx(2 / 3), 1.0)
    captioning = next(row for row in scores["tasks"] if row["task"] == Task.CAPTIONING)
    assert (captioning["unsupported"], captioning["mean"]) == (1, None)  # it can only choose
    assert max(map(len, done.output.splitlines())) <= 120
    assert re.search(r"\nAV Matching +accuracy +66\.7 \[", done.output)
    assert (
        f"page: {bench / 'out' / 'avhbench.md'}\nnext: mma-bench avhbench-compare {bench / 'out'} TUNED" in done.output
    )
    assert main(bench / "out") == scores


def test_a_limit_takes_whole_videos_and_can_be_raised(bench: Path) -> None:
    assert command(bench, "--model", "random", "--set", "seed=3", "--limit", "1").exit_code == 0
    path = bench / "out" / "avhbench_predictions.jsonl"
    assert {row.video_id for row in read_avh_predictions(path)} == {"00191"}
    assert "holds another run" in str(command(bench, "--model", "random").exception)  # another seed is another run
    assert command(bench, "--model", "random", "--set", "seed=3").exit_code == 0
    assert len(read_avh_predictions(path)) == len(ITEMS)


def test_a_model_that_answers_from_classes_is_refused(bench: Path) -> None:
    assert isinstance(command(bench, "--model", "oracle").exception, ConfigError)
    assert not (bench / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"), [('{"key": "a"}\n', "line 1: not an AVHBench prediction"), ("", "contains no predictions")]
)
def test_a_file_that_holds_no_prediction_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "avhbench_predictions.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_avh_predictions(path)
