"""Reads replies of Gemini's generateContent."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

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
    "STOP": "complete",
    **dict.fromkeys(("MAX_TOKENS", "CONTINUATION"), "length"),
    **dict.fromkeys(
        (
            *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION"),
            *("IMAGE_SAFETY", "IMAGE_RECITATION", "IMAGE_PROHIBITED_CONTENT", "PUP_LIMITED_DISABLED"),
        ),
        "refused",
    ),
    **dict.fromkeys(("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"), "tool"),
    **dict.fromkeys(("OTHER", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE", "IMAGE_OTHER", "NO_IMAGE"), "fault"),
}
_NOT_BLOCKED: Final = (None, "", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED")


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class _Part(_Wire):
    text: str | None = None
    thought: bool | None = None
    function_call: Any = None


class _Content(_Wire):
    parts: list[_Part] | None = None


class _Candidate(_Wire):
    content: _Content | None = None
    finish_reason: str | None = None


class _Feedback(_Wire):
    block_reason: str | None = None


class _Counts(_Wire):
    prompt_token_count: TokenCount = None
    candidates_token_count: TokenCount = None
    thoughts_token_count: TokenCount = None


def _dict_or_empty(value: object) -> object:
    return value if isinstance(value, dict) else {}


class _Generated(_Wire):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: Annotated[_Counts, BeforeValidator(_dict_or_empty)] = Field(default_factory=_Counts)
    model_version: Any = None


def read_generated(body: str, prompt: Prompt) -> Answer:
    """The answer in the body of a reply.

    Raises:
        Unanswered: There is no answer, or what came is not understood.
        Refused: The reply states that the quota is used up.
    """
    value = parse_json(body)
    raise_stated_error(value)
    try:
        generated = _Generated.model_validate(value)
    except ValidationError as error:
        raise Unanswered(f"the reply is not a generateContent reply ({problems(error)[0]})") from None
    usage = _usage(generated)
    blocked = generated.prompt_feedback and generated.prompt_feedback.block_reason
    if blocked not in _NOT_BLOCKED:
        return Answer(prompt.key, refused=f"the prompt was blocked: {blocked}", usage=usage)
    if not generated.candidates:
        raise Unanswered("the reply has no candidates", again=True, usage=usage)
    candidate = generated.candidates[0]
    parts = (candidate.content.parts if candidate.content else None) or []
    finish = candidate.finish_reason
    reply = Reply(
        text="".join(part.text or "" for part in parts if not part.thought),
        finish=finish,
        ending=_ENDINGS.get(finish or "", "unknown"),
        thoughts=["".join(part.text or "" for part in parts if part.thought)],
        instead="a tool call" if any(part.function_call for part in parts) else None,
        usage=usage,
    )
    return answer_of(reply, prompt)


def _usage(generated: _Generated) -> dict[str, Any]:
    counts = generated.usage_metadata
    given, thought = counts.candidates_token_count, counts.thoughts_token_count
    usage = {
        "served_model": name_or_none(generated.model_version),
        "prompt_tokens": counts.prompt_token_count,
        "thought_tokens": thought,
        "new_tokens": None if given is None and thought is None else (given or 0) + (thought or 0),
    }
    return {key: value for key, value in usage.items() if value is not None}
