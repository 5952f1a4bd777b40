"""Takes a reasoning model's thoughts off its text, where the server leaves them in it."""

import re
from typing import Any, Final, NamedTuple

from mma_bench.models.contracts import Answer

MAX_THOUGHTS: Final = 20_000  # characters kept of the thoughts

# As Qwen, DeepSeek and others write them (<think>), Mistral ([THINK]), Seed (<seed:think>), Kimi (◁think▷), Gemma 4
# (<|channel>thought … <channel|>) and Cohere (<|START_THINKING|>).
_TAG: Final = re.compile(
    r"<(?:(/)?(?:seed:)?(?:think(?:ing)?|thoughts?|reasoning))\s*>|◁(/)?think▷"
    r"|<\|channel>(?:thought\s)?|(<channel\|>)|<\|START_THINKING\|>|(<\|END_THINKING\|>)",
    re.IGNORECASE,
)
_SQUARE: Final = re.compile(r"\[(/)?THINK\]")
_RESPONSE: Final = re.compile(r"<\|(?:START|END)_RESPONSE\|>")  # Cohere's, around the answer
# gpt-oss writes messages in channels; what is not in the channel `final` is thoughts.
_CHANNEL: Final = re.compile(
    r"<\|channel\|>\s*(?P<name>\w+).*?<\|message\|>(?P<text>.*?)(?:<\|(?:end|return|call|start)\|>|(?=<\|channel\|>)|\Z)",
    re.DOTALL,
)
_WITHOUT_SPECIAL_TOKENS: Final = re.compile(r"analysis(?P<thoughts>.*)assistantfinal(?P<answer>.*)", re.DOTALL)


class Split(NamedTuple):
    """A text in its two parts.

    Attributes:
        answer: What is outside the tags; "" if there is nothing.
        thoughts: What is inside, or before a closing tag that nothing opened.
        unclosed: Whether the text ends inside thoughts.
    """

    answer: str
    thoughts: str
    unclosed: bool


def split_thoughts(text: str, *, opened: bool = False) -> Split:
    """The answer and the thoughts in a text.

    A tag that opens inside thoughts opens nothing further, since models name the tag in their thoughts. A closing tag
    that nothing opened makes everything before it thoughts: many chat templates put the opening tag into the prompt.

    Args:
        text: The generated text.
        opened: The prompt ended with an opening tag, so the text begins inside thoughts.
    """
    if "<|channel|>" in text:
        return _split_channels(text)
    if bare := _WITHOUT_SPECIAL_TOKENS.fullmatch(text):
        return Split(bare["answer"].strip(), bare["thoughts"].strip(), unclosed=False)
    tags = sorted([*_TAG.finditer(text), *_SQUARE.finditer(text)], key=lambda tag: tag.start())
    answer: list[str] = []
    thoughts: list[str] = []
    inside, at = opened, 0
    for tag in tags:
        (thoughts if inside else answer).append(text[at : tag.start()])
        if any(tag.groups()) and not inside:
            thoughts, answer = [*thoughts, *answer], []
        inside, at = not any(tag.groups()), tag.end()
    (thoughts if inside else answer).append(text[at:])
    said = "".join(answer)
    return Split(_RESPONSE.sub("", said).strip() if tags else said, "".join(thoughts).strip(), inside)


def without_thoughts(key: str, text: str, usage: dict[str, Any], *, opened: bool = False) -> Answer:
    """The answer to the prompt `key` in a generated text; thoughts are kept in `usage`.

    A text of thoughts alone is an error. A text without thoughts is the answer, unchanged.

    Args:
        opened: As in `split_thoughts`.
    """
    split = split_thoughts(text, opened=opened)
    if split.thoughts:
        usage = {**usage, "thoughts": split.thoughts[:MAX_THOUGHTS]}
    if split.unclosed or (split.thoughts and not split.answer.strip()):
        return Answer(key, error="thoughts and no answer; hint: raise max_new_tokens", usage=usage)
    return Answer(key, text=split.answer, usage=usage)


def _split_channels(text: str) -> Split:
    messages = list(_CHANNEL.finditer(text))
    final = [message["text"] for message in messages if message["name"] == "final"]
    others = [message["text"].strip() for message in messages if message["name"] != "final"]
    return Split("".join(final).strip(), "\n\n".join(filter(None, others)), unclosed=not final)
