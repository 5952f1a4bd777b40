"""What all runs of a model share: whose folder it is, what is asked, and what becomes of the answers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mma_bench.errors import ConfigError
from mma_bench.evaluation.asking import ask_all, claim
from mma_bench.executor.ledger import Entry, Ledger
from mma_bench.models.contracts import Answer, ClipTask, Prompt
from mma_bench.progress import Progress
from tests.evaluation.doubles import Scripted, says

TASKS = [
    ClipTask(name, name.encode(), "aligned", "", "", tuple(Prompt(key, f"{key}?") for key in ("visual", "audio")))
    for name in "abc"
]


def entry_of(clip: str, prompt: Prompt, answer: Answer) -> Entry:
    return {"key": f"{clip}/{prompt.key}", "status": "failed" if answer.error else "ok", "text": answer.text}


def ask(
    folder: Path, engine: Any, holds: Callable[..., bool] = lambda *_: True, batch: int = 2
) -> tuple[dict[str, str], int]:
    """Last answers by key, and clips counted."""
    path = folder / "answers.jsonl"
    with Ledger(path) as ledger, Progress("asking", len(TASKS)) as progress:
        clips = ((task.id, task) for task in TASKS)
        ask_all(engine, clips, ledger, progress, holds=holds, entry_of=entry_of, batch=batch)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["key"]: line["text"] for line in lines}, progress.done


class Preparing(Scripted):
    """Decodes ahead, and answers what it has decoded only."""

    def __init__(self) -> None:
        super().__init__(says("Cat"))
        self.prepared: list[str] = []

    def prepare(self, task: ClipTask) -> tuple[str, ClipTask]:
        self.prepared.append(task.id)
        return "prepared", task

    def answer(self, tasks: Sequence[Any]) -> list[list[Answer]]:
        assert {how for how, _ in tasks} == {"prepared"}
        return super().answer([task for _, task in tasks])


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_every_clip_is_counted_and_only_what_is_asked_is_decoded(tmp_path: Path, batch: int) -> None:
    first = Preparing()
    answers, done = ask(tmp_path, first, batch=batch)
    assert (set(answers), done, first.prepared) == (set(first.asked), 3, ["a", "b", "c"])
    second = Preparing()
    assert ask(tmp_path, second, batch=batch) == (answers, 3)
    assert (second.asked, second.prepared) == ([], [])


def test_what_no_longer_holds_and_what_failed_is_asked_again_and_nothing_else(tmp_path: Path) -> None:
    def reply(task: ClipTask, prompt: Prompt) -> Answer:
        failed = (task.id, prompt.key) == ("a", "audio")
        return Answer(prompt.key, error="out of memory") if failed else Answer(prompt.key, text="Cat")

    ask(tmp_path, Scripted(reply))
    engine = Scripted(says("Bird"))
    answers, _ = ask(tmp_path, engine, holds=lambda clip, prompt, _: (clip, prompt.key) != ("c", "visual"))
    assert sorted(engine.asked) == ["a/audio", "c/visual"]
    assert answers["c/visual"] == "Bird"
    assert answers["b/visual"] == "Cat"


def test_an_engine_that_leaves_an_answer_out_is_not_passed_over(tmp_path: Path) -> None:
    class Forgetful(Scripted):
        def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
            return [given[:1] for given in super().answer(tasks)]

    with pytest.raises(ValueError, match="shorter"):
        ask(tmp_path, Forgetful(says("Cat")))


RUN = {"model": "m", "settings": {"seeds": (0, 1)}, "data": {"aligned": "1"}}


def test_a_folder_is_one_run_s_to_which_conditions_may_be_added(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    claim(path, RUN)
    claim(path, {**RUN, "data": {"misaligned": "2"}})
    assert json.loads(path.read_text()) == {
        "model": "m",
        "settings": {"seeds": [0, 1]},
        "data": {"aligned": "1", "misaligned": "2"},
    }


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"model": "n"}, "another run: model was 'm' and is now 'n'"),
        ({"settings": {"seeds": (0,)}}, r"another run: settings\.seeds was \[0, 1\] and is now \[0\]\n"),
        (
            {"model": "n", "settings": {"seeds": (0, 1), "fps": 1.0}},
            "another run: model was 'm' and is now 'n'; settings.fps was absent and is now 1.0\n",
        ),
        (
            {"settings": {str(key): key for key in range(9)}},
            r"settings\.seeds was \[0, 1\] and is now absent; settings\.0 was absent and is now 0; .* and 5 more\n",
        ),
        ({"data": {"misaligned": "2", "aligned": "3"}}, "different data: aligned has changed since"),
    ],
)
def test_another_run_is_refused_by_the_key_that_differs_and_changes_nothing(
    tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    path = tmp_path / "run.json"
    claim(path, RUN)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=said):
        claim(path, {**RUN, **other})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "other", [{"model": "n"}, {"limit": 1}, {"data": {"misaligned": "2"}}, {"data": {"aligned": "3"}}]
)
def test_a_run_without_an_answer_may_be_replaced(tmp_path: Path, other: dict[str, Any]) -> None:
    path = tmp_path / "run.json"
    claim(path, RUN)
    claim(path, {**RUN, **other}, answered=False)
    assert json.loads(path.read_text()) == {**json.loads(json.dumps(RUN)), **other}
