"""Functions called by the YAML files in `lmms_eval/`: each row becomes two documents, one per question.

lmms-eval imports this module by its name, in its own environment, where PyAV is an older version than the build's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import datasets

try:
    from mma_bench.evaluation.conditions import Variant
    from mma_bench.evaluation.protocols import QUESTIONS
    from mma_bench.evaluation.tasks import questions
    from mma_bench.evaluation.tasks.clips import clip_file
except ModuleNotFoundError as error:
    # lmms-eval prints an ImportError as it is, and looks for other modules of that name after a ModuleNotFoundError.
    raise ImportError(
        f"{error.name} is not installed in lmms-eval's environment; mma-bench's tasks need it: pip install {error.name}"
    ) from None

Doc: TypeAlias = Mapping[str, Any]  # a row that `ask_both` returned


def __getattr__(name: str) -> str:
    """`!function ….DATASET` needs a module attribute; the environment is read when a task is loaded."""
    if name == "DATASET":
        return questions.dataset_name()
    if name == "CONTENT":
        return questions.dataset_content(questions.dataset_name())
    raise AttributeError(name)


def ask_both(rows: datasets.Dataset) -> datasets.Dataset:
    """Duplicate each row, for the visual and the audio question, side by side; no video is copied.

    The struct `video` becomes the columns `video.bytes` and `video.path`: lmms-eval takes a struct with bytes for an
    image and copies it into its log.
    """
    rows = rows.cast_column("video", datasets.Video(decode=False)).flatten()
    count = len(rows)
    asked = datasets.concatenate_datasets([rows.add_column("question", [question] * count) for question in QUESTIONS])
    return asked.select([row + copy * count for row in range(count) for copy in range(len(QUESTIONS))])


def visual_of(doc: Doc) -> list[str]:
    """The clip's file; audio models read its audio track."""
    return [str(clip_file(doc, doc["video.bytes"]))]


def dropped_visual_of(doc: Doc) -> list[str]:
    """The clip's file without its audio track."""
    return visual_of({**doc, "condition": Variant.AUDIO_DROPPED})


def text_of(doc: Doc) -> str:
    """The prompt's text."""
    return questions.text_of(doc, doc["question"])


def short_answer_text_of(doc: Doc) -> str:
    """The misleading caption's prompt with the sentence that Figure 20 lacks."""
    return text_of({**doc, "condition": Variant.MISLEADING_CAPTION_SHORT_ANSWER})


def context_before_text_of(doc: Doc) -> str:
    """The prompt with the irrelevant text before the question."""
    return text_of({**doc, "condition": Variant.LONG_CONTEXT_BEFORE})


def target_of(doc: Doc) -> str:
    """The right class."""
    return questions.target_of(doc, doc["question"])


def marks(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """Metrics of one answer."""
    return questions.marks(results[0], doc, doc["question"])
