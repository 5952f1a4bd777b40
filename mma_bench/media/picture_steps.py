"""Variants whose picture is blurred, darkened, faded or replaced; the sound's packets are copied.

The picture is decoded, changed and encoded again as H.264 at a quality that leaves the change dominant, with the same
size, frames and times. What was asked for is measured on the written file: each function returns the level that it
found there. The same sources and the same seed give the same bytes.

Levels are percentages, from 0 (the picture is only encoded again) on. Luma is on the limited range of 8 bits: 16 is
black, 235 white. Chroma, 128 where there is no colour, follows.

Blur and contrast are two of the corruptions of Hendrycks and Dietterich, Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations (arXiv 1903.12261). There five severities are fixed for pictures of 224 pixels and
differ in nature from one kind to another; here each kind is one number, relative to the picture's size or contrast,
that is measured afterwards.

Errors of a source are `InvalidInput` and name its file; besides those of `mma_bench.media.edit`:

| reason | meaning |
|---|---|
| `flat_picture` | every frame has one brightness, so that no change of it can be measured |
| `frames_differ` | not as many frames are decoded as the file has packets to present |
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from av.container import OutputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from mma_bench.errors import InvalidInput
from mma_bench.media.decode import decoded_frames
from mma_bench.media.demux import MediaPacket, audio_stream, opened, video_stream
from mma_bench.media.picture_levels import (
    Plane,
    blur_percent,
    correlation,
    faded_percent,
    first_luma,
    limited_range,
    mean_luma,
    noted,
    noted_lumas,
    planes,
    require_contrast,
)
from mma_bench.media.tracks import (
    Track,
    copy_stream,
    covering_packets,
    frame_times,
    opened_to_copy,
    read_tracks,
    shift_packets,
    time_base_of,
    writing_mp4,
)
from mma_bench.media.x264 import x264_params
from mma_bench.schema import Manipulation

VERSION: Final = "2"  # increased with any change to the bytes that this module writes, or to what it measures

Change: TypeAlias = Callable[[Iterator[VideoFrame]], Iterator[VideoFrame]]

_BLACK: Final = 16
_GREY: Final = 126  # half-way from 16 to 235
_WHITE: Final = 235
_NO_COLOUR: Final = 128
# Noise and faint contrasts must survive, so the quantiser is fixed; without B-frames, frames leave in their order.
_QUANTISER: Final = 18
_NOISE_QUANTISER: Final = 36  # noise does not compress; squares of it survive this
_CELLS: Final = 60  # squares of noise per height
_GAUSSIAN_STEPS: Final = 4  # of gblur, an approximation: with one step the best Gaussian is 12 % narrower, here 4 %


@dataclass(frozen=True)
class Degraded:
    """What `degrade_video` has written.

    Attributes:
        taken: The number of audio packets taken from the donor.
        percent: The level, measured on the written file.
    """

    taken: int
    percent: float


def degrade_video(
    base: Path, donor: Path, out: Path, *, manipulation: Manipulation, percent: float, slack_s: float = 0.0
) -> Degraded:
    """Write the degraded picture of `base` with the sound of `donor`; the sound is that of `misalign`.

    Args:
        base: A clip with a video stream; its sound is not read.
        donor: A clip with an audio stream; its picture is not read.
        out: The MP4 file to write.
        manipulation: BLUR by a Gaussian whose standard deviation is `percent` of the picture's height; DARKNESS, luma
            moved towards 16 by `percent`; LOW_CONTRAST, luma moved towards its mean over the clip by `percent`.
        percent: 0 to 100; blur 0 to 20.
        slack_s: The donor's sound may end this much (in seconds) before the base's picture.

    Raises:
        InvalidInput: `flat_picture`, `frames_differ`, `frame_times_repeat`, and those of `misalign`.
    """
    mean = mean_luma(base) if manipulation == Manipulation.LOW_CONTRAST else 0.0
    with opened(base) as base_container, opened_to_copy(donor) as donor_container:
        (video,) = read_tracks(base_container, base, video_stream(base_container, base))
        (audio,) = read_tracks(donor_container, donor, audio_stream(donor_container, donor))
        taken = covering_packets(donor, audio, base, video.end - video.begin, slack_s)
        shift_packets(video.packets, -video.begin)
        shift_packets(taken, -audio.begin)
        with writing_mp4(out, time_base_of(video.stream)) as container:
            change = _degradation(manipulation, percent, mean)
            packets, before = _encoded(container, base, video, change, _QUANTISER)
            copy_stream(container, donor, audio.stream, taken)
            container.mux(packets + taken)
    require_contrast(base, before)
    pairs = list(zip(before, noted_lumas(out, len(packets)), strict=True))
    if manipulation == Manipulation.BLUR:
        return Degraded(len(taken), blur_percent(pairs))
    return Degraded(len(taken), faded_percent(pairs, mean if manipulation == Manipulation.LOW_CONTRAST else _BLACK))


def replace_video(base: Path, out: Path, *, manipulation: Manipulation, seed: int) -> float:
    """Write `base` with a picture that does not show what happens; its audio packets and their times are kept.

    Args:
        base: A clip with picture and sound.
        out: The MP4 file to write.
        manipulation: GREY, luma 126 everywhere; PIXEL_NOISE, squares of 1/60 of the height, each of a luma drawn
            evenly from 16 to 235, anew for every frame (single pixels would turn grey in an encoder and in a model that
            downscales); FROZEN, the first frame for all of them.
        seed: Of the noise.

    Returns:
        The correlation (-1 to 1) of the written luma with that of the base at the same time, for FROZEN with that of
        its first frame; 0 if either is the same everywhere.

    Raises:
        InvalidInput: `frames_differ`, `frame_times_repeat`; for others see the top.
    """
    with opened(base) as source:
        picture, sound = video_stream(source, base), audio_stream(source, base)
        video, audio = read_tracks(source, base, picture, sound)
        with writing_mp4(out, time_base_of(picture)) as container:
            quantiser = _NOISE_QUANTISER if manipulation == Manipulation.PIXEL_NOISE else _QUANTISER
            packets, before = _encoded(container, base, video, _replacement(manipulation, seed), quantiser)
            copy_stream(container, base, sound, audio.packets)
            container.mux(packets + audio.packets)
    if manipulation == Manipulation.FROZEN:
        before = [first_luma(base)] * len(before)
    pairs = list(zip(before, noted_lumas(out, len(packets)), strict=True))
    return correlation(pairs)


def _degradation(manipulation: Manipulation, percent: float, mean: float) -> Change:
    if manipulation == Manipulation.BLUR:
        return lambda frames: _blurred(frames, percent)
    anchor = mean if manipulation == Manipulation.LOW_CONTRAST else _BLACK
    kept, scale = 1 - percent / 100, np.arange(256)
    table = np.rint([each + (scale - each) * kept for each in (anchor, _NO_COLOUR, _NO_COLOUR)])
    tables = table.clip(0, 255).astype(np.uint8)

    def faded(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        for frame in frames:
            yield _frame(frame, *(table[plane] for table, plane in zip(tables, planes(frame), strict=True)))

    return faded


def _blurred(frames: Iterator[VideoFrame], percent: float) -> Iterator[VideoFrame]:
    graph: Graph | None = None
    for frame in frames:
        if graph is None:
            graph = Graph()
            graph.threads = 1
            sigma = percent / 100 * frame.height
            shrunk = frame.planes[0].height / frame.planes[1].height  # chroma may have half the rows
            nodes = [
                graph.add_buffer(
                    width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
                ),
                graph.add("gblur", f"sigma={sigma}:steps={_GAUSSIAN_STEPS}:planes=1"),
                graph.add("gblur", f"sigma={sigma / shrunk}:steps={_GAUSSIAN_STEPS}:planes=6"),
                graph.add("buffersink"),
            ]
            graph.link_nodes(*nodes).configure()
        graph.vpush(frame)
        yield graph.vpull()


def _replacement(manipulation: Manipulation, seed: int) -> Change:
    def grey(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        for frame in frames:
            yield _frame(frame, _GREY, _NO_COLOUR, _NO_COLOUR)

    def noise(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        random = np.random.default_rng(seed)
        for frame in frames:
            side = max(1, round(frame.height / _CELLS))
            rows, columns = -(-frame.height // side), -(-frame.width // side)
            cells = random.integers(_BLACK, _WHITE, (rows, columns), np.uint8, endpoint=True)
            luma = cells.repeat(side, axis=0).repeat(side, axis=1)[: frame.height, : frame.width]
            yield _frame(frame, luma, _NO_COLOUR, _NO_COLOUR)

    def frozen(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        first: list[Plane] = []
        for frame in frames:
            first = first or [plane.copy() for plane in planes(frame)]
            yield _frame(frame, *first)

    return {Manipulation.GREY: grey, Manipulation.PIXEL_NOISE: noise, Manipulation.FROZEN: frozen}[manipulation]


def _encoded(
    container: OutputContainer, path: Path, source: Track, change: Change, quantiser: int
) -> tuple[list[MediaPacket], list[Plane]]:
    """H.264 packets of the changed frames of `path` at the times of the packets of `source`, in a new stream; and the
    luma of some frames before the change, see `noted`.
    """
    stream, times = source.stream, frame_times(path, source.packets)
    assert isinstance(stream, VideoStream)
    options = {"preset": "ultrafast", "flags": "+bitexact", "x264-params": x264_params(bframes=0, qp=quantiser)}
    track = container.add_stream("libx264", options=options)
    codec, time_base = track.codec_context, time_base_of(stream)
    codec.width, codec.height = stream.codec_context.width, stream.codec_context.height
    codec.pix_fmt = "yuv444p" if codec.width % 2 or codec.height % 2 else "yuv420p"
    codec.framerate = stream.average_rate or Fraction(25)
    codec.time_base = track.time_base = time_base
    if stream.sample_aspect_ratio:
        codec.sample_aspect_ratio = stream.sample_aspect_ratio
    codec.color_range = ColorRange.MPEG
    codec.colorspace = stream.codec_context.colorspace
    codec.color_primaries, codec.color_trc = stream.codec_context.color_primaries, stream.codec_context.color_trc
    packets: list[MediaPacket] = []
    count = 0
    lumas: list[Plane] = []
    for frame in change(noted(map(limited_range, decoded_frames(path)), len(times), lumas)):
        if count < len(times):
            frame.pts, frame.time_base = times[count][0], time_base
            packets += track.encode(frame)
        count += 1
    if count != len(times):
        raise InvalidInput("frames_differ", f"{count} frames decode, {len(times)} have a time", subject=path)
    packets += track.encode(None)
    for packet, (_, duration) in zip(packets, times, strict=True):
        packet.duration = duration
    return packets, lumas


def _frame(like: VideoFrame, *values: Plane | int) -> VideoFrame:
    """A new frame of the size and format of another: for luma and both chroma planes an array or one value."""
    frame = VideoFrame(like.width, like.height, like.format.name)
    for plane, value in zip(planes(frame), values, strict=True):
        plane[:] = value
    return frame
