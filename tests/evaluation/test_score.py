"""Scores: every number worked out by hand from a few answers."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench import stats
from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation import score
from mma_bench.evaluation.seen_classes import read_seen_classes
from mma_bench.stats import Estimate, format_estimate
from mma_bench.tables import read_json
from tests.evaluation.runs import CLASSES, answers, prediction, write_predictions, write_run


def _only(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def test_an_answer_that_cannot_be_read_is_wrong_and_a_failed_prompt_has_none() -> None:
    rows = [
        prediction("a", answer="Bird"),
        prediction("b", answer="Cat"),
        prediction("c", status="unparseable"),
        prediction("d", status="failed"),
        prediction("e", status="failed"),
    ]
    scores = score.score(rows)
    (found,) = scores["accuracy"]
    assert (found["prompts"], found["n"], found["unparseable"], found["failed"]) == (5, 3, 1, 2)
    assert (found["mean"], found["parsed"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert found["chance"] == 1 / 4
    assert scores["failed"] == 2
    assert score.accuracy(rows) == [found]


@pytest.mark.parametrize("status", ["unsupported", "refused"])
def test_what_the_model_cannot_take_or_refuses_is_neither_an_answer_nor_missing(status: str) -> None:
    rows = [
        prediction("a", answer="Bird"),
        *(prediction(base, "long_context", status=status, error="too long") for base in "bc"),
    ]
    scores = score.score(rows)
    found = _only(scores["accuracy"], condition="long_context")
    assert (found["prompts"], found["n"], found["mean"]) == (2, 0, None)
    assert (found["unparseable"], found["failed"], found[status]) == (0, 0, 2)
    assert status not in _only(scores["accuracy"], condition="aligned"), "counted only where there are some"
    assert (scores["failed"], scores[status]) == (0, 2)
    assert not [row for row in scores["capture"] if row["condition"] == "long_context" and row["n"]]


@given(st.lists(st.sampled_from(["right", "wrong", "unparseable", "failed"]), min_size=1, max_size=20))
@settings(deadline=None, max_examples=60)
def test_prompts_add_up(kinds: list[str]) -> None:
    rows = [
        prediction(
            str(i),
            answer="Bird" if kind == "right" else "Cat",
            status=kind if kind in ("unparseable", "failed") else "ok",
        )
        for i, kind in enumerate(kinds)
    ]
    (found,) = score.accuracy(rows)
    assert found["n"] + found["failed"] == found["prompts"] == len(kinds)
    right, answered = kinds.count("right"), len(kinds) - kinds.count("failed")
    assert found["mean"] == (pytest.approx(right / answered) if answered else None)
    assert found["parsed"] == (pytest.approx(1 - kinds.count("unparseable") / answered) if answered else None)


def test_a_run_of_failures_has_no_accuracy() -> None:
    scores = score.score([prediction(condition=c, status="failed") for c in ("aligned", "misaligned")])
    assert [row["mean"] for row in scores["accuracy"]] == [None, None]
    (drop,) = scores["drop"]
    assert (drop["difference"], drop["p"], drop["clusters"]) == (None, None, 0)
    assert "p_holm" not in drop


def test_cells_come_in_the_papers_order() -> None:
    scores = score.score(list(reversed(answers(4))))
    cells = [(row["condition"], row["question"]) for row in scores["accuracy"]]
    assert cells[:4] == [
        ("aligned", "visual"),
        ("aligned", "audio"),
        ("misaligned", "visual"),
        ("misaligned", "audio"),
    ]
    assert len(cells) == 12


def test_capture_by_hand() -> None:
    conflict = {"condition": "misaligned", "question": "audio", "seen": "Bird", "heard": "Cat"}
    given_answers = ["Cat", "Bird", "Bird", "Bird", "Rain"]
    rows = [prediction(f"c{i}", answer=answer, **conflict) for i, answer in enumerate(given_answers)]
    rows += [prediction("u", status="unparseable", **conflict), prediction("f", status="failed", **conflict)]
    shares = {row["captured_by"]: (row["mean"], row["n"]) for row in score.score(rows)["capture"]}
    assert shares == {
        "truth": (pytest.approx(1 / 6), 6),
        "other_modality": (0.5, 6),
        "neither": (pytest.approx(1 / 6), 6),
        "unparseable": (pytest.approx(1 / 6), 6),
    }


def test_capture_by_the_caption_by_hand() -> None:
    rows = [
        prediction(f"c{i}", "misleading_caption", "visual", answer, caption="Cat")
        for i, answer in enumerate(["Bird", "Cat", "Cat", "Rain"])
    ]
    shares = {row["captured_by"]: row["mean"] for row in score.score(rows)["capture"]}
    assert shares == {"truth": 0.25, "caption": 0.5, "neither": 0.25, "unparseable": 0.0}


def test_without_a_conflict_nothing_captures() -> None:
    assert score.score([prediction()])["capture"] == []


option = st.sampled_from(CLASSES)


@given(
    st.lists(
        st.tuples(option, option, st.none() | option, st.none() | option, st.sampled_from(["visual", "audio"])),
        min_size=1,
        max_size=15,
    )
)
@settings(deadline=None, max_examples=60)
def test_capture_shares_add_to_one(drawn: list[tuple[str, str, str | None, str | None, str]]) -> None:
    rows = [
        prediction(
            *(f"c{i}", "misaligned", question, answer),
            seen=seen,
            heard=heard,
            caption=caption,
            status="unparseable" if answer is None else "ok",
        )
        for i, (seen, heard, caption, answer, question) in enumerate(drawn)
    ]
    by_question: dict[str, float] = {}
    for row in score.score(rows)["capture"]:
        by_question[row["question"]] = by_question.get(row["question"], 0.0) + row["mean"]
    assert all(total == pytest.approx(1.0) for total in by_question.values())


def test_drops_are_paired_by_clip_and_corrected() -> None:
    rows = []
    for i in range(8):
        rows.append(prediction(f"c{i}", "aligned"))
        rows.append(prediction(f"c{i}", "misaligned", answer="Cat", heard="Cat"))
        rows.append(prediction(f"c{i}", "frames_zeroed", answer="Bird" if i else "Cat"))
    rows.append(prediction("alone", "misaligned", answer="Bird", heard="Cat"))  # no aligned answer: not compared
    drops = score.score(rows)["drop"]
    misaligned, zeroed = (_only(drops, condition=name) for name in ("misaligned", "frames_zeroed"))
    assert (misaligned["difference"], misaligned["clusters"], misaligned["unpaired"]) == (-1.0, 8, 1)
    assert misaligned["p"] == stats.paired([-1.0] * 8, [list(range(8))]).p
    assert misaligned["p_holm"] == pytest.approx(2 * misaligned["p"])
    assert (zeroed["difference"], zeroed["unpaired"]) == (-1 / 8, 0)
    assert zeroed["p_holm"] == zeroed["p"] == stats.paired([-1.0] + [0.0] * 7, [list(range(8))]).p
    assert all(row["condition"] != "aligned" for row in drops)


def test_hearing_under_conflict_is_compared_with_the_donors_own_clip() -> None:
    rows = [
        prediction("base", "aligned", "audio", "Bird"),
        prediction("donor", "aligned", "audio", "Bird", seen="Cat", heard="Cat"),  # this sound is not understood
        prediction("base", "misaligned", "audio", "Bird", heard="Cat", donor_id="donor"),  # nor is it here
        prediction("other", "misaligned", "audio", "Cat", heard="Cat", donor_id="unasked"),
        prediction("base", "aligned", "visual", "Bird"),
        prediction("base", "misaligned", "visual", "Bird", heard="Cat", donor_id="donor"),
    ]
    seeing, hearing = score.score(rows)["drop"]
    assert (hearing["difference"], hearing["clusters"], hearing["unpaired"]) == (0.0, 1, 1)
    assert (seeing["compared_with"], hearing["compared_with"]) == ("base", "donor")
    assert (seeing["difference"], seeing["unpaired"]) == (0.0, 0)


def test_seeds_of_a_clip_are_averaged_before_it_is_compared() -> None:
    rows = [prediction("a", "aligned", seed=seed) for seed in range(3)]
    rows += [prediction("a", "frames_zeroed", answer="Cat" if seed else "Bird", seed=seed) for seed in range(3)]
    (drop,) = score.score(rows)["drop"]
    assert (drop["difference"], drop["clusters"]) == (pytest.approx(-2 / 3), 1)


def test_the_headline_by_hand() -> None:
    given = [("Bird", "Cat"), ("Bird", "Bird"), ("Rain", "Cat"), ("Bird", None)]
    conflict: dict[str, Any] = {"condition": "misaligned", "heard": "Cat", "donor_id": "d"}
    rows = [
        prediction(f"c{i}", question=question, answer=answer, status="ok" if answer else "unparseable", **conflict)
        for i, pair in enumerate(given)
        for question, answer in zip(("visual", "audio"), pair, strict=True)
    ]
    for question, answer in (("visual", "Cat"), ("audio", "Bird")):
        rows.append(prediction("c0", "misleading_caption", question, answer, caption="Cat"))
    rows += [prediction("half", "misaligned", "visual", heard="Cat", donor_id="d")]
    found = {(row["measure"], row["question"]): (row["mean"], row["chance"]) for row in score.score(rows)["headline"]}
    assert found == {
        ("both_right", "both"): (1 / 4, 1 / 16),
        ("accuracy", "visual"): (4 / 5, 1 / 4),
        ("accuracy", "audio"): (2 / 4, 1 / 4),
        ("balanced_accuracy", "visual"): (4 / 5, 1 / 4),
        ("balanced_accuracy", "audio"): (2 / 4, 1 / 4),
        ("led_by_other", "visual"): (0.0, 1 / 4),
        ("led_by_other", "audio"): (1 / 4, 1 / 4),
        ("led_by_caption", "visual"): (1.0, 1 / 4),
        ("led_by_caption", "audio"): (0.0, 1 / 4),
    }


def test_every_class_weighs_the_same_in_the_balanced_accuracy() -> None:
    rows = [
        prediction(f"c{i}", "misaligned", question, answer, seen=seen, heard="Rain", donor_id="d")
        for i, (seen, answer) in enumerate([("Bird", "Bird")] * 9 + [("Cat", "Bird")])
        for question in ("visual", "audio")
    ]
    found = {(row["measure"], row["question"]): row["mean"] for row in score.score(rows)["headline"]}
    assert (found["accuracy", "visual"], found["balanced_accuracy", "visual"]) == (0.9, 0.5)


def test_the_headline_stands_first() -> None:
    scores = score.score(answers(6))
    assert next(iter(scores)) == "headline"
    metrics = score.as_metrics(scores)
    assert list(metrics) == ["forced_choice", "failed"]
    assert list(metrics["forced_choice"])[:2] == ["headline", "aligned"]
    assert metrics["forced_choice"]["headline"]["both_right"]["both"] == scores["headline"][0]["mean"]
    assert score.as_csv(scores).splitlines()[1].startswith("forced_choice · misaligned · both,")


def test_each_protocol_drops_from_its_own_aligned() -> None:
    rows = [
        prediction("a", "aligned", protocol="forced_choice"),
        prediction("a", "misaligned", protocol="forced_choice", heard="Cat"),
        prediction("a", "misaligned", protocol="abstention", heard="Cat"),
    ]
    assert [row["protocol"] for row in score.score(rows)["drop"]] == ["forced_choice"]


def test_seeds_of_a_clip_are_one_cluster() -> None:
    rows = [prediction("a", seed=s, answer="Bird" if s else "Cat") for s in range(3)] + [prediction("b")]
    (found,) = score.accuracy(rows)
    assert (found["n"], found["clusters"], found["mean"], found["method"]) == (4, 2, 0.75, "effective")


def test_a_class_is_that_which_the_question_asks_for() -> None:
    rows = [
        prediction("a", "misaligned", question, answer="Bird", seen="Bird", heard="Cat")
        for question in ("visual", "audio")
    ]
    found = {(row["question"], row["group"]): row["mean"] for row in score.score(rows)["by_class"]}
    assert found == {("visual", "Bird"): 1.0, ("audio", "Cat"): 0.0}


def test_distances_are_in_numeric_order_and_only_where_there_is_one() -> None:
    rows = [prediction(f"c{d}", "misaligned", heard="Cat", class_distance=d) for d in (10, 2, 4)] + [prediction("z")]
    assert [row["group"] for row in score.score(rows)["by_distance"]] == [2, 4, 10]


def test_seen_and_unseen_classes() -> None:
    rows = [
        prediction("a", "misaligned", "audio", answer="Cat", seen="Bird", heard="Cat"),
        prediction("b", "misaligned", "audio", answer="Cat", seen="Cat", heard="Rain"),
    ]
    assert "by_seen" not in score.score(rows)
    found = {row["group"]: row["mean"] for row in score.score(rows, frozenset({"Cat"}))["by_seen"]}
    assert found == {"seen": 1.0, "unseen": 0.0}


def test_main_writes_what_it_returns_and_needs_no_run(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions.jsonl", answers(4))
    seen = tmp_path / "seen.txt"
    seen.write_text("Bird\n\n Cat \n")
    scores = score.main(tmp_path, seen)
    assert read_json(tmp_path / "scores.json") == scores
    assert {row["group"] for row in scores["by_seen"]} == {"seen", "unseen"}
    first = (tmp_path / "scores.json").read_bytes()
    score.main(tmp_path, seen)
    assert (tmp_path / "scores.json").read_bytes() == first


def test_the_order_of_answers_changes_nothing() -> None:
    rows = answers(6)
    assert score.score(rows[::-1]) == score.score(rows)


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"predictions\.jsonl does not exist"):
        score.main(tmp_path)
    write_run(tmp_path, [prediction()])
    with pytest.raises(ConfigError, match=r"absent\.txt does not exist"):
        score.main(tmp_path, tmp_path / "absent.txt")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Estimate(0.5, 0.25, 0.75, 8, 8, "effective"), "50.0 [25.0, 75.0]"),
        ({"mean": 0.7321, "low": 0.6512, "high": 0.8034}, "73.2 [65.1, 80.3]"),
        (Estimate(None, None, None, 0, 0, "none"), "–"),
    ],
)
def test_estimates_read_as_percent(cell: Any, text: str) -> None:
    assert format_estimate(cell) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_of_classes_is_read_however_it_was_saved(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "seen.txt").write_text("Cat\nVögel\n", encoding=encoding)
    assert read_seen_classes(tmp_path / "seen.txt", lambda: ["Vögel"]) == {"Cat", "Vögel"}
    (tmp_path / "seen.txt").write_text("Cat\nVögel\n", encoding="latin-1")
    with pytest.raises(DataError, match=r"seen\.txt, line 2: not UTF-8"):
        read_seen_classes(tmp_path / "seen.txt")


def test_the_lead_is_of_forced_choice_and_short() -> None:
    rows = [*answers(), *answers(protocol="abstention", seed=1)]
    scores = score.score(rows)
    own = {(row["measure"], row["question"]): row["mean"] for row in score.score(answers())["headline"]}
    assert score.as_headline(scores) == {
        "both": own["both_right", "both"],
        "sees": own["accuracy", "visual"],
        "hears": own["accuracy", "audio"],
        "astray": own["led_by_other", "audio"],
    }
