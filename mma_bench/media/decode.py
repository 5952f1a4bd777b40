"""Decoded frames and sound of a clip, as arrays, within a memory limit."""

from collections import Counter
from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame

from mma_bench.errors import InvalidInput
from mma_bench.media import SAMPLE_RATE
from mma_bench.media.demux import audio_stream, opened, packets_of, video_stream
from mma_bench.media.packets import packets
from mma_bench.media.scaling import Scaler

Frames: TypeAlias = npt.NDArray[np.uint8]
Sound: TypeAlias = npt.NDArray[np.float32]

MAX_ARRAY_BYTES = 2 << 30  # 10 s of 1920×1080 at 30 frames/s take 1.9 GB


def decoded_frames(path: Path) -> Generator[VideoFrame, None, None]:
    """The frames of the first video stream in presentation order.

    Raises:
        InvalidInput: `corrupt_stream` at the first damaged frame; others: see the table in `mma_bench.media`.
    """
    index = 0
    with opened(path) as container:
        stream = video_stream(container, path)
        for packet in packets_of(container, path):
            if packet.stream.index != stream.index:
                continue
            for frame in stream.decode(packet):
                if frame.is_corrupt:
                    raise InvalidInput("corrupt_stream", f"frame {index} is damaged", subject=path)
                yield frame
                index += 1


def decoded_sound(path: Path) -> Iterator[AudioFrame]:
    """The blocks of samples of the first audio stream.

    Raises:
        InvalidInput: `corrupt_stream` at the first damaged packet; others: see the table in `mma_bench.media`.
    """
    with opened(path) as container:
        stream = audio_stream(container, path)
        for packet in packets_of(container, path):
            if packet.stream.index == stream.index:
                yield from stream.decode(packet)


def frames(path: Path, count: int | None = None, size: tuple[int, int] | None = None) -> Frames:
    """RGB frames of the clip.

    Args:
        path: A local media file.
        count: How many frames, the middles of `count` equal parts of the clip (a clip of fewer frames repeats some);
            None takes all.
        size: (width, height) to scale to, with bicubic interpolation; None keeps the first frame's.

    Returns:
        uint8 array [T, height, width, 3], 0 to 255, as coded: a rotation in the header is not applied.

    Raises:
        InvalidInput: `no_frames`, `too_large_to_hold`, `corrupt_stream`; see the table in `mma_bench.media`.
    """
    if count is not None and count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    # Counting packets needs no decoding; it gives the number of frames unless some are hidden or missing.
    total = sum(1 for _ in packets(path, "video"))
    taken, decoded = _take(path, _middles(total, count), size)
    if decoded != total:
        taken, _ = _take(path, _middles(decoded, count), size)
    return taken


def _middles(total: int, count: int | None) -> list[int]:
    if count is None:
        return list(range(total))
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]


def _take(path: Path, wanted: list[int], size: tuple[int, int] | None) -> tuple[Frames, int]:
    """The frames at the ascending indices `wanted`, and the total number of frames."""
    copies, scaler = Counter(wanted), Scaler()
    taken: list[Frames] = []
    decoded = 0
    for index, frame in enumerate(decoded_frames(path)):
        decoded += 1
        if index not in copies:
            continue
        width, height = size = size or (frame.width, frame.height)
        if len(wanted) * width * height * 3 > MAX_ARRAY_BYTES:
            raise InvalidInput(
                "too_large_to_hold",
                f"{len(wanted)} frames of {width}×{height} are over {MAX_ARRAY_BYTES} bytes",
                subject=path,
            )
        scaled = scaler.scaled(frame, width, height, "rgb24", "BICUBIC")
        picture = scaled.to_ndarray().astype(np.uint8, copy=False)
        taken.extend([picture] * copies[index])
    if not decoded:
        raise InvalidInput("no_frames", "decodes to 0 frames", subject=path)
    return np.stack(taken) if taken else np.empty((0, 0, 0, 3), np.uint8), decoded


def audio(path: Path, sample_rate: int = SAMPLE_RATE) -> Sound:
    """The clip's sound as one channel: the mean of the channels.

    Args:
        path: A local media file.
        sample_rate: In Hz; resampled to it.

    Returns:
        float32 array [n] in [-1, 1].

    Raises:
        InvalidInput: `no_audio_samples`, `too_large_to_hold`, `corrupt_stream`; see the table in `mma_bench.media`.
    """
    resampler = AudioResampler(format="fltp", rate=sample_rate)
    parts: list[Sound] = []
    held = 0
    # None at the end flushes the resampler.
    for frame in chain(decoded_sound(path), [None]):
        for block in resampler.resample(frame):
            parts.append(block.to_ndarray().mean(axis=0, dtype=np.float32))
            held += parts[-1].nbytes
        if held > MAX_ARRAY_BYTES:
            raise InvalidInput("too_large_to_hold", f"the sound is over {MAX_ARRAY_BYTES} bytes", subject=path)
    if not held:
        raise InvalidInput("no_audio_samples", "decodes to 0 audio samples", subject=path)
    return np.clip(np.concatenate(parts), -1.0, 1.0)
