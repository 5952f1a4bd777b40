"""Reading predictions.jsonl: cut, broken, repeated and mixed files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mma_bench.errors import DataError
from mma_bench.evaluation.predictions import read_predictions
from tests.evaluation.runs import prediction, write_predictions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "predictions.jsonl"


def test_what_was_written_is_read_in_the_order_of_keys(path: Path) -> None:
    rows = [prediction(base) for base in ("c", "a", "b")]
    assert read_predictions(write_predictions(path, rows)) == sorted(rows, key=lambda row: row.key)


def test_the_last_attempt_at_a_prompt_counts(path: Path) -> None:
    failed, then = prediction(status="failed"), prediction(answer="Cat")
    assert read_predictions(write_predictions(path, [failed, prediction("b"), then])) == [prediction("b"), then]


@pytest.mark.parametrize("cut", [1, 2, 40, -2])
def test_a_cut_last_line_is_ignored(path: Path, cut: int) -> None:
    write_predictions(path, [prediction("a"), prediction("b")])
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:cut])
    assert [row.base_id for row in read_predictions(path)] == ["a"]
    # Even if what is left is JSON: without its newline the line was not finished.
    path.write_bytes(first + second[:-1])
    assert [row.base_id for row in read_predictions(path)] == ["a"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{broken\n", "line 2: not JSON"),
        (b"\xff\xfe\n", "line 2: not JSON"),
        (b"\n", "line 2: not JSON"),
        (b'{"key": "x"}\n', r"line 2: not a prediction \(the key 'id' is missing\)"),
        (b'{"strange": 1}\n', r"line 2: not a prediction \(the key 'strange' is unknown\)"),
        (b"[1, 2]\n", "line 2: not a prediction"),
        (b"7\n", r"line 2: not a prediction \(it is no JSON object\)"),
    ],
)
def test_a_bad_line_is_named(path: Path, line: bytes, complaint: str) -> None:
    write_predictions(path, [prediction("a"), prediction("b")])
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + line + second)
    with pytest.raises(DataError, match=complaint):
        read_predictions(path)


@pytest.mark.parametrize("content", [None, b"", b'{"key": "cut'])
def test_no_predictions_are_an_error_that_names_the_mend(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"(?s)predictions\.jsonl.*mma-bench infer"):
        read_predictions(path)


@pytest.mark.parametrize(
    "change",
    [{"model": "other"}, {"model_revision": "r2"}, {"adapter": "lora"}, {"adapter_revision": "r9"}],
)
def test_two_runs_in_one_file_are_refused(path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="mixes 2 models"):
        read_predictions(write_predictions(path, [prediction("a"), replace(prediction("b"), **change)]))


def test_an_unknown_condition_or_a_wrong_type_is_named_with_its_line(path: Path) -> None:
    write_predictions(path, [prediction("a"), replace(prediction("b"), condition="upside_down")])
    with pytest.raises(DataError, match=r"predictions\.jsonl, line 2: unknown condition 'upside_down'"):
        read_predictions(path)
    write_predictions(path, [prediction("a"), replace(prediction("b"), key=["b"])])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"line 2: not a prediction \(key: "):
        read_predictions(path)


def test_a_single_line_that_was_not_ended_is_said_to_be_so(path: Path) -> None:
    write_predictions(path, [prediction("a")])
    path.write_bytes(path.read_bytes().rstrip())
    with pytest.raises(DataError, match=r"(?s)no complete line: .* a newline.*end each line with a newline"):
        read_predictions(path)


_LOGPROBS = {"Bird": -1.0, "Cat": -2.0, "Rain": -3.0, "Bowed_string_instrument": -4.0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"question": "smell"}, r"unknown question 'smell'(?s:.*)visual, audio, text, time"),
        ({"protocol": "forced"}, "unknown protocol 'forced'(?s:.*)did you mean forced_choice"),
        ({"condition": "misalgned"}, "unknown condition 'misalgned'(?s:.*)did you mean misaligned"),
        ({"options": []}, "no options"),
        ({"options": ["Bird", ""]}, "an option without a name"),
        ({"logprobs": {"Bird": -1.0}}, "`logprobs` is not a finite number for each option"),
        ({"logprobs": _LOGPROBS | {"Cat": float("nan")}}, "`logprobs` is not a finite number for each option"),
        (
            {"logprobs": _LOGPROBS, "prior_logprobs": {"Cat": -1.0}},
            "`prior_logprobs` is not a finite number for each option",
        ),
        (
            {"logprobs": _LOGPROBS, "option_tokens": dict.fromkeys(_LOGPROBS, 0)},
            "`option_tokens` is not a number above 0 for each option",
        ),
        ({"condition": "degraded_audio"}, "no manipulation under degraded_audio(?s:.*)pink_noise"),
        (
            {"condition": "degraded_audio", "manipulation": "pink_nois", "level": 1.0},
            "unknown manipulation 'pink_nois' under degraded_audio(?s:.*)did you mean pink_noise",
        ),
        ({"condition": "degraded_audio", "manipulation": "pink_noise"}, "pink_noise has no finite `level`"),
    ],
)
def test_a_value_that_cannot_be_scored_is_named_with_its_line(path: Path, change: dict[str, Any], said: str) -> None:
    write_predictions(path, [prediction("a"), replace(prediction("b"), **change)])
    with pytest.raises(DataError, match=r"predictions\.jsonl, line 2: " + said):
        read_predictions(path)
