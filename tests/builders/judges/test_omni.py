"""The omni judge on a tiny checkpoint: what reaches the model, its words and its probability of Yes, and the cache."""

import json
import math
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from mma_bench import layout
from mma_bench.builders import judge as stage
from mma_bench.builders.judges import open_judge
from mma_bench.builders.judges.contracts import View
from mma_bench.builders.judges.omni import OmniJudge
from mma_bench.config import OmniJudgeParams
from mma_bench.errors import InvalidInput, Retryable
from mma_bench.files import file_sha256
from mma_bench.models.contracts import Prompt
from mma_bench.models.omni.inputs import ClipInputs
from mma_bench.models.omni.media import decode
from mma_bench.prompts import NO, YES, judge_question
from tests.clips import clip as make_clip
from tests.mma_bench.models.omni.omni_plain import SETTINGS, checkpoint, plain, task

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@cache
def model_file() -> str:
    """A model's YAML file beside its checkpoint."""
    path = checkpoint() / "model.yaml"
    settings = {"checkpoint": str(checkpoint()), **SETTINGS}
    path.write_text(yaml.safe_dump({"name": "tiny", "engine": "transformers", "needs": "", "settings": settings}))
    return str(path)


def params(**other: Any) -> OmniJudgeParams:
    values = {
        **{"name": "omni", "model": model_file(), "settings": {}, "frames": 4, "decide_by": "answer"},
        **{"visual_threshold": 0.5, "audio_threshold": 0.5, "processes": 1},
    }
    return OmniJudgeParams.model_validate(values | other)


@cache
def judge() -> OmniJudge:
    opened = open_judge(params())
    assert isinstance(opened, OmniJudge)
    return opened


@cache
def view() -> View:
    """The clip of the plain way, with the frames that the checkpoint's processor takes of it at 2 a second."""
    media = decode(task(), judge()._model._inputs._processor.video_processor, fps=2.0, max_frames=None)
    return View(len(media.frames) / media.fps, media.frames, media.sound)


@pytest.mark.slow
@pytest.mark.parametrize(("condition", "only"), [("aligned", None), ("audio_dropped", "visual")])
def test_words_and_probability_equal_the_plain_way(condition: str, only: Any) -> None:
    asked = task(condition=condition)
    question = Prompt("check", judge_question("visual", "Bowed_string_instrument"), max_new_tokens=16)
    seen = view() if only is None else view().only(only)
    found = judge().ask(seen, "visual", "Bowed_string_instrument")
    assert found.words == plain().generate(asked, question)
    inputs, tokenizer = plain().inputs(asked, question), plain().processor.tokenizer

    def probability(words: tuple[str, ...]) -> float:
        return sum(math.exp(plain().score_ids(inputs, tokenizer(word)["input_ids"])) for word in words)

    yes, no = probability(YES), probability(NO)
    assert found.score == pytest.approx(yes / (yes + no), abs=1e-6)


@pytest.mark.slow
def test_a_closed_sense_is_not_in_the_prompt() -> None:
    """What the model gets of the four checks: no sound token without sound, only black without sight."""
    model, given = judge()._model, []
    clip_inputs = model._inputs.clip

    def spied(media: Any) -> ClipInputs:
        given.append((media, clip_inputs(media)))
        return given[-1][1]

    model._latest = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model._inputs, "clip", spied)
        stage.four_checks(judge(), view(), "Cat")
    (sight, sight_inputs), (hearing, hearing_inputs), (both, both_inputs) = given
    assert len(given) == 3, "media are encoded once for the two questions that share them"
    assert (sight.sound, sight_inputs.audio_tokens) == (None, 0)
    assert sight.frames.max() > 0
    assert hearing.frames.max() == 0
    assert hearing_inputs.audio_tokens > 0
    assert len(hearing.frames) == 4
    assert (both.frames is view().frames, both.sound is view().audio) == (True, True)
    assert both_inputs.audio_tokens == hearing_inputs.audio_tokens


