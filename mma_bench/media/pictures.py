"""What the decoded picture of a clip really shows: when it begins, where it is missing, where it stands still.

Packets promise more than there is to see: a cut that begins off a key frame decodes to nothing until the next one, and
a player, or an encoder to a constant rate, holds one picture over the time that is missing.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from mma_bench.config import NormaliseParams
from mma_bench.errors import InvalidInput
from mma_bench.media.decode import decoded_frames
from mma_bench.media.facts import MOTION_STEP_S, thumbnail
from mma_bench.media.packets import packets
from mma_bench.media.scaling import Scaler

# Levels of luma, of 255: an encoder alters a repeated picture by as much, and a moving second hand a pixel of the
# thumbnail by more.
_SAME_WITHIN: Final = 2


@dataclass(frozen=True)
class Pictures:
    """Times in seconds from the file's start.

    Attributes:
        start_s: When the first decoded picture is shown.
        longest_gap_s: The longest time for which one picture is shown, or none at the start.
        gap_at_s: When that begins.
        longest_still_s: The longest time in which all decoded pictures are alike (thumbnails of 64×64 pixels, 0.2 s
            apart, differ by at most 2 of 255 levels from the first of them).
        still_at_s: When that begins.
        still_throughout: Whether it is the whole clip.
    """

    start_s: Fraction
    longest_gap_s: Fraction
    gap_at_s: Fraction
    longest_still_s: Fraction
    still_at_s: Fraction
    still_throughout: bool


def pictures(path: Path, start_s: Fraction, end_s: Fraction) -> Pictures:
    """Decode the pictures of `path` up to `end_s`.

    Args:
        path: A local media file.
        start_s: The file's own start, as in `Timeline`.
        end_s: When the last picture to be measured ends, from the file's start.

    Raises:
        InvalidInput: `no_frames`, `corrupt_stream`; others: see the table in `mma_bench.media`.
    """
    times: list[Fraction] = []
    scaler = Scaler()
    # Hidden packets count: a cut that an edit list makes begins with the key frame before it.
    decodable = any(packet.is_keyframe for packet in islice(packets(path, "video"), 1))
    samples: list[tuple[Fraction, npt.NDArray[np.int16]]] = []
    for frame in decoded_frames(path):
        if frame.pts is None or frame.time_base is None:
            raise InvalidInput("corrupt_stream", f"frame {len(times)} has no time", subject=path)
        time = frame.pts * frame.time_base - start_s
        if time >= end_s:
            break
        if frame.key_frame and not decodable:
            decodable = True
            times.clear()  # some decoders make grey pictures out of differences to a key frame that they never had
            samples.clear()
        times.append(max(time, Fraction(0)))
        if not samples or time - samples[-1][0] >= MOTION_STEP_S:
            samples.append((time, thumbnail(frame, scaler)))
    if not times:
        raise InvalidInput("no_frames", f"no picture decodes in the first {float(end_s):g} s", subject=path)
    gaps = [(after - before, before) for before, after in pairwise([Fraction(0), *times, max(end_s, times[-1])])]
    longest_gap_s, gap_at_s = max(gaps, key=lambda gap: gap[0])
    still_s, still_at_s = _longest_still(samples)
    return Pictures(
        start_s=times[0],
        longest_gap_s=longest_gap_s,
        gap_at_s=gap_at_s,
        longest_still_s=still_s,
        still_at_s=still_at_s,
        still_throughout=still_s == samples[-1][0] - samples[0][0],
    )


def check_pictures(path: Path, seen: Pictures, settings: NormaliseParams) -> None:
    """Refuse a clip whose picture is not there all the time.

    One that stands still throughout is left to the gate on motion.

    Raises:
        InvalidInput: `picture_gap`, `frozen`.
    """
    if seen.longest_gap_s > settings.max_gap_s:
        raise InvalidInput(
            "picture_gap",
            f"no new picture for {float(seen.longest_gap_s):.2f} s from {float(seen.gap_at_s):.2f} s on, at most "
            f"{settings.max_gap_s:g} s are allowed",
            subject=path,
        )
    if seen.longest_still_s > settings.max_frozen_s and not seen.still_throughout:
        raise InvalidInput(
            "frozen",
            f"the picture stands still for {float(seen.longest_still_s):.2f} s from {float(seen.still_at_s):.2f} s on, "
            f"at most {settings.max_frozen_s:g} s are allowed",
            subject=path,
        )


def _longest_still(samples: list[tuple[Fraction, npt.NDArray[np.int16]]]) -> tuple[Fraction, Fraction]:
    """Length and begin of the longest run of samples that are like its first."""
    longest = begin = samples[0][0]
    longest_s = Fraction(0)
    shown = samples[0][1]
    for time, sample in samples:
        if np.abs(sample - shown).max() > _SAME_WITHIN:
            begin, shown = time, sample
        elif time - begin > longest_s:
            longest_s, longest = time - begin, begin
    return longest_s, longest
