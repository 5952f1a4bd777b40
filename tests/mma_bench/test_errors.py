"""An error of a clip names the clip, under the name that a person knows it by."""

import pickle
from pathlib import Path

import pytest

from mma_bench.errors import InvalidInput, Retryable


def test_the_detail_begins_with_what_it_is_about() -> None:
    error = InvalidInput("no_audio_stream", "no audio stream", subject=Path("data/acquired/test/cat-1.mp4"))
    assert error.detail == "data/acquired/test/cat-1.mp4: no audio stream"
    assert str(error) == "no_audio_stream: data/acquired/test/cat-1.mp4: no audio stream"
    assert Retryable("timeout", "no answer").detail == "no answer"


def test_whoever_knows_a_better_name_sets_it_and_the_problem_stays() -> None:
    with pytest.raises(InvalidInput) as raised:
        try:
            raise InvalidInput("too_long", "3 s long", subject=".tmp-1.mp4")
        except InvalidInput as error:
            error.subject = "'mirror/cat.mp4'"
            raise
    assert raised.value.detail == "'mirror/cat.mp4': 3 s long"
    assert raised.value.reason == "too_long"


def test_the_subject_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(Retryable("timeout", "no answer", subject="cat-1")))  # noqa: S301
    assert (type(error), error.reason, error.detail) == (Retryable, "timeout", "cat-1: no answer")
