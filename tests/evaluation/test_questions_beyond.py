"""Questions beyond picture and sound, put to responders of known behaviour."""

import pytest

from mma_bench.evaluation.infer import Plan, infer
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.protocols import Protocol, Sampling, prompts_of
from mma_bench.evaluation.score import score
from mma_bench.models import baselines
from mma_bench.models.contracts import ClipTask, Prompt
from tests.evaluation.doubles import OPTIONS, Rows, Scripted, row, says

CLASSES = {f"{name}{number}": name for name in OPTIONS for number in range(20)}


def answered(tmp_path, engine, condition: str, *protocols: Protocol) -> list[Prediction]:  # type: ignore[no-untyped-def]
    rows = [row(f"{clip}", "aligned", name, name) for clip, name in list(CLASSES.items())[::10]]
    path = infer(engine, Rows(rows), Plan((condition,), protocols, Sampling()), tmp_path, settings={})  # type: ignore[arg-type]
    return read_predictions(path)


def test_a_run_of_the_paper_s_conditions_has_no_new_tables(tmp_path) -> None:  # type: ignore[no-untyped-def]
    scores = score(answered(tmp_path, Scripted(says("Cat")), "aligned", Protocol.FORCED_CHOICE))
    assert not {"open_answers", "text_alone"} & scores.keys()


def test_synchrony_expects_yes_of_aligned_clips(tmp_path) -> None:  # type: ignore[no-untyped-def]
    found = answered(tmp_path, Scripted(says("Yes")), "aligned", Protocol.SYNCHRONY)
    assert {(each.question, each.expected, each.answer) for each in found} == {("time", "Yes", "Yes")}


def test_a_shifted_clip_is_not_in_sync() -> None:
    shifted = row("a", "shifted_audio") | {"manipulation": "shift", "level": 0.5}
    (prompt,) = prompts_of(shifted, [Protocol.SYNCHRONY])
    assert prompt.options == ("Yes", "No")
    assert prompt.text.endswith("Options: Yes, No. Answer using a single word or phrase.")


def test_open_answers_are_read_into_the_ontology(tmp_path) -> None:  # type: ignore[no-untyped-def]
    found = answered(tmp_path, Scripted(says("I see an owl.")), "aligned", Protocol.OPEN_ANSWER)
    assert {each.answer for each in found} == {"Bird"}
    shares = {each["distance"]: each["mean"] for each in score(found)["open_answers"] if each["question"] == "visual"}
    assert shares["narrower"] == pytest.approx(1 / 3)
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("protocol", [Protocol.FORCED_CHOICE, Protocol.SYNCHRONY, Protocol.OPEN_ANSWER])
def test_the_oracle_is_right(tmp_path, protocol: Protocol) -> None:  # type: ignore[no-untyped-def]
    engine = baselines.open_baseline("oracle", baselines.OracleSettings())
    found = answered(tmp_path, engine, "aligned", protocol)
    assert {each.answer == each.expected for each in found} - {False} == {True}


def test_the_oracle_knows_the_caption() -> None:
    engine = baselines.open_baseline("oracle", baselines.OracleSettings())
    asked = Prompt("text.written.0", "?", options=("Cat", "Rain"), question="text", protocol="written")
    task = ClipTask("a", b"", "three_way", "Cat", "Bird", (asked,), truths={asked.key: "Rain"})
    assert engine.answer([task])[0][0].text == "Rain"