@pytest.mark.slow
def test_what_is_seen_cannot_reach_the_check_of_hearing_nor_the_reverse() -> None:
    other = View(2.0, 255 - view().frames, 0.5 * view().audio)  # type: ignore[operator]
    heard, seen = (judge().ask(view().only(sense), sense, "Cat") for sense in ("audio", "visual"))  # type: ignore[arg-type]
    assert judge().ask(View(2.0, other.frames, view().audio).only("audio"), "audio", "Cat") == heard
    assert judge().ask(View(2.0, view().frames, other.audio).only("visual"), "visual", "Cat") == seen
    assert judge().ask(View(2.0, other.frames, view().audio), "audio", "Cat") != heard
    assert judge().ask(other.only("audio"), "audio", "Cat") != heard
    for sense, closed in (("visual", "audio"), ("audio", "visual")):
        with pytest.raises(ValueError, match=f"no {sense} content"):
            judge().ask(view().only(closed), sense, "Cat")  # type: ignore[arg-type]


def test_a_prompt_that_would_hear_what_it_must_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = judge()._model._inputs
    plain_clip = inputs.clip
    monkeypatch.setattr(inputs, "clip", lambda media: replace(plain_clip(media), audio_tokens=0))
    with pytest.raises(InvalidInput, match="wrong_modalities: the model would get 0 audio tokens"):
        judge().ask(View(2.0, view().frames, view().audio), "audio", "Cat")


def test_out_of_memory_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA out of memory")

    reader = judge()._model._reader
    monkeypatch.setattr(reader, "read_clip", full)
    with pytest.raises(Retryable, match=r"out_of_memory: .* lower judge\.frames"):
        judge().ask(View(2.0, view().frames, view().audio), "audio", "Cat")
    monkeypatch.undo()
    monkeypatch.setattr(reader, "generate", full)
    with pytest.raises(Retryable, match=r"out_of_memory: .* a question do not fit"):
        judge().ask(View(2.0, view().frames, view().audio), "audio", "Cat")


def test_the_revision_holds_what_an_answer_depends_on_and_nothing_else() -> None:
    same = [{}, {"processes": 3}, {"settings": {"device_map": "cpu", "fps": 1.0}}]
    other = [
        {"frames": 6},
        {"decide_by": "probability"},
        {"audio_threshold": 0.4},
        {"settings": {"max_pixels": 56 * 56}},
        {"settings": {"dtype": "bfloat16"}},
    ]
    assert len({open_judge(params(**changed)).revision for changed in same}) == 1
    assert len({open_judge(params(**changed)).revision for changed in [{}, *other]}) == 1 + len(other)


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Two normalised clips in a project of its own."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for name, seconds in (("a", 1.0), ("b", 2.0)):
        path = make_clip(Path(f"{name}.mp4"), seconds)
        row = {"clip_id": name, "split": "test", "class_name": "Cat", "path": str(path), "duration_s": seconds}
        rows.append({**row, "sha256": file_sha256(path)})
    return rows


@pytest.mark.slow
def test_answers_are_kept_by_clip_question_and_judge(clips: list[dict[str, Any]]) -> None:
    ledger, first = layout.ledger("judge"), params()
    Path("c.mp4").write_bytes(b"no clip")
    broken = {**clips[0], "clip_id": "c", "path": "c.mp4", "sha256": "0"}
    table = stage.judged([*clips, broken], first, workers=2)
    assert table["status"].to_list() == ["rejected", "rejected", "refused"], "random weights say no"
    answers = pl.col("^.*_(score|pass|answer)$")
    assert table.head(2).select(answers).null_count().sum_horizontal().item() == 0
    assert table.tail(1).select(answers).null_count().sum_horizontal().item() == 12
    assert table.head(2).select(pl.all_horizontal(pl.col("^.*_score$").is_between(0, 1)).all()).item()
    assert ", answered " in table["detail"][0]
    assert "c.mp4" in table["detail"][2]
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert len(entries) == 3
    assert all(table["judge_revision"][0] in entry["key"] for entry in entries)

    def again(rows: list[dict[str, Any]], chosen: OmniJudgeParams = first) -> int:
        before = len(ledger.read_text().splitlines())
        assert stage.judged(rows, chosen, workers=2).height == len(rows)
        return len(ledger.read_text().splitlines()) - before

    shutil.copy("a.mp4", "renamed.mp4")
    renamed = {**clips[0], "clip_id": "renamed", "split": "train", "path": "renamed.mp4"}
    assert again([*clips, renamed]) == 0, "the same bytes"
    assert again(clips[:1], params(decide_by="probability")) == 1, "another rule"
    assert again(clips) == 0, "back to the first judge"
