"""What a decoded clip must be: the rules on its measured facts that the gate `normalised` checks again."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from mma_bench.config import NormaliseParams, ValidateParams
from mma_bench.errors import InvalidInput
from mma_bench.schema import Split

MIN_AUDIO_SHARE: Final = Fraction(9, 10)


def check_bounds(
    clip: Path, split: Split, facts: Mapping[str, Any], settings: NormaliseParams, bounds: ValidateParams
) -> None:
    """Refuse a clip by its facts (the keys of `mma_bench.schema.FACTS`).

    Raises:
        InvalidInput: `audio_too_short`, `wrong_length`, `black_picture`, `still_picture`.
    """
    sound_s, picture_s = facts["audio_duration_s"], facts["video_duration_s"]
    if sound_s < float(MIN_AUDIO_SHARE) * picture_s:
        raise InvalidInput(
            "audio_too_short", f"{sound_s:.2f} s of sound for {picture_s:.2f} s of picture", subject=clip
        )
    shortest_s = settings.shortest_train_s if split is Split.TRAIN else 0.0
    for stream, seconds in (("picture", picture_s), ("sound", sound_s)):
        if not shortest_s - bounds.duration_tolerance_s <= seconds <= settings.clip_s + bounds.duration_tolerance_s:
            raise InvalidInput(
                "wrong_length",
                f"{seconds:.3f} s of {stream}, "
                f"{_span(shortest_s, settings.clip_s)} ± {bounds.duration_tolerance_s:g} s are allowed",
                subject=clip,
            )
    if facts["luma_max"] <= bounds.max_black_luma:
        raise InvalidInput(
            "black_picture",
            f"its brightest pixel is {facts['luma_max']:.1f} of 255, more than {bounds.max_black_luma:g} is needed",
            subject=clip,
        )
    if facts["motion"] < bounds.min_motion:
        raise InvalidInput(
            "still_picture",
            f"frames 0.2 s apart differ by {facts['motion']:.2f} of 255, at least {bounds.min_motion:g} is needed",
            subject=clip,
        )


def _span(shortest_s: float, longest_s: float) -> str:
    """A train clip of one length has no range; a test clip may be as short as normalise lets it."""
    return f"{shortest_s:g} to {longest_s:g}" if 0 < shortest_s < longest_s else f"{longest_s:g}"
