"""Invariants of `variants.parquet`: each clip under each condition, with exactly the intended conflict."""

from functools import partial

import polars as pl

from mma_bench import layout
from mma_bench.config import Params
from mma_bench.schema import (
    ABSENT,
    ALIGNED,
    CAPTIONED,
    DONATED,
    MEASURED,
    PAIRS,
    PICTURE_ENCODED,
    SOUND_ENCODED,
    STEPPED,
    VARIANTS,
    WITHOUT_LEVEL,
    Condition,
)
from mma_bench.validation.accounts import count_rows, outer_join_ids
from mma_bench.validation.clips import clip_promises
from mma_bench.validation.expect import (
    Column,
    Where,
    above,
    absent,
    at_least,
    at_most,
    between,
    equal,
    given,
    holds,
    unique,
)
from mma_bench.validation.inputs import Inputs
from mma_bench.validation.promises import Frames, Promise
from mma_bench.validation.steps import step_promises
from mma_bench.validation.variant_facts import (
    OF_BOTH,
    ids_due,
    misaligned_per_clip,
    variant_facts,
    with_checked_context,
)

TABLE = layout.VARIANTS

# Columns that are set under some conditions only.
_WITH_LEVEL = tuple(
    condition for condition, manipulations in STEPPED.items() if not set(manipulations) & set(WITHOUT_LEVEL)
)
_BELONGS = {
    "donor_id": DONATED,
    "class_distance": DONATED,
    "caption": CAPTIONED,
    "context_seed": (Condition.LONG_CONTEXT,),
    "context": (Condition.LONG_CONTEXT,),
    "manipulation": tuple(STEPPED),
    "level": _WITH_LEVEL,
}
# The same of measurements, which a refused variant does not have.
_MEASURED_UNDER = {"level_measured": MEASURED, "base_likeness": ABSENT}
_DONORS_ALONE = tuple(condition for condition in DONATED if condition != Condition.MIXED_AUDIO)


def frames(inputs: Inputs, params: Params) -> Frames:
    """Read the tables and compute the facts."""
    aligned = inputs.table(layout.ALIGNED, ALIGNED)
    pairs = inputs.table(layout.PAIRS, PAIRS)
    parts = inputs.parts(layout.VARIANTS, VARIANTS, list(VARIANTS))
    variants = pl.concat(with_checked_context(part, params.conflicts.context_words) for part in parts)
    metric = inputs.json(layout.metrics("conflicts"))
    rows = variant_facts(variants, aligned, params)
    return {
        "rows": rows,
        "made": rows.filter(pl.col("status") == "ok"),
        "ids": outer_join_ids(ids_due(aligned, pairs, params), variants["id"]),
        "clips": misaligned_per_clip(variants, aligned, pairs, params),
        "counts": count_rows(metric, variants),
    }


_rule = partial(Promise, hint="run `mma-bench build conflicts` again, then `dvc repro`")
_made = partial(_rule, frame="made")  # about the files, which a refused variant does not have


def _under(*conditions: Condition) -> Where:
    return Column("condition").is_in(map(str, conditions))


def _except(*conditions: Condition) -> Where:
    return Column("condition").is_not_in(map(str, conditions))


def promises(params: Params) -> list[Promise]:
    """All promises, in page order."""
    return [
        *_of_the_collection(),
        *clip_promises(["ok", "refused", "given_up"], _rule.keywords["hint"]),
        *_of_the_classes(),
        *_of_the_packets(),
        *_of_the_media(params),
        *step_promises(_made),
    ]


