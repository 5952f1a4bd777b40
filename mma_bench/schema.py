"""Data contracts: the columns and types of every table passed from one stage to the next.

Units: times and durations in seconds; `rms_dbfs` in dB relative to full scale, never below -120; `motion`,
`luma_max` on the 0–255 scale of 8-bit luma; hashes as lower-case hex. A row whose `status` is not `ok` has null facts.
"""

from enum import StrEnum
from typing import Final, Literal, TypeAlias

import polars as pl

Schema: TypeAlias = dict[str, pl.DataType]

Modality: TypeAlias = Literal["visual", "audio"]  # what a question or a check is about
MODALITIES: Final[tuple[Modality, ...]] = ("visual", "audio")
Question: TypeAlias = Literal["visual", "audio", "text", "time"]  # the last two: of the caption, of synchrony


class Split(StrEnum):
    """The benchmark's splits."""

    TEST = "test"
    TRAIN = "train"


class Condition(StrEnum):
    """The benchmark's conditions (Table 2 of the paper), each a config of the dataset."""

    ALIGNED = "aligned"
    MISALIGNED = "misaligned"
    AUDIO_REMOVED = "audio_removed"
    FRAMES_ZEROED = "frames_zeroed"
    MISLEADING_CAPTION = "misleading_caption"
    LONG_CONTEXT = "long_context"
    # Beyond the paper, asked on request only:
    DEGRADED_AUDIO = "degraded_audio"  # misaligned; the sound with noise, in steps
    MIXED_AUDIO = "mixed_audio"  # the donor's sound over the clip's own, in steps
    DEGRADED_VIDEO = "degraded_video"  # misaligned; the picture blurred, darkened or faded, in steps
    THREE_WAY = "three_way"  # misaligned, after a caption that names a third class
    SHIFTED_AUDIO = "shifted_audio"  # the clip's own sound, earlier or later
    ABSENT_AUDIO = "absent_audio"  # other ways to leave no sound than silence
    ABSENT_VIDEO = "absent_video"  # other ways to leave no picture than black frames


# Table 2 of the paper, in its order.
PAPERS_CONDITIONS: Final = tuple(Condition)[:6]
# Conditions that use the aligned clip's file; the conflict is in the prompt.
TEXT_CONDITIONS: Final = (Condition.MISLEADING_CAPTION, Condition.LONG_CONTEXT)
# Conditions in which a donor's sound is heard.
DONATED: Final = (
    Condition.MISALIGNED,
    Condition.DEGRADED_AUDIO,
    Condition.MIXED_AUDIO,
    Condition.DEGRADED_VIDEO,
    Condition.THREE_WAY,
)
# Conditions whose picture, and whose sound, was encoded anew; in all others packets are copied.
PICTURE_ENCODED: Final = (Condition.FRAMES_ZEROED, Condition.DEGRADED_VIDEO, Condition.ABSENT_VIDEO)
SOUND_ENCODED: Final = (
    Condition.AUDIO_REMOVED,
    Condition.DEGRADED_AUDIO,
    Condition.MIXED_AUDIO,
    Condition.ABSENT_AUDIO,
)
# Conditions whose level is measured on the written clip.
MEASURED: Final = (
    Condition.DEGRADED_AUDIO,
    Condition.MIXED_AUDIO,
    Condition.DEGRADED_VIDEO,
    Condition.SHIFTED_AUDIO,
)
# Conditions in which a stream is replaced by one without content.
ABSENT: Final = (Condition.ABSENT_AUDIO, Condition.ABSENT_VIDEO)
# Conditions whose rows have a caption.
CAPTIONED: Final = (Condition.MISLEADING_CAPTION, Condition.THREE_WAY)


class Manipulation(StrEnum):
    """What is done to a stream under a condition with steps; the unit of its level."""

    PINK_NOISE = "pink_noise"  # signal-to-noise ratio, dB
    MIXTURE = "mixture"  # the donor's sound over the base's own, dB
    BLUR = "blur"  # standard deviation of a Gaussian, percent of the frame's height
    DARKNESS = "darkness"  # percent of the luma that is taken away
    LOW_CONTRAST = "low_contrast"  # percent of the contrast that is taken away
    SHIFT = "shift"  # seconds; above 0 the sound comes late
    WHITE_NOISE = "white_noise"  # no level, like all below
    ROOM_TONE = "room_tone"
    GREY = "grey"
    PIXEL_NOISE = "pixel_noise"
    FROZEN = "frozen"  # every frame is the first


