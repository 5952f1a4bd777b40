"""Takes a reasoning model's thoughts off its text, where the server leaves them in it."""

import re
from typing import Final, NamedTuple

# As Qwen, DeepSeek and others write them (<think>), Mistral ([THINK]), Seed (<seed:think>) and Kimi (◁think▷).
_TAG: Final = re.compile(r"<(?:(/)?(?:seed:)?(?:think(?:ing)?|thoughts?|reasoning))\s*>|◁(/)?think▷", re.IGNORECASE)
_SQUARE: Final = re.compile(r"\[(/)?THINK\]")


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
    return Split(said.strip() if tags else said, "".join(thoughts).strip(), inside)
