"""One row of the packaged dataset: its columns with their meaning, and how a variant becomes a row.

In: a row of `variants.parquet` and the class list of its split. Out: both questions with their answers, everything a
consumer needs without knowing how the clip was made. The card's table of columns is generated from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from mma_bench.errors import DataError
from mma_bench.prompts import (
    NONE_OF_THE_ABOVE,
    PROMPT_VERSION,
    caption_question,
    forced_choice,
    misleading_caption,
    with_short_answer,
)
from mma_bench.schema import CAPTIONED, NOTHING_LEFT, Condition, Modality

if TYPE_CHECKING:
    from datasets import Features


@dataclass(frozen=True)
class Column:
    """A column's type in `datasets` and its description."""

    kind: Literal["string", "strings", "int64", "float64", "bool", "video"]
    meaning: str


COLUMNS: Final = {
    "id": Column("string", "One clip under one condition; unique in the dataset."),
    "video": Column("video", "The clip as MP4 bytes, picture and sound in one file."),
    "condition": Column("string", "The condition, which is also the config's name."),
    "visual_class": Column("string", "The class of what is seen; in black frames, of what was seen before."),
    "audio_class": Column("string", "The class of what is heard; in removed sound, of what was heard before."),
    "manipulation": Column("string", "What was done to one of the streams; null unless the condition has steps."),
    "level": Column("float64", "How much of it, in the unit that the card gives; null where there is no such number."),
    "caption": Column("string", "The false class that the caption names; null unless there is a caption."),
    "context_seed": Column("int64", "Seed of the irrelevant text; null unless long_context."),
    "context": Column(
        "string",
        "The irrelevant text, asked after either question (section 4.1.4) or before it (appendix I.4), with a space "
        "between; null unless long_context.",
    ),
    "visual_question": Column("string", "The question about the picture, ready to ask (the paper's Figures 5 and 20)."),
    "audio_question": Column("string", "The question about the sound, ready to ask."),
    "visual_question_short_answer": Column(
        "string",
        "`visual_question` with the last sentence of the other conditions, which Figure 20 lacks; null unless "
        "misleading_caption.",
    ),
    "audio_question_short_answer": Column("string", "The same for `audio_question`."),
    "text_question": Column("string", "The question about the caption, after it; null unless three_way."),
    "text_answer": Column("string", "What is right for it: the class that the caption names; null unless three_way."),
    "visual_answer": Column("string", "What is right for the picture in the forced choice among `options`."),
    "audio_answer": Column("string", "What is right for the sound in the forced choice among `options`."),
    "visual_abstention_answer": Column(
        "string", "The same if “None of the above” is offered too (appendix J): that, where no picture is left."
    ),
    "audio_abstention_answer": Column(
        "string", "The same if “None of the above” is offered too (appendix J): that, where no sound is left."
    ),
    "options": Column("strings", "The classes to choose from: all classes of the split's aligned clips, sorted."),
    "base_id": Column("string", "The clip whose picture this is."),
    "donor_id": Column("string", "The clip whose sound is heard; null where it is the clip's own."),
    "class_distance": Column("int64", "Ontology edges between the two classes; null without a donor."),
    "human_verified": Column("bool", "Whether people reviewed the base clip by the paper's protocol (appendix B.2)."),
    "judge": Column("string", "Which judge ran the four automatic checks (appendix B.1)."),
    "label_ids": Column("strings", "The base clip's AudioSet labels as published."),
    "start_s": Column("float64", "Where the base clip starts in its source video, in seconds."),
    "end_s": Column("float64", "Where it ends there, in seconds."),
    "video_sha256": Column("string", "SHA-256 of the video packets' payloads in decoding order."),
    "audio_sha256": Column("string", "SHA-256 of the audio packets' payloads."),
    "licence": Column("string", "The terms of this clip's picture and sound."),
    "source": Column("string", "Where the clip comes from."),
    "prompt_version": Column("string", "Version of the wording of the questions."),
}


def features() -> "Features":
    """The columns as `datasets` features."""
    from datasets import Features, List, Value, Video

    def feature(column: Column) -> Any:
        if column.kind == "video":
            return Video()
        return List(Value("string")) if column.kind == "strings" else Value(column.kind)

    return Features({name: feature(column) for name, column in COLUMNS.items()})


def packaged_row(variant: Mapping[str, Any], options: Sequence[str], video: bytes) -> dict[str, Any]:
    """The packaged row of a variant; keys in the order of COLUMNS.

    Raises:
        DataError: An answer is not among the options, or a misleading caption is missing; names the row.
    """
    made = {
        "video": {"bytes": video, "path": f"{variant['id']}.mp4"},
        "visual_question": _question("visual", variant, options),
        "audio_question": _question("audio", variant, options),
        "visual_question_short_answer": _short_answer("visual", variant, options),
        "audio_question_short_answer": _short_answer("audio", variant, options),
        "text_question": _text_question(variant, options),
        "text_answer": variant["caption"] if variant["condition"] == Condition.THREE_WAY else None,
        "visual_answer": variant["visual_class"],
        "audio_answer": variant["audio_class"],
        "visual_abstention_answer": _or_nothing(
            variant, "visual_class", Condition.FRAMES_ZEROED, Condition.ABSENT_VIDEO
        ),
        "audio_abstention_answer": _or_nothing(variant, "audio_class", Condition.AUDIO_REMOVED, Condition.ABSENT_AUDIO),
        "options": list(options),
        "prompt_version": PROMPT_VERSION,
    }
    for answer in ("visual_answer", "audio_answer"):
        if made[answer] not in options:
            raise DataError(
                f"{variant['id']}: {answer} {made[answer]!r} is not among the {len(options)} classes of its split",
                hint="its donor is not an aligned clip of the split; run `dvc repro` to rebuild the variants",
            )
    return {name: made[name] if name in made else variant[name] for name in COLUMNS}


def _question(question: Modality, variant: Mapping[str, Any], options: Sequence[str]) -> str:
    """The plain question, also under long context, whose text is a column of its own."""
    if variant["condition"] not in CAPTIONED:
        return forced_choice(question, options)
    asked = misleading_caption(question, options, _caption(variant))
    # The three questions of a three-way conflict end alike, so that they differ in nothing but the sense.
    return with_short_answer(asked) if variant["condition"] == Condition.THREE_WAY else asked


def _text_question(variant: Mapping[str, Any], options: Sequence[str]) -> str | None:
    if variant["condition"] != Condition.THREE_WAY:
        return None
    return caption_question(options, _caption(variant))


def _caption(variant: Mapping[str, Any]) -> str:
    if variant["caption"] is None:
        raise DataError(f"{variant['id']}: no caption", hint="run `dvc repro` to rebuild the variants")
    return str(variant["caption"])


def _short_answer(question: Modality, variant: Mapping[str, Any], options: Sequence[str]) -> str | None:
    if variant["condition"] != Condition.MISLEADING_CAPTION:
        return None
    return with_short_answer(_question(question, variant, options))


def _or_nothing(variant: Mapping[str, Any], answer: str, removed: Condition, replaced: Condition) -> str:
    """The class, or "None of the above" under the conditions that leave nothing of the modality (appendix J)."""
    condition = variant["condition"]
    gone = condition == removed or (condition == replaced and variant["manipulation"] in NOTHING_LEFT)
    return NONE_OF_THE_ABOVE if gone else str(variant[answer])
