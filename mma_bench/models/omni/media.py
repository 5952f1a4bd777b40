"""Decodes a clip's bytes to the frames and audio that an omni model gets.

Only the frames that the model will see are kept. The checkpoint's own rule (`sample_frames` of its video processor)
selects them before decoding, so that 10 s of 1920×1080 take 120 MB instead of 1.9 GB.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mma_bench.errors import InvalidInput
from mma_bench.media.decode import audio, decoded_frames
from mma_bench.media.packets import packets
from mma_bench.models.contracts import ClipTask

Frames: TypeAlias = npt.NDArray[np.uint8]
Sound: TypeAlias = npt.NDArray[np.float32]

# two frames make one temporal patch
_FEWEST_FRAMES = 2


@dataclass(frozen=True)
class Media:
    """The decoded media of a clip.

    Attributes:
        frames: uint8 [T, height, width, 3], RGB.
        fps: The actual sampling rate: T over the clip's seconds. It can differ from the requested one, since processors
            take an even number of frames, at least 4 and at most a given maximum; with any other rate audio and video
            would drift apart.
        sound: float32 [n] in [-1, 1] at 16 kHz; None if the model does not hear the clip.
    """

    frames: Frames
    fps: float
    sound: Sound | None


def decode(task: ClipTask, video_processor: Any, *, fps: float, max_frames: int | None) -> Media:
    """Decode the frames selected by the checkpoint's video processor, and the audio if the model hears it.

    Args:
        task: The clip.
        video_processor: The checkpoint's video processor.
        fps: Frames per second to sample.
        max_frames: Maximum number of frames; None uses the processor's.

    Raises:
        InvalidInput: `too_few_frames`, or a reason of `mma_bench.media`; the message names the clip.
    """
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(task.video)
        file.flush()
        path = Path(file.name)
        try:
            frames, rate = _sampled(path, video_processor, fps, max_frames)
            return Media(frames, rate, audio(path) if task.hears else None)
        except InvalidInput as error:
            error.subject = task.id
            raise


def _sampled(path: Path, video_processor: Any, fps: float, max_frames: int | None) -> tuple[Frames, float]:
    from transformers.video_utils import VideoMetadata

    total, seconds = _extent(path)
    while True:
        if total < _FEWEST_FRAMES:
            raise InvalidInput("too_few_frames", f"{total} frame, a video needs {_FEWEST_FRAMES}", subject=path)
        metadata = VideoMetadata(total_num_frames=total, fps=total / seconds)
        indices = video_processor.sample_frames(metadata, fps=fps, max_frames=max_frames).tolist()
        frames, decoded = _take(path, indices)
        if decoded == total:
            return np.stack(frames), len(frames) / seconds
        total = decoded  # hidden or missing frames only show up on decoding


def _extent(path: Path) -> tuple[int, float]:
    """The number of video packets, and their duration in seconds."""
    count, begin, end = 0, Fraction(0), Fraction(0)
    for packet in packets(path, "video"):
        if packet.pts is None or packet.time_base is None:
            raise InvalidInput("corrupt_stream", f"video packet {count} has no timestamp", subject=path)
        start = packet.pts * packet.time_base
        stop = start + (packet.duration or 0) * packet.time_base
        begin, end = (min(begin, start), max(end, stop)) if count else (start, stop)
        count += 1
    if count and end <= begin:
        raise InvalidInput("corrupt_stream", f"its {count} video packets last {float(end - begin)} s", subject=path)
    return count, float(end - begin)


def _take(path: Path, indices: Sequence[int]) -> tuple[list[Frames], int]:
    """The frames at ascending indices in RGB, and the total number of frames."""
    wanted, taken, decoded = set(indices), [], 0
    for frame in decoded_frames(path):
        if decoded in wanted:
            taken.append(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False))
        decoded += 1
    return taken, decoded
