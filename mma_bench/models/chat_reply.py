"""Reads chat completions, as OpenAI and the servers that approximate its API send them."""

import math
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from mma_bench.models.contracts import Answer, Prompt
from mma_bench.models.remote_errors import Unanswered
from mma_bench.models.replies import (
    Ending,
    Reply,
    TokenCount,
    answer_of,
    name_or_none,
    parse_json,
    raise_stated_error,
)
from mma_bench.settings import problems

_ENDINGS: Final[dict[str, Ending]] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence"), "complete"),
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    **dict.fromkeys(("content_filter", "refusal", "safety"), "refused"),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use"), "tool"),
    **dict.fromkeys(("error", "abort"), "fault"),
}


class _Text(BaseModel):
    type: Literal["text", "output_text"]
    text: str


class _Thinking(BaseModel):
    type: Literal["thinking"]
    thinking: str | list[_Text]


class _Refusal(BaseModel):
    type: Literal["refusal"]
    refusal: str


_MAX_SUM: Final = 1.01  # of probabilities, with the rounding of servers that compute in half precision

_Part: TypeAlias = Annotated[_Text | _Thinking | _Refusal, Field(discriminator="type")]


class _Message(BaseModel):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    # What follows is beside the answer: its types differ from server to server.
    reasoning_content: Any = None
    reasoning: Any = None
    audio: Any = None
    tool_calls: Any = None
    function_call: Any = None


class _Choice(BaseModel):
    message: _Message | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    error: Any = None

    @property
    def is_speech(self) -> bool:
        """Whether it is the spoken half of an answer, which some servers send as a choice of its own."""
        return self.message is not None and bool(self.message.audio) and not self.message.content


def _dict_or_empty(value: object) -> object:
    return value if isinstance(value, dict) else {}


class _Details(BaseModel):
    reasoning_tokens: TokenCount = None


class _Usage(BaseModel):
    prompt_tokens: TokenCount = None
    completion_tokens: TokenCount = None
    completion_tokens_details: Annotated[_Details, BeforeValidator(_dict_or_empty)] = _Details()


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    model: Any = None
    usage: Annotated[_Usage, BeforeValidator(_dict_or_empty)] = _Usage()


class _TokenLogprob(BaseModel):
    token: str
    logprob: float = Field(le=1e-3, allow_inf_nan=False)  # of rounding; 0 is certain


class _Position(BaseModel):
    top_logprobs: list[_TokenLogprob]


class _Logprobs(BaseModel):
    content: list[_Position]


def read_chat(body: str, prompt: Prompt, *, opened: bool = False) -> Answer:
    """The answer in the body of a chat completion.

    Args:
        opened: As in `split_thoughts`.

    Raises:
        Unanswered: There is no answer, or what came is not understood.
        Refused: The reply states that the quota is used up.
    """
    return read_completion(parse_json(body), prompt, opened=opened)


def read_completion(value: Any, prompt: Prompt, *, opened: bool = False) -> Answer:
    """As `read_chat`, from parsed JSON."""
    raise_stated_error(value)
    try:
        completion = _Completion.model_validate(value)
    except ValidationError as error:
        raise Unanswered(f"the reply is not a chat completion ({problems(error)[0]})") from None
    choice = next((choice for choice in completion.choices if not choice.is_speech), completion.choices[0])
    if choice.error:
        raise_stated_error({"error": choice.error})
    if choice.message is None:
        raise Unanswered("the reply is not a chat completion (choices.0.message: missing)")
    return answer_of(_reply(completion, choice, choice.message, prompt), prompt, opened=opened)


def _reply(completion: _Completion, choice: _Choice, message: _Message, prompt: Prompt) -> Reply:
    content = message.content or ""
    parts: list[_Part] = content if isinstance(content, list) else [_Text(type="text", text=content)]
    apart = message.reasoning_content or message.reasoning
    thoughts = [apart] if isinstance(apart, str) else []
    thoughts += [_thinking(part) for part in parts if isinstance(part, _Thinking)]
    refusals = [part.refusal for part in parts if isinstance(part, _Refusal)]
    calls = message.tool_calls or message.function_call
    text = "".join(part.text for part in parts if isinstance(part, _Text))
    finish = choice.finish_reason
    ending = _ENDINGS.get((finish or "").lower(), "unknown")
    instead = "a tool call" if calls else "speech" if message.audio else None
    usage = {
        "served_model": name_or_none(completion.model),
        "prompt_tokens": completion.usage.prompt_tokens,
        "new_tokens": completion.usage.completion_tokens,
        "thought_tokens": completion.usage.completion_tokens_details.reasoning_tokens,
    }
    return Reply(
        text=text,
        finish=finish,
        ending=ending,
        thoughts=thoughts,
        refusal=next((said for said in (message.refusal, *refusals) if said), None),
        instead=instead,
        first_token_logprobs=_first_token(choice.logprobs) if prompt.top_logprobs else None,
        usage={key: value for key, value in usage.items() if value is not None},
    )


def _thinking(part: _Thinking) -> str:
    return part.thinking if isinstance(part.thinking, str) else "".join(item.text for item in part.thinking)


def _first_token(value: Any) -> dict[str, float] | None:
    """The first position's log-probabilities; None if there are none, or they are not those of one distribution.

    Tokens with the same text are added up; a token that is listed twice counts once.
    """
    try:
        positions = _Logprobs.model_validate(value).content
    except ValidationError:
        return None
    if not positions or not positions[0].top_logprobs:
        return None
    found: dict[str, float] = {}
    for token, logprob in dict.fromkeys((item.token, item.logprob) for item in positions[0].top_logprobs):
        less, more = sorted((found.get(token, -math.inf), logprob))
        found[token] = more + math.log1p(math.exp(less - more))
    return found if math.fsum(map(math.exp, found.values())) <= _MAX_SUM else None
