"""Runs against each other: on their common clips, on the same data, and both senses together."""

from typing import Any

import pytest

from mma_bench.errors import ConfigError
from mma_bench.evaluation.cells import by_cell
from mma_bench.evaluation.comparisons import clips_of, compare_runs, drops
from mma_bench.evaluation.predictions import Prediction
from mma_bench.stats import paired
from tests.evaluation.runs import prediction


def _compared(*sides: list[Prediction]) -> list[dict[str, Any]]:
    return compare_runs(*(clips_of(by_cell(side)) for side in sides))


def test_runs_are_compared_on_common_clips() -> None:
    first = [prediction(f"c{i}", answer="Cat") for i in range(6)]
    second = [prediction(f"c{i}") for i in range(1, 7)]
    (found,) = _compared(first, second)
    assert (found["difference"], found["clusters"]) == (1.0, 5)
    assert found["p_holm"] == found["p"] == paired([1.0] * 5, [list(range(5))]).p
    assert _compared(first, [prediction(question="audio")]) == []


def test_runs_on_other_data_are_not_compared() -> None:
    with pytest.raises(ConfigError, match="different data under aligned"):
        _compared([prediction()], [prediction(dataset_fingerprint="0" * 64)])


def test_an_answer_that_cannot_be_read_is_compared_and_a_failed_prompt_is_not() -> None:
    first = [prediction(name) for name in "abc"]
    second = [prediction("a"), prediction("b", status="unparseable"), prediction("c", status="failed")]
    (found,) = _compared(first, second)
    assert (found["difference"], found["clusters"]) == (-0.5, 2)


def test_both_senses_are_compared_clip_by_clip() -> None:
    def run(saw: str, heard: str) -> list[Prediction]:
        return [
            prediction(f"c{i}", "misaligned", question, answer, heard="Cat", donor_id="d")
            for i in range(4)
            for question, answer in (("visual", saw), ("audio", heard))
        ]

    rows = _compared(run("Bird", "Bird"), run("Bird", "Cat"))
    assert {row["question"]: row["difference"] for row in rows} == {"visual": 0.0, "audio": 1.0, "both": 1.0}


def test_the_sound_of_a_donor_is_compared_with_the_donors_own_clip() -> None:
    """Rain is heard in its own clip, and not over noise; what the base's clip sounded like does not matter."""
    own = [prediction(f"c{i}", question="audio", answer="Rain") for i in range(4)]
    own += [prediction(f"d{i}", question="audio", answer="Rain", heard="Rain", seen="Rain") for i in range(4)]
    noisy = [
        prediction(
            f"c{i}", "degraded_audio", "audio", "Bird", heard="Rain", donor_id=f"d{i}", manipulation="pink_noise"
        )
        for i in range(4)
    ]
    (row,) = drops(by_cell([*own, *noisy]))
    assert (row["compared_with"], row["difference"]) == ("donor", -1.0)
