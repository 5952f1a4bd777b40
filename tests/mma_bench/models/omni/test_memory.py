"""Memory that runs out: halves, then an error of the prompt, never another answer."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.models.contracts import Prompt
from mma_bench.models.omni.memory import in_halves
from tests.mma_bench.models.omni.omni_plain import OPTIONS, TEXT, engine, task

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

WRITE = Prompt("write", TEXT, max_new_tokens=4)
SCORE = Prompt("score", TEXT, mode="score", options=OPTIONS)
SHORTAGES = (
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Makes the language model run out of memory when it gets more tokens at once than allowed."""

    def install(most: int, error: Exception, *, heads: bool = False) -> list[int]:
        language_model = engine()._reader._text
        forward, lengths = language_model.forward, []

        def limited(*args: Any, **kwargs: Any) -> Any:
            ids = kwargs.get("input_ids")
            length = (kwargs["inputs_embeds"] if ids is None else ids).shape[1]
            if length > most and (ids is not None or heads):
                raise error
            lengths.append(length)
            return forward(*args, **kwargs)

        monkeypatch.setattr(language_model, "forward", limited)
        return lengths

    return install


@pytest.mark.parametrize("error", SHORTAGES)
def test_what_does_not_fit_is_done_in_halves_with_the_same_result(
    limit: Callable[..., list[int]], error: Exception
) -> None:
    (wanted,) = engine().answer([task(WRITE, SCORE)])
    lengths = limit(8, error)
    (answers,) = engine().answer([task(WRITE, SCORE)])
    assert max(lengths[1:]) <= 8
    assert answers[0].text == wanted[0].text
    assert answers[1].logprobs == pytest.approx(wanted[1].logprobs, abs=1e-4)
    assert [answer.error for answer in answers] == [None, None]


def test_a_prompt_that_fits_in_no_way_fails_and_the_next_goes_on(limit: Callable[..., list[int]]) -> None:
    limit(2, SHORTAGES[0])
    failed, text = engine().answer([task(replace(SCORE, options=("Bowed string instrument",)), WRITE)])[0]
    assert failed.logprobs is None
    assert failed.error is not None
    assert "clip-0: out of memory" in failed.error
    assert text.error is None


def test_a_clip_that_does_not_fit_fails_for_all_its_prompts(limit: Callable[..., list[int]]) -> None:
    limit(60, SHORTAGES[0], heads=True)
    heard, unheard = engine().answer([task(WRITE, SCORE), task(WRITE, condition="audio_dropped")])
    assert all(answer.error is not None and "clip-0: out of memory" in answer.error for answer in heard)
    assert unheard[0].error is None


def test_another_error_is_not_taken_for_a_shortage(limit: Callable[..., list[int]]) -> None:
    limit(2, RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(RuntimeError, match="device-side assert"):
        engine().answer([task(WRITE)])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(), max_size=20), st.integers(1, 20))
def test_halves_keep_order_and_fit(items: list[int], most: int) -> None:
    sizes = []

    def work(part: Any) -> list[int]:
        if len(part) > most:
            raise RuntimeError("out of memory")
        sizes.append(len(part))
        return [2 * item for item in part]

    assert in_halves(work, items) == [2 * item for item in items]
    assert sum(sizes) == len(items)
