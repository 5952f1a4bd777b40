"""Chains of thought whose truth is known: what they name first and last, and whether the answer leaves it."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mma_bench.evaluation import report, score
from mma_bench.evaluation.cells import by_cell
from mma_bench.evaluation.chains import Chain, chain_text, chains, read_chain
from mma_bench.evaluation.parse import parse_answer
from mma_bench.evaluation.predictions import Prediction
from mma_bench.prompts import chain_of_thought
from mma_bench.stats import format_estimate
from mma_bench.tables import read_json
from tests.evaluation.pages import Page
from tests.evaluation.runs import CLASSES, prediction, write_run

SAYS = {"seen": "I see a {} in the frames.", "heard": "I hear a {} on the track.", "neither": "There is a {}."}


def chain(
    base: str,
    raw: str | None,
    condition: str = "misaligned",
    question: str = "audio",
    seen: str = "Bird",
    heard: str = "Cat",
    **others: Any,
) -> Prediction:
    """An answer as `infer` parses it."""
    heard = heard if condition == "misaligned" else seen
    answer = None if raw is None else parse_answer(raw, CLASSES, chain_of_thought=True)
    status = "failed" if raw is None else "unparseable" if answer is None else "ok"
    own = {"seen": seen, "heard": heard, "status": status, "protocol": "chain_of_thought", "raw": raw}
    return prediction(base, condition, question, answer, **{**own, **others})


def value(table: Sequence[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (row,) = [row for row in table if all(row[key] == value for key, value in wanted.items())]
    return row


def simulated(clips: int = 200, seed: int = 0) -> tuple[list[Prediction], dict[tuple[str, str], list[str]]]:
    """Chains of three sentences and a final answer, and the truth by measure and position."""
    rng = np.random.default_rng(seed)
    truth: dict[tuple[str, str], list[str]] = {}
    rows = []
    for number in range(clips):
        seen, heard, another, final = rng.permutation(CLASSES)[[0, 1, 2, int(rng.integers(3))]]
        order = rng.permutation(["seen", "heard", "neither"])[: rng.integers(1, 4)]
        shown = {"seen": seen, "heard": heard, "neither": another}
        raw = " ".join(SAYS[sense].format(shown[sense].replace("_", " ").lower()) for sense in order)
        ends = rng.random() < 0.9
        rows.append(chain(f"c{number:03}", raw + (f" Final Answer: {final}" if ends else ""), seen=seen, heard=heard))
        senses = [sense for sense in order if sense != "neither"] or ["neither"]
        for position, place in (("first", 0), ("last", -1)):
            truth.setdefault(("named", position), []).append(senses[place])
            if ends:
                truth.setdefault(("left", position), []).append(str(final != shown[order[place]]))
    return rows, truth


def test_simulated_chains_give_their_known_shares() -> None:
    rows, truth = simulated()
    table = chains(by_cell(rows))
    for cue, position, modality in product(("class", "word"), ("first", "last"), ("seen", "heard", "neither")):
        found = value(table, measure="named", cue=cue, position=position, modality=modality)
        assert found["mean"] == pytest.approx(truth["named", position].count(modality) / len(rows)), (cue, position)
        assert found["low"] < found["mean"] < found["high"]
    for position in ("first", "last"):
        known = truth["left", position]
        found = value(table, measure="left", position=position)
        assert found["n"] == len(known) < len(rows)
        assert found["mean"] == pytest.approx(known.count("True") / len(known))


def test_a_chain_names_what_it_affirms_in_order() -> None:
    said = "I see a bird. There is no cat. Is it rain? I hear a violin, and the bird again. Final Answer: Cat"
    assert read_chain(chain("a", said)) == Chain(("Bird", "Bowed_string_instrument", "Bird"), ("seen", "heard"))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("I see a bird. Final Answer: Cat", "i see a bird. "),
        ("<think>I see a bird.</think> Cat", "<think>i see a bird.</think>"),
        ("<think>I see a bird.</think> I hear it. Final Answer: Cat", "<think>i see a bird.</think> i hear it. "),
        ("<think>I see a bird", "<think>i see a bird"),
        ("I see a bird, and", "i see a bird, and"),
        ("Bird", ""),
        ("", ""),
    ],
)
def test_the_chain_is_what_precedes_the_final_answer(raw: str, text: str) -> None:
    answer = parse_answer(raw, CLASSES, chain_of_thought=True)
    found = chain_text(raw, answered=answer is not None)
    assert " ".join(found.split()) == " ".join(text.split())


def test_the_repeated_prompt_names_nothing() -> None:
    for question in ("visual", "audio"):
        prompt = chain_of_thought(question, CLASSES)  # type: ignore[arg-type]
        assert read_chain(chain("a", f"{prompt} Let me think. Final Answer: Cat")) == Chain((), ())


def test_on_aligned_clips_only_words_tell_the_modality() -> None:
    table = chains(by_cell([chain("a", "I hear a bird. Final Answer: Bird", "aligned")]))
    assert {row["cue"] for row in table if row["measure"] == "named"} == {"word"}
    assert value(table, measure="named", position="last", modality="heard")["mean"] == 1.0
    assert value(table, measure="left", position="last")["mean"] == 0.0


def test_failed_prompts_are_left_out_and_other_protocols_have_no_chains() -> None:
    rows = [chain("a", "I see a bird. Final Answer: Cat"), chain("b", None)]
    table = chains(by_cell(rows))
    assert {row["n"] for row in table} == {1}
    assert value(table, measure="left", position="first")["mean"] == 1.0
    assert chains(by_cell([prediction()])) == []
    assert "chains" not in score.score([prediction()])


def test_answers_that_share_a_donor_are_clustered() -> None:
    raws = ["I see a bird. Final Answer: Cat", "I hear a cat. Final Answer: Cat"]
    rows = [chain(f"c{i:02}", raws[i // 10 % 2], donor_id=f"d{i // 10}") for i in range(60)]
    alone = [chain(f"c{i:02}", raws[i // 10 % 2]) for i in range(60)]
    shared, single = (
        value(chains(by_cell(side)), measure="named", cue="class", position="first", modality="seen")
        for side in (rows, alone)
    )
    assert shared["mean"] == single["mean"] == 0.5
    assert shared["high"] - shared["low"] > 1.5 * (single["high"] - single["low"])


def test_scores_and_report_show_the_chains(tmp_path: Path) -> None:
    rows, _ = simulated(40)
    write_run(tmp_path, rows)
    score.main(tmp_path)
    report.main(tmp_path)
    scores, summary = read_json(tmp_path / "scores.json"), read_json(tmp_path / "report.json")
    assert summary["chains"] == scores["chains"]
    for text in (Page((tmp_path / "report.html").read_text()).text, (tmp_path / "report.md").read_text()):
        assert "What the chains name" in text
        for row in scores["chains"]:
            assert format_estimate(row) in text
    write_run(tmp_path, [prediction()])
    score.main(tmp_path)
    report.main(tmp_path)
    assert "What the chains name" not in (tmp_path / "report.html").read_text()
