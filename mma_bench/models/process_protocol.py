"""Validates the JSON lines between the `process` engine and its program; documented in `process`."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from mma_bench.models.contracts import Answer, ClipTask, Mode, Prompt
from mma_bench.models.thoughts import without_thoughts
from mma_bench.settings import problems

_PROMPT_FIELDS: Final = (*("key", "text", "mode", "options", "max_new_tokens", "temperature", "seed"),)


class ProcessFault(Exception):
    """The program violated the protocol, died or timed out."""


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)  # other keys are ignored


class Hello(_Message):
    """The program's first line."""

    protocol: Literal[1, 2]
    name: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(min_length=1)]
    modes: Annotated[frozenset[Mode], Field(min_length=1)] = frozenset({"generate"})


class _Fed(_Message):
    """What the program gave to the model."""

    frames: Annotated[int, Field(ge=0)]
    sound_s: Annotated[FiniteFloat, Field(ge=0)]
    tokens: Annotated[int, Field(ge=1)] | None = None
    context: Annotated[int, Field(ge=1)] | None = None


class _ReplyAnswer(_Message):
    key: str
    text: str | None = None
    logprobs: dict[str, FiniteFloat] | None = None
    option_tokens: dict[str, Annotated[int, Field(ge=1)]] | None = None
    prior_logprobs: dict[str, FiniteFloat] | None = None
    error: str | None = None
    unsupported: str | None = None
    fed: _Fed | None = None
    usage: dict[str, Any] = {}


class _Reply(_Message):
    answers: list[_ReplyAnswer]


Line = TypeVar("Line", bound=_Message)
Number = TypeVar("Number", int, float)


def request(task: ClipTask, video: str) -> dict[str, Any]:
    """The request for the clip at the path `video`."""
    prompts = [{name: getattr(prompt, name) for name in _PROMPT_FIELDS} for prompt in task.prompts]
    return {"id": task.id, "video": video, "hears": task.hears, "prompts": prompts}


def read_hello(line: str) -> Hello:
    """Parse the first line. Raises ProcessFault."""
    return _read(Hello, line, 'its first line is not {"protocol": 2, "name": ..., "revision": ...}')


def read_answers(line: str, prompts: Sequence[Prompt], *, hears: bool) -> list[Answer]:
    """Parse a reply; answers are in the order of the prompts.

    Args:
        line: The reply.
        prompts: Those of the request.
        hears: Whether the clip has a track.

    Raises:
        ProcessFault: There is not exactly one valid answer per prompt, or one was made from something else than the
            clip; the whole reply is rejected.
    """
    answers = _read(_Reply, line, "its reply contains no valid answers").answers
    expected, got = [prompt.key for prompt in prompts], [answer.key for answer in answers]
    for key in got:
        if key not in expected:
            raise ProcessFault(f"answered {key!r}, which was not requested")
    for key in expected:
        if got.count(key) != 1:
            raise ProcessFault(f"gave {got.count(key)} answers to {key}")
    by_key = {answer.key: answer for answer in answers}
    return [_answer(by_key[prompt.key], prompt, hears=hears) for prompt in prompts]


def _answer(reply: _ReplyAnswer, prompt: Prompt, *, hears: bool) -> Answer:
    if reply.error is not None:
        return Answer(prompt.key, error=reply.error, usage=reply.usage)
    if reply.unsupported is not None:
        return Answer(prompt.key, unsupported=reply.unsupported, usage=reply.usage)
    usage = reply.usage
    if reply.fed is not None:
        _check_fed(reply.fed, prompt, hears=hears)
        usage = {**usage, "fed": reply.fed.model_dump(exclude_none=True)}
    if prompt.mode == "generate":
        if reply.text is None:
            raise ProcessFault(f"gave no text for {prompt.key}")
        return without_thoughts(prompt.key, reply.text, usage)
    if reply.logprobs is None or reply.logprobs.keys() != set(prompt.options):
        given = "none" if reply.logprobs is None else f"those of {sorted(reply.logprobs)}"
        raise ProcessFault(f"must give the logprobs of exactly the options for {prompt.key}, but gave {given:.200}")
    for name in ("option_tokens", "prior_logprobs"):
        if (values := getattr(reply, name)) is not None and values.keys() != set(prompt.options):
            raise ProcessFault(f"must give the {name} of exactly the options for {prompt.key}, or none")
    return Answer(
        prompt.key,
        logprobs=_by_option(reply.logprobs, prompt),
        option_tokens=_by_option(reply.option_tokens, prompt),
        prior_logprobs=_by_option(reply.prior_logprobs, prompt),
        usage=usage,
    )


def _check_fed(fed: _Fed, prompt: Prompt, *, hears: bool) -> None:
    """An answer about less, or more, than the clip is none. Raises ProcessFault."""
    if fed.frames == 0:
        raise ProcessFault(f"answered {prompt.key} without a frame of the clip")
    if hears and fed.sound_s == 0:
        raise ProcessFault(f"answered {prompt.key} without the clip's sound")
    if not hears and fed.sound_s > 0:
        raise ProcessFault(f"answered {prompt.key} with {fed.sound_s:g} s of sound, and the clip has no track")
    if fed.tokens is not None and fed.context is not None and fed.tokens > fed.context:
        raise ProcessFault(
            f"answered {prompt.key}, whose {fed.tokens} tokens exceed its context of {fed.context}; "
            "what does not fit is to be answered as unsupported"
        )


def _by_option(values: dict[str, Number] | None, prompt: Prompt) -> dict[str, Number] | None:
    """The values in the order of the options."""
    return None if values is None else {option: values[option] for option in prompt.options}


def _read(kind: type[Line], line: str, fault: str) -> Line:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise ProcessFault(f"wrote a line to stdout that is not JSON: {line.rstrip()[:200]!r}") from None
        raise ProcessFault(f"{fault} ({problems(error)[0]}): {line.rstrip()[:200]}") from None
