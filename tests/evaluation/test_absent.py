"""Absent senses: the table tells a model that knows what it does not hear from one that answers from the picture."""

from itertools import product

from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.score import score
from tests.evaluation.runs import CLASSES, prediction

KINDS = [("audio_removed", None), ("absent_audio", "white_noise"), ("absent_audio", "room_tone")]
KINDS += [("frames_zeroed", None), ("absent_video", "grey"), ("absent_video", "frozen")]


def answers(fooled_by: str | None) -> list[Prediction]:
    """Answers "Rain" about an absent sense, but what the other sense shows where `fooled_by` replaces it."""
    rows = []
    for number, (condition, kind), question in product(range(8), KINDS, ("visual", "audio")):
        name = CLASSES[number % len(CLASSES)]
        gone = question == ("audio" if "audio" in condition else "visual") and kind != "frozen"
        answer = "Rain" if gone and kind != fooled_by else name
        steps = {} if kind is None else {"manipulation": kind, "id": f"clip{number}.{condition}.{kind}"}
        key = f"clip{number}.{condition}.{kind}/{question}.forced_choice.0"
        rows.append(prediction(f"clip{number}", condition, question, answer, seen=name, heard=name, key=key, **steps))
    return rows


def test_a_kind_that_is_taken_for_content_stands_out() -> None:
    table = score(answers("white_noise"))["absent"]
    about_it = {row["kind"]: (row["mean"], row["good"]) for row in table if row["question"] == row["sense"]}
    guessed = (0.25, "near chance")
    assert about_it == {
        "silence": guessed,
        "white noise": (1.0, "near chance"),
        "room tone": guessed,
        "black": guessed,
        "grey": guessed,
        "frozen": (1.0, "high"),
    }
    other = [row for row in table if row["question"] != row["sense"]]
    assert {(row["mean"], row["good"]) for row in other} == {(1.0, "high")}


def test_the_paper_s_conditions_alone_make_no_table() -> None:
    assert "absent" not in score([row for row in answers(None) if row.manipulation is None])