def _of_the_collection() -> list[Promise]:
    return [
        _rule(
            "every_condition_is_complete",
            "Each aligned clip has a row under each condition of its split, for misaligned one per donor.",
            "Table 2",
            holds("present"),
            frame="ids",
        ),
        _rule(
            "nothing_else_is_there",
            "Each row is a variant of a configured condition.",
            "Table 2",
            holds("expected"),
            frame="ids",
        ),
        Promise(
            "every_variant_was_made",
            "Each variant was made, or its clip is dropped from every condition: they are compared clip by clip.",
            "section 3",
            holds("made_or_dropped"),
            "run `mma-bench build normalise` to make the clips again, then `dvc repro`",
            show=("reason", "detail"),
        ),
        _rule(
            "misaligned_count_is_exact",
            "Each clip has a misaligned variant for each of its pairs (paper: 1 in test, 10 in train).",
            "section 3, section 5.1",
            equal("misaligned", "due"),
            frame="clips",
        ),
        _rule(
            "misaligned_sounds_are_of_distinct_classes",
            "The sounds of a clip's misaligned variants have distinct classes.",
            "section 5.1",
            equal("sounds_like", "due"),
            frame="clips",
        ),
        _rule(
            "counts_add_up",
            "The counts that conflicts reports match its table, reason by reason.",
            "Table 1",
            equal("reported", "counted"),
            frame="counts",
        ),
        _rule("id_is_unique", "No two rows have the same id.", "the build", unique("id")),
        _rule(
            "id_says_what_it_is",
            "An id consists of the base, the condition and, where there are any, the donor and the step.",
            "the build",
            equal("id", "due_id"),
        ),
        _rule(
            "variant_describes_its_base",
            "Split, source video, times and labels match the aligned clip.",
            "the build",
            absent("altered"),
        ),
        *(
            _rule(
                f"{column}_is_that_of_base_and_donor",
                f"The {column} is that of the base, and also names the donor's if it differs.",
                "the build",
                holds(f"{column}_is_complete"),
                show=(column,),
            )
            for column in OF_BOTH
        ),
        _rule(
            "verified_means_all_of_it",
            "A variant is marked as human-verified only if its base and its donor are.",
            "appendix B.2",
            equal("human_verified", "verified"),
        ),
    ]


def _of_the_classes() -> list[Promise]:
    return [
        _rule(
            "visual_class_is_that_of_the_base",
            "The visual class is that of the base clip, under every condition.",
            "section 3",
            equal("visual_class", "base_class"),
        ),
        _rule(
            "audio_class_is_that_of_the_sound",
            "The audio class is that of the donor if there is one, and of the base elsewhere.",
            "section 3",
            equal("audio_class", "class_of_the_sound"),
        ),
        _rule(
            "aligned_classes_agree",
            "Picture and sound have the same class unless the sound is swapped.",
            "section 3",
            equal("visual_class", "audio_class", _except(*DONATED)),
        ),
        _rule(
            "misaligned_classes_differ",
            "The class of a donor's sound is not that of the picture.",
            "section 3",
            holds("conflict", _under(*DONATED)),
            show=("visual_class", "audio_class"),
        ),
        _rule(
            "donor_is_of_the_split",
            "The donor is an aligned clip of the same split.",
            "section 3",
            holds("donor_is_of_the_split", _under(*DONATED)),
            show=("donor_id",),
        ),
        *(
            _rule(
                f"{column}_is_given",
                f"Under {', '.join(conditions)} each row has its `{column}`.",
                "Table 2",
                given(column, _under(*conditions)),
            )
            for column, conditions in _BELONGS.items()
        ),
        *(
            _rule(
                f"{column}_is_absent_elsewhere",
                f"No condition but {', '.join(conditions)} has a `{column}`.",
                "Table 2",
                absent(column, _except(*conditions)),
            )
            for column, conditions in (_BELONGS | _MEASURED_UNDER).items()
        ),
        _rule(
            "caption_is_an_option",
            "The false caption names one of the question's options.",
            "section 4.1.4, appendix G",
            holds("caption_is_an_option", _under(*CAPTIONED)),
            show=("caption",),
        ),
        _rule(
            "caption_misleads",
            "The false caption contradicts the clip.",
            "section 4.1.4, appendix G",
            holds("caption_misleads", _under(*CAPTIONED)),
            show=("caption",),
        ),
        _rule(
            "caption_names_a_third_class",
            "Under three_way the caption names neither what is seen nor what is heard.",
            "docs/beyond.md",
            holds("caption_is_a_third_class", _under(Condition.THREE_WAY)),
            show=("caption", "visual_class", "audio_class"),
        ),
        _rule(
            "context_is_that_of_its_seed",
            "The irrelevant text is the configured number of words drawn from the row's seed.",
            "section 4.1.4",
            holds("context_is_that_of_its_seed", _under(Condition.LONG_CONTEXT)),
            show=("context_seed",),
        ),
    ]


