"""What a server's reply comes to: an answer, a refusal, or no answer and whether to ask again.

Each API's reader (`chat_reply`, `gemini_reply`) validates the reply's JSON and turns it into a `Reply`; how it ended
decides the rest, the same for all.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator

from mma_bench.models.contracts import Answer, Prompt
from mma_bench.models.quota import QUOTA_HINT, is_quota_spent
from mma_bench.models.remote_errors import REFUSAL_HINTS, Refused, Unanswered, cleaned
from mma_bench.models.thoughts import MAX_THOUGHTS, split_thoughts
from mma_bench.retry import TRANSIENT_STATUSES

MAX_ANSWER: Final = 100_000  # characters; what is longer was made by no model under our limits
MAX_NAME: Final = 200  # characters kept of a name
_MAX_COUNT: Final = 1 << 40
_LONGEST_NUMBER: Final = 20  # digits; Python refuses to read more than 4,300
# How services name an error that is a refusal: OpenAI, Azure, DashScope.
_FILTERED: Final = frozenset(
    {"content_filter", "content_policy_violation", "responsibleaipolicyviolation"}
    | {"data_inspection_failed", "datainspectionfailed"}
)

Ending: TypeAlias = Literal["complete", "length", "refused", "tool", "fault", "unknown"]


def _count_or_none(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT:
        return value
    return None


# A number of tokens. One that is missing, null or no count is unknown; the answer beside it stands.
TokenCount: TypeAlias = Annotated[int | None, BeforeValidator(_count_or_none)]


def name_or_none(value: object) -> str | None:
    """A name for the record; None if it is none."""
    return value[:MAX_NAME] if isinstance(value, str) and value else None


@dataclass(frozen=True)
class Reply:
    """A reply in terms common to the APIs.

    Attributes:
        text: The text, which may hold thoughts in tags; "" if there is none.
        finish: The finish reason, as the server spells it.
        ending: What the finish reason means.
        thoughts: Thoughts that the server gave apart.
        refusal: The model's or the server's words of refusal; None if there are none.
        instead: What the reply holds besides text, e.g. "speech"; named if there is no text.
        first_token_logprobs: As in `Answer`.
        usage: As in `Answer`.
    """

    text: str
    finish: str | None
    ending: Ending
    thoughts: list[str] = field(default_factory=list)
    refusal: str | None = None
    instead: str | None = None
    first_token_logprobs: dict[str, float] | None = None
    usage: dict[str, Any] = field(default_factory=dict)


def answer_of(reply: Reply, prompt: Prompt, *, opened: bool = False) -> Answer:
    """The answer, or the refusal, in a reply; thoughts are kept in `usage`.

    Args:
        opened: As in `split_thoughts`.

    Raises:
        Unanswered: There is no answer, or not a whole one.
    """
    split = split_thoughts(reply.text, opened=opened)
    thoughts = "\n\n".join(thought for thought in (*reply.thoughts, split.thoughts) if thought.strip())
    usage = {"finish_reason": None if reply.finish is None else reply.finish[:MAX_NAME], **reply.usage}
    if thoughts:
        usage["thoughts"] = thoughts[:MAX_THOUGHTS]
    if reply.refusal is not None or reply.ending == "refused":
        return Answer(prompt.key, refused=reply.refusal or f"finish_reason {reply.finish}", usage=usage)
    if reply.ending == "fault":
        raise Unanswered(f"the server gave up: finish_reason {reply.finish}", again=True, usage=usage)
    if reply.ending == "unknown":
        raise Unanswered(f"unknown finish_reason {reply.finish!r}: whether the answer is whole is unclear", usage=usage)
    if reply.ending == "tool":
        raise Unanswered(f"the model called a tool (finish_reason {reply.finish})", usage=usage)
    if split.unclosed or not split.answer.strip():
        if reply.ending == "length":
            raise Unanswered(
                f"cut off before the answer (finish_reason {reply.finish}); hint: raise max_new_tokens", usage=usage
            )
        if reply.instead:
            raise Unanswered(f"{reply.instead} in place of text", usage=usage)
        raise Unanswered(f"no text besides thoughts (finish_reason {reply.finish})", again=True, usage=usage)
    if len(split.answer) > MAX_ANSWER:
        raise Unanswered(f"an answer of {len(split.answer):,} characters, over {MAX_ANSWER:,}", usage=usage)
    if reply.ending == "length":
        usage["truncated"] = True
    # With thoughts, the first token is one of theirs.
    first = None if thoughts else reply.first_token_logprobs
    return Answer(prompt.key, text=split.answer, first_token_logprobs=first, usage=usage)


def parse_json(body: str) -> Any:
    """The JSON in a body, with U+FFFD for what no UTF-8 file can hold.

    Raises:
        Unanswered: It is not JSON.
    """
    return clean(load_json(body))


def load_json(body: str) -> Any:
    """As `parse_json`, with lone surrogates, each of which may be half of a character."""
    try:
        return json.loads(body.removeprefix("\ufeff"), parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise Unanswered(f"the reply is not valid JSON ({error}): {body[:200]}", again=True) from None


def _number(digits: str) -> int | None:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else None


def clean(value: Any) -> Any:
    """JSON with U+FFFD for what no UTF-8 file can hold."""
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {cleaned(key): clean(item) for key, item in value.items()}
    return value


def raise_stated_error(value: Any) -> None:
    """Raise the error that a server states in a reply whose HTTP status is success, if it states one.

    Raises:
        Refused: The quota is used up.
        Unanswered: Any other error.
    """
    if not isinstance(value, dict):
        return
    stated = value.get("error") or (value if value.get("object") == "error" else None)
    if not stated:
        return
    facts = stated if isinstance(stated, dict) else {"message": stated}
    message = f"the server states an error: {facts.get('message') or json.dumps(stated, ensure_ascii=False)}"
    status = _status(facts)
    if status == 402:
        raise Refused(message, REFUSAL_HINTS[status])
    if status in (None, 429) and is_quota_spent(json.dumps(stated)):
        raise Refused(message, QUOTA_HINT)
    raise Unanswered(message, again=status in TRANSIENT_STATUSES, refused=is_filtered(facts))


def _status(facts: dict[str, Any]) -> int | None:
    """The HTTP status in a stated error, which some servers write as text."""
    found = [str(facts.get(key)) for key in ("code", "status")]
    return next((int(text) for text in found if re.fullmatch(r"[1-5]\d\d", text)), None)


def is_filtered(error: Any) -> bool:
    """Whether an error, as a server states it, says that a filter refused the prompt."""
    if not isinstance(error, dict):
        return False
    names = {str(error.get(key)).lower() for key in ("code", "type")}
    return bool(names & _FILTERED) or is_filtered(error.get("innererror"))