# The manipulations of each condition that has several variants of a clip.
STEPPED: Final = {
    Condition.DEGRADED_AUDIO: (Manipulation.PINK_NOISE,),
    Condition.MIXED_AUDIO: (Manipulation.MIXTURE,),
    Condition.DEGRADED_VIDEO: (Manipulation.BLUR, Manipulation.DARKNESS, Manipulation.LOW_CONTRAST),
    Condition.SHIFTED_AUDIO: (Manipulation.SHIFT,),
    Condition.ABSENT_AUDIO: (Manipulation.WHITE_NOISE, Manipulation.ROOM_TONE),
    Condition.ABSENT_VIDEO: (Manipulation.GREY, Manipulation.PIXEL_NOISE, Manipulation.FROZEN),
}
# The steps of ABSENT after which nothing of the stream's content is left; a frozen picture still shows its object.
NOTHING_LEFT: Final = tuple(step for condition in ABSENT for step in STEPPED[condition] if step != Manipulation.FROZEN)
WITHOUT_LEVEL: Final = STEPPED[Condition.ABSENT_AUDIO] + STEPPED[Condition.ABSENT_VIDEO]

# The levels at which the measurement was tried: beyond, one of two sounds, or the picture, is hardly left.
LEVELS: Final = {
    Manipulation.PINK_NOISE: (-20.0, 30.0),
    Manipulation.MIXTURE: (-30.0, 30.0),
    Manipulation.BLUR: (0.0, 20.0),
    Manipulation.DARKNESS: (0.0, 100.0),
    Manipulation.LOW_CONTRAST: (0.0, 100.0),
}


def step_name(manipulation: str, level: float | None) -> str:
    """A step in a row's id: `pink_noise_-10`, `frozen`."""
    return manipulation if level is None else f"{manipulation}_{level:g}"


_STR, _F64, _I64, _BOOL = pl.String(), pl.Float64(), pl.Int64(), pl.Boolean()
_LABELS = pl.List(pl.String())

# One row per segment, before the label filter. `segment_id` is the clip's id from here on.
SEGMENTS: Final[Schema] = {
    "subset": _STR,  # eval, balanced_train, unbalanced_train; sample_eval, sample_train
    "clip_id": _STR,  # AudioSet: <YouTube id>_<start in ms>
    "video_id": _STR,  # the source video; must not occur in both splits
    "start_s": _F64,
    "end_s": _F64,
    "label_ids": _LABELS,  # AudioSet label ids as published, e.g. /m/01yrx
}

# The segments that passed the label filter.
CANDIDATES: Final[Schema] = {**SEGMENTS, "class_name": _STR}

# One row per distinct label set of a subset.
LABEL_SETS: Final[Schema] = {
    "subset": _STR,
    "label_set": _STR,  # the label ids as published, joined by commas
    "segments": _I64,  # number of segments with it
    "leaves": pl.List(_STR),  # without ancestors of others
    "class_nodes": pl.List(_STR),  # the class-level nodes of the leaves, sorted
    "reason": _STR,  # "" for a candidate, else one of REASONS
    "class_name": _STR,  # null if dropped
}

# The columns of a clip in every later table.
IDENTITY: Final[Schema] = {
    "clip_id": _STR,
    "split": _STR,
    "video_id": _STR,
    "start_s": _F64,
    "end_s": _F64,
    "class_name": _STR,
    "label_ids": _LABELS,
    "source": _STR,  # which ClipSource, e.g. "sample (photo + sound)"
    "licence": _STR,
}

# The outcome of a clip in a clip-by-clip stage.
OUTCOME: Final[Schema] = {
    "status": _STR,  # ok, refused, unavailable, rejected (by the judge), given_up (after some runs)
    "reason": _STR,  # "" if ok, else a snake_case code
    "detail": _STR,  # "" if ok, else a sentence that names file and value
}

FILE: Final[Schema] = {"path": _STR, "sha256": _STR}  # path relative to the project's root

# Facts decoded from a written clip (mma_bench.media.facts).
FACTS: Final[Schema] = {
    "duration_s": _F64,  # the longer of the two streams
    "video_duration_s": _F64,
    "audio_duration_s": _F64,
    "width": _I64,
    "height": _I64,
    "fps": _F64,
    "frames": _I64,  # decoded, not from the header
    "sample_rate": _I64,
    "channels": _I64,
    "audio_peak": _F64,  # 0.0 (digital silence) to 1.0
    "rms_dbfs": _F64,  # -120.0 means silence
    "luma_max": _F64,  # brightest pixel of any frame, 0 (black) to 255
    "motion": _F64,  # mean absolute luma difference of frames 0.2 s apart, 0 to 255
    "video_sha256": _STR,  # of the video packets' payloads in decoding order
    "audio_sha256": _STR,  # of the audio packets' payloads
    "phash": _STR,  # perceptual hash of the middle frame, 16 hex digits (64 bits)
}

# One row per file of a folder of clips or member of a shard; none for other sources.
FILES: Final[Schema] = {
    "path": _STR,
    "clip_id": _STR,  # null if no clip of the build asked for it
    "status": _STR,  # ok (taken), refused, unused, given_up
    "reason": _STR,  # "" if ok; see mma_bench.builders.sources.account
}
ACQUIRED: Final[Schema] = {**IDENTITY, **OUTCOME, **FILE, "bytes": _I64}
NORMALISED: Final[Schema] = {**IDENTITY, **OUTCOME, **FILE, **FACTS}

