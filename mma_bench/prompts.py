"""The paper's prompts, verbatim (Figures 5, 20, 25; section 4.1.4; appendices B.1, I.4 and J), with a version.

The questions beyond the paper have a version of their own.

Braces in the paper's figures (`{Accordion, Bird, Cat,...}`, `{Classes_List}`) mark a placeholder: the classes are
inserted without braces, separated by a comma and a space.
"""

from collections.abc import Sequence
from typing import Final

from mma_bench.schema import Modality

YES: Final = ("Yes", "yes", "YES")
NO: Final = ("No", "no", "NO")
SAYS_YES: Final = r"(?i)^\W*yes\b"  # for `re` and for polars

PROMPT_VERSION: Final = "2511.22826-1"  # increased with any change to this module's output
BEYOND_VERSION: Final = "beyond-1"  # the same for the questions that the paper does not ask
NONE_OF_THE_ABOVE: Final = "None of the above"

_QUESTION: Final = "Which class best describes the {modality} content of this video? Options: {options}."
_SHORT_ANSWER: Final = "Answer using a single word or phrase."
# Figure 25 shows only this instruction; it replaces the short-answer sentence after the question.
_CHAIN_OF_THOUGHT: Final = (
    "Think step by step about what the {modality} content shows. First provide your thinking process, then give the "
    "final answer in the format: Final Answer: <class>."
)
_CAPTION: Final = "Video_caption: {caption}."
_WRITTEN: Final = "Which class does the video caption name? Options: {options}."
IN_TIME: Final = ("Yes", "No")
# One property, asked for yes or no, as in published tests of synchrony (docs/beyond.md).
_SYNCHRONY: Final = "Are the picture and the sound of this video in sync? Options: {options}."
_OPEN: Final = {
    "visual": "What do you see in this video? Answer in a few words.",
    "audio": "What do you hear in this video? Answer in a few words.",
}

# Appendix B.1: the judge's questions; the cross-modal checks ask the same with both modalities present.
_CHECK: Final = {
    "visual": "Is the {class_name} clearly visible in this video?",
    "audio": "Is the sound of {class_name} clearly audible in this video?",
}


def forced_choice(question: Modality, options: Sequence[str]) -> str:
    """Figure 5: one question about one modality, the classes as options."""
    return f"{_QUESTION.format(modality=question, options=', '.join(options))} {_SHORT_ANSWER}"


def misleading_caption(question: Modality, options: Sequence[str], caption: str) -> str:
    """Figure 20: a false caption before the question, which has no short-answer sentence there."""
    return f"{_CAPTION.format(caption=caption)} {_QUESTION.format(modality=question, options=', '.join(options))}"


def with_short_answer(asked: str) -> str:
    """A question without the short-answer sentence, with it: differs from Figure 5 by the caption alone."""
    return f"{asked} {_SHORT_ANSWER}"


def caption_question(options: Sequence[str], caption: str) -> str:
    """Beyond the paper: what the caption before the question says; ends as Figure 5 does."""
    return with_short_answer(f"{_CAPTION.format(caption=caption)} {_WRITTEN.format(options=', '.join(options))}")


def synchrony() -> str:
    """Beyond the paper: whether picture and sound are in sync, with `IN_TIME` as options."""
    return with_short_answer(_SYNCHRONY.format(options=", ".join(IN_TIME)))


def open_answer(question: Modality) -> str:
    """Beyond the paper: what is seen, or heard, without options."""
    return _OPEN[question]


def context_after(asked: str, context: str) -> str:
    """Section 4.1.4: irrelevant text appended to the question."""
    return f"{asked} {context}"


def context_before(asked: str, context: str) -> str:
    """Appendix I.4: irrelevant text before the question."""
    return f"{context} {asked}"


def chain_of_thought(question: Modality, options: Sequence[str]) -> str:
    """Figure 25: think first, then `Final Answer: <class>`."""
    asked = _QUESTION.format(modality=question, options=", ".join(options))
    return f"{asked} {_CHAIN_OF_THOUGHT.format(modality=question)}"


def judge_question(question: Modality, class_name: str) -> str:
    """Appendix B.1, with the class as people write it (`Bowed string instrument`, not `Bowed_string_instrument`)."""
    return _CHECK[question].format(class_name=class_name.replace("_", " "))
