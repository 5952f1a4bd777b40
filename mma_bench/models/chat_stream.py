"""Reads chat completions that were streamed: the events are joined into one completion."""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, ValidationError

from mma_bench.models.chat_reply import read_chat, read_completion
from mma_bench.models.contracts import Answer, Prompt
from mma_bench.models.remote_errors import Unanswered
from mma_bench.models.replies import clean, load_json, raise_stated_error
from mma_bench.settings import problems

_DATA: Final = "data:"


def _text_or_none(value: object) -> object:
    if value is not None and not isinstance(value, str):
        raise ValueError("is not text")
    return value


# A `str` would be refused if a character's halves are in two events.
_Piece: TypeAlias = Annotated[Any, AfterValidator(_text_or_none)]


class _Delta(BaseModel):
    content: _Piece = None
    refusal: _Piece = None
    reasoning_content: _Piece = None
    reasoning: _Piece = None
    audio: Any = None
    tool_calls: Any = None


class _Choice(BaseModel):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    error: Any = None


class _Chunk(BaseModel):
    choices: list[_Choice] | None = None
    model: Any = None
    usage: Any = None


def read_stream(body: str, prompt: Prompt, *, opened: bool = False) -> Answer:
    """As `read_chat`, from the whole body of a stream; of several choices, the first is read.

    Raises:
        Unanswered: As `read_chat`; also if the stream ends before the server says why the answer ends.
        Refused: As `read_chat`.
    """
    if body.lstrip().startswith("{"):  # the server does not stream
        return read_chat(body, prompt, opened=opened)
    lines = (line.strip() for line in body.split("\n"))
    events = [line.removeprefix(_DATA).strip() for line in lines if line.startswith(_DATA)]
    if not events and body.strip():
        return read_chat(body, prompt, opened=opened)  # e.g. the page of a proxy
    joined: dict[str, Any] = {}
    said: dict[str, str] = {}
    others: dict[str, Any] = {}
    for event in events:
        if event == "[DONE]":
            break
        chunk = _chunk(event)
        joined.update((key, value) for key, value in (("model", chunk.model), ("usage", chunk.usage)) if value)
        for choice in chunk.choices or []:
            if choice.index == 0:
                _add(choice, said, others)
    if others.get("finish_reason") is None and not others.get("error"):
        raise Unanswered("the stream broke off before the end of the answer", again=True)
    message: dict[str, Any] = {**said, **{key: others.pop(key) for key in ("audio", "tool_calls") if key in others}}
    whole: dict[str, Any] = {**joined, "choices": [{**others, "message": message}]}
    return read_completion(clean(whole), prompt, opened=opened)


def _chunk(event: str) -> _Chunk:
    value = load_json(event)
    raise_stated_error(value)
    try:
        return _Chunk.model_validate(value)
    except ValidationError as error:
        raise Unanswered(f"the stream is not of chat completions ({problems(error)[0]})") from None


def _add(choice: _Choice, said: dict[str, str], others: dict[str, Any]) -> None:
    """Append a piece's texts to `said` and set what else it has in `others`; the first piece has the first token."""
    delta = choice.delta or _Delta()
    for key in ("content", "refusal", "reasoning_content", "reasoning"):
        if piece := getattr(delta, key):
            said[key] = said.get(key, "") + piece
    if choice.logprobs:
        others.setdefault("logprobs", choice.logprobs)
    found = {"finish_reason": choice.finish_reason, "error": choice.error}
    found |= {"audio": delta.audio, "tool_calls": delta.tool_calls}
    others |= {key: value for key, value in found.items() if value}