def _of_the_packets() -> list[Promise]:
    return [
        _made(
            "picture_is_promised_by_the_base",
            "`base_video_sha256` is the hash of the aligned clip's video packets.",
            "section 3",
            equal("base_video_sha256", "base_video"),
        ),
        _made(
            "video_packets_are_those_of_the_base",
            "The video packets are bit-identical to the base's, unless the picture is zeroed, degraded or replaced.",
            "section 3",
            equal("video_sha256", "base_video_sha256", _except(*PICTURE_ENCODED)),
        ),
        _made(
            "audio_packets_are_those_of_the_source",
            "The audio packets are identical to the donor's, where there is one, or the base's, unless the sound is "
            "removed, degraded, mixed or replaced.",
            "section 3",
            equal("audio_sha256", "source_audio_sha256", _except(*SOUND_ENCODED)),
        ),
        _made(
            "sound_is_promised_by_the_base",
            "If the sound is not swapped, removed or shifted, `source_audio_sha256` is that of the base's packets.",
            "section 3",
            equal("source_audio_sha256", "base_audio", _except(*DONATED, *SOUND_ENCODED, Condition.SHIFTED_AUDIO)),
        ),
        _made(
            "removed_sound_has_no_source",
            "Where the sound is removed, degraded, mixed or replaced, no source of the audio packets is given.",
            "section 4.1.1",
            absent("source_audio_sha256", _under(*SOUND_ENCODED)),
        ),
        _made(
            "sound_was_replaced",
            "Where a donor is heard, or the sound is removed, replaced or shifted, it is not the base's.",
            "section 3, section 4.1.1",
            holds("sound_replaced", _under(*DONATED, *SOUND_ENCODED, Condition.SHIFTED_AUDIO)),
        ),
        _made(
            "picture_was_replaced",
            "Where the picture is zeroed, degraded or replaced, the video packets are not the base's.",
            "section 4.1.1",
            holds("picture_replaced", _under(*PICTURE_ENCODED)),
        ),
        _made(
            "three_way_shows_the_misaligned_clip",
            "Under three_way the file is that of the misaligned variant of the same base and donor.",
            "docs/beyond.md",
            equal("sha256", "misaligned_file", _under(Condition.THREE_WAY)),
        ),
        _made(
            "text_conditions_show_the_aligned_clip",
            "If the conflict is in the prompt, or there is none, the file is the aligned clip's own.",
            "section 4.1.4",
            equal(
                "sha256", "base_file", _under(Condition.ALIGNED, Condition.MISLEADING_CAPTION, Condition.LONG_CONTEXT)
            ),
        ),
    ]


def _of_the_media(params: Params) -> list[Promise]:
    slack, black = params.validate_.duration_tolerance_s, params.validate_.max_black_luma
    return [
        _made(
            "removed_sound_is_digital_silence",
            "Under audio_removed every decoded sample is 0.",
            "section 4.1.1, ears shut",
            at_most("audio_peak", 0, _under(Condition.AUDIO_REMOVED)),
        ),
        _made(
            "sound_is_audible",
            "Unless it is removed, replaced or shifted, the sound's peak is at least "
            f"{params.normalise.min_rms_dbfs:g} dBFS.",
            "section 3",
            at_least(
                "audio_peak",
                params.normalise.min_peak,
                _except(Condition.AUDIO_REMOVED, Condition.ABSENT_AUDIO, Condition.SHIFTED_AUDIO),
            ),
            show=("donor_id",),
        ),
        _made(
            "zeroed_frames_are_black",
            f"Under frames_zeroed no pixel is brighter than {black:g} on the scale of 255.",
            "section 4.1.1, eyes closed",
            at_most("luma_max", black, _under(Condition.FRAMES_ZEROED)),
        ),
        _made(
            "picture_is_not_black",
            f"Unless the picture is zeroed or degraded, the brightest pixel is above {black:g}.",
            "section 3",
            above("luma_max", black, _except(Condition.FRAMES_ZEROED, Condition.DEGRADED_VIDEO)),
        ),
        _made(
            "geometry_is_that_of_the_base",
            "Width, height and number of frames match the base, so that conditions differ in nothing else.",
            "section 4.1.1, appendix C",
            absent("resized"),
        ),
        _made(
            "length_is_that_of_the_base",
            f"A variant lasts as long as its base, ± {slack:g} s.",
            "section 4.1.1, appendix C",
            between("longer_by_s", -slack, slack),
        ),
        _made(
            "silence_lasts_as_long_as_the_sound",
            "If the sound is removed, replaced or shifted, the track is as long as before: some models need one.",
            "section 4.1.1",
            between(
                "sound_longer_by_s",
                -slack,
                slack,
                _under(Condition.AUDIO_REMOVED, Condition.ABSENT_AUDIO, Condition.SHIFTED_AUDIO),
            ),
        ),
        _made(
            "donor_sound_covers_the_picture",
            f"With a donor's sound alone at most {params.pair.slack_s:g} s (± {slack:g} s) of the video have none.",
            "section 3",
            at_most("without_sound_s", params.pair.slack_s + slack, _under(*_DONORS_ALONE)),
        ),
    ]