# The four checks of appendix B.1, in the paper's order.
CHECKS: Final = ("visual_unimodal", "audio_unimodal", "visual_crossmodal", "audio_crossmodal")

VERDICTS: Final[Schema] = {
    "clip_id": _STR,
    "split": _STR,
    "class_name": _STR,
    **OUTCOME,  # status "rejected" with the first failed check as reason, or ok
    **{f"{check}_score": _F64 for check in CHECKS},  # 0 to 1
    **{f"{check}_pass": _BOOL for check in CHECKS},
    **{f"{check}_answer": _STR for check in CHECKS},  # the judge's reply; null if it does not generate text
    "judge": _STR,
    "judge_revision": _STR,  # hash of weights, thresholds and code version
    "prompt_sha256": _STR,
}


def unjudged_by(makers: str) -> str:
    """The judge of clips that no judge has checked, since the makers of their list have."""
    return f"none (checked by {makers})"


# The judge of the paper's own clips, on which alone the paper's results are comparable. It names the authors' judge.
PAPERS_OWN_CLIPS: Final = unjudged_by("the paper's authors, with Qwen2.5-Omni-7B")

# Human reviews of clips that the judge passed, as written by `mma-bench review export`; one row per clip and person.
REVIEWS: Final[Schema] = {
    "clip_id": _STR,
    "annotator": _STR,  # anonymous
    "object_visible": _BOOL,
    "audio_pure": _BOOL,
    "action_dynamic": _BOOL,
    "passed": _BOOL,
    "note": _STR,
    "reviewed_at": _STR,  # UTC, ISO 8601
    "guideline_version": _STR,
    "is_control": _BOOL,  # inserted to measure attention; not a vote
}

ALIGNED: Final[Schema] = {
    **IDENTITY,
    **FILE,
    **FACTS,
    "judge": _STR,
    "human_verified": _BOOL,
    "evidence": _STR,  # who confirmed it: "app", "vggsounder" or "app, vggsounder"; "" unless human_verified
}

PAIRS: Final[Schema] = {
    "split": _STR,
    "base_id": _STR,
    "donor_id": _STR,
    "rank": _I64,  # 0-based position among the base's donors
    "visual_class": _STR,
    "audio_class": _STR,
    "class_distance": _I64,  # edges between the two classes in the ontology, with a virtual root above all roots
}

# One row per clip under one condition: the input of packaging.
VARIANTS: Final[Schema] = {
    "id": _STR,  # <base>.<condition>, then with a dot each, where there are any: the donor, the step
    "condition": _STR,
    "split": _STR,
    "base_id": _STR,
    "donor_id": _STR,  # null unless DONATED
    "manipulation": _STR,  # null unless STEPPED
    "level": _F64,  # in the unit of the manipulation; null if it has none
    "visual_class": _STR,  # the class of the base clip, in every condition
    "audio_class": _STR,  # the class of the donor if there is one, else that of the base
    "class_distance": _I64,  # null unless DONATED
    "caption": _STR,  # null unless CAPTIONED
    "context_seed": _I64,  # null unless long_context
    "context": _STR,  # the irrelevant text; null unless long_context
    **{key: IDENTITY[key] for key in ("video_id", "start_s", "end_s", "label_ids", "source", "licence")},
    **OUTCOME,
    **FILE,
    **FACTS,
    "base_video_sha256": _STR,  # video packets of the aligned clip
    # Audio packets that the variant must carry: the first ones of the donor or all of the base, if shifted between
    # silent ones; null for sound that was encoded: audio_removed, degraded_audio, mixed_audio, absent_audio.
    "source_audio_sha256": _STR,
    "level_measured": _F64,  # the level as found on the written file; null unless the row has one
    # How much the replaced stream resembles the base's at the same time, -1 to 1; null unless absent_*. Sound: mean
    # cosine of the phase difference over all frequencies. Picture: correlation of luma; frozen: with the first frame.
    "base_likeness": _F64,
    "judge": _STR,
    "human_verified": _BOOL,
}

# One row per tuning example.
EXAMPLES: Final[Schema] = {
    "example_id": _STR,  # <id>.<question>.<copy>
    "part": _STR,  # train, validation
    "id": _STR,  # the clip's row in the dataset
    "base_id": _STR,
    "condition": _STR,  # aligned, misaligned
    "question": _STR,  # visual, audio
    "copy": _I64,  # from 0
    "prompt": _STR,  # what `evaluate` asks about this clip
    "answer": _STR,  # one of the options
    "options": _LABELS,
    "visual_class": _STR,
    "audio_class": _STR,
}

# The dataset columns that they are made from.
SFT_CLIPS: Final[Schema] = {
    **dict.fromkeys(("id", "condition", "base_id", "donor_id", "visual_class", "audio_class"), _STR),
    **dict.fromkeys(("visual_question", "audio_question", "visual_answer", "audio_answer"), _STR),
    **dict.fromkeys(("video_sha256", "audio_sha256"), _STR),
    "options": _LABELS,
}
