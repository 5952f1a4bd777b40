"""The timing of a clip's packets, read without decoding; it decides whether the clip may be copied unchanged."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median_high
from typing import Final, TypeAlias

from av.container import InputContainer
from av.stream import Stream

from mma_bench.errors import InvalidInput
from mma_bench.media.demux import audio_stream, opened, packets_of, video_stream

_HELD_S: Final = Fraction(1, 5)

Span: TypeAlias = tuple[Fraction, Fraction]  # begin and end in seconds

_SHORTEST_GAP_S = Fraction(1, 20)  # containers round times, and a decoder conceals a lost packet or two


@dataclass(frozen=True)
class Timeline:
    """Times in seconds from the file's start, up to the limit given to `timeline`.

    Attributes:
        start_s: The file's own start, from which the other times are measured.
        frames: Video packets that are shown.
        video_start_s: When the first frame is shown.
        video_end_s: When the last frame ends.
        last_frame_s: How long the last frame is shown, by its packet or by the mean.
        usual_frame_s: Median time between two frames.
        longest_frame_s: Longest time between two frames.
        audio_start_s: When the first sample sounds.
        audio_end_s: When the last sample ends.
        audio_gaps_s: Time between them in which there are no samples, in gaps of over 0.05 s.
        continues: Whether further frames are shown after the limit.
        hidden_frames: Video packets that are decoded but not shown: a cut without re-encoding keeps the frames since
            the last key frame.
        hidden_audio_s: Sound before the start that is decoded but not heard. The priming of an AAC encoder, about
            0.02 s, is normal; more is left over from a cut.
    """

    start_s: Fraction
    frames: int
    video_start_s: Fraction
    video_end_s: Fraction
    last_frame_s: Fraction
    usual_frame_s: Fraction
    longest_frame_s: Fraction
    audio_start_s: Fraction
    audio_end_s: Fraction
    audio_gaps_s: Fraction
    continues: bool
    hidden_frames: int
    hidden_audio_s: Fraction

    @property
    def fps(self) -> Fraction:
        """Mean frames per second."""
        return self.frames / (self.video_end_s - self.video_start_s)

    @property
    def usual_fps(self) -> Fraction:
        """Frames per second at the median frame distance: the rate from which a variable rate has dropped frames."""
        return 1 / self.usual_frame_s

    @property
    def constant_rate(self) -> bool:
        """Whether no frame lasts half a frame longer than the mean (containers round times to 1 ms)."""
        return self.longest_frame_s * self.fps <= Fraction(3, 2)

    @property
    def last_may_stand_s(self) -> Fraction:
        """How long the last frame may be held: as long as it is shown, or, at a variable rate, as long as any other is,
        up to 0.2 s. Containers often do not say how long a last frame is shown.
        """
        return self.last_frame_s if self.constant_rate else max(self.last_frame_s, min(self.longest_frame_s, _HELD_S))


def playing_time_s(path: Path) -> float:
    """Seconds from the first picture or sound to the end of the last, by all packets of both streams.

    What an edit list hides does not count, nor do subtitles and data.

    Raises:
        InvalidInput: `truncated`, `no_frames`, `no_audio_samples`; others: see the table in `mma_bench.media`.
    """
    with opened(path) as container:
        spans: dict[int, list[Span]] = {
            video_stream(container, path).index: [],
            audio_stream(container, path).index: [],
        }
        for packet in packets_of(container, path):
            time = packet.pts if packet.pts is not None else packet.dts
            if packet.size and time is not None and not packet.is_discard and packet.stream.index in spans:
                begin = time * packet.time_base
                spans[packet.stream.index].append((begin, begin + (packet.duration or 0) * packet.time_base))
    for found, reason, what in zip(
        spans.values(), ("no_frames", "no_audio_samples"), ("frame is shown", "sound"), strict=True
    ):
        if not found:
            raise InvalidInput(reason, f"no {what}", subject=path)
    both = [span for found in spans.values() for span in found]
    return float(max(end for _, end in both) - min(begin for begin, _ in both))


def _start(container: InputContainer, *streams: Stream) -> Fraction:
    """When the earliest of `streams` begins; the container's own start may be that of its subtitles or data."""
    starts = [
        stream.start_time * stream.time_base
        for stream in streams
        if stream.start_time is not None and stream.time_base is not None
    ]
    if len(starts) < len(streams) or len(container.streams) == len(streams):
        return Fraction(container.start_time or 0, 1_000_000)
    return min(starts)


def timeline(path: Path, seconds: float) -> Timeline:
    """Read the packets' times of the first `seconds` of `path`.

    Raises:
        InvalidInput: `truncated`, `no_frames`, `no_audio_samples`, `single_frame`;
            others: see the table in `mma_bench.media`.
    """
    shown: list[Span] = []
    heard: list[Span] = []
    continues, hidden_frames, hidden_audio_s = False, 0, Fraction(0)
    limit = Fraction(seconds)
    with opened(path) as container:
        video, audio = video_stream(container, path), audio_stream(container, path)
        start = _start(container, video, audio)
        unfinished = {video.index, audio.index}
        frame_s = Fraction(audio.codec_context.frame_size or 0, audio.codec_context.sample_rate or 1)
        for packet in packets_of(container, path):
            if not packet.size or packet.pts is None or packet.stream.index not in (video.index, audio.index):
                continue
            begin = packet.pts * packet.time_base - start
            end = begin + (packet.duration or 0) * packet.time_base
            is_video = packet.stream.index == video.index
            if packet.is_discard and is_video:
                hidden_frames += 1
            elif packet.is_discard:
                hidden_audio_s = max(hidden_audio_s, -begin)
            elif begin < limit and end > 0:
                (shown if is_video else heard).append((max(begin, Fraction(0)), end))
            elif begin >= limit:
                continues |= is_video
                if begin >= limit + 1:  # packets are out of order by less than a second
                    unfinished.discard(packet.stream.index)
                    if not unfinished:
                        break
    if not shown:
        raise InvalidInput("no_frames", f"no frame is shown in the first {seconds:g} s", subject=path)
    if not heard:
        raise InvalidInput("no_audio_samples", f"no sound in the first {seconds:g} s", subject=path)
    if len(shown) == 1:
        raise InvalidInput("single_frame", f"a single frame is shown in the first {seconds:g} s", subject=path)
    begins = sorted(begin for begin, _ in shown)
    steps = [after - before for before, after in pairwise(begins)]
    mean_s = (begins[-1] - begins[0]) / len(steps)
    if mean_s == 0:
        raise InvalidInput("corrupt_stream", f"its {len(shown)} frames are all shown at the same time", subject=path)
    video_end_s = max(begins[-1] + mean_s, max(end for _, end in shown))
    return Timeline(
        start_s=start,
        frames=len(shown),
        video_start_s=begins[0],
        video_end_s=video_end_s,
        last_frame_s=video_end_s - begins[-1],
        usual_frame_s=median_high(steps) or mean_s,
        longest_frame_s=max(steps),
        audio_start_s=min(begin for begin, _ in heard),
        audio_end_s=max(end for _, end in heard),
        audio_gaps_s=_gaps_s(heard, frame_s),
        continues=continues,
        hidden_frames=hidden_frames,
        hidden_audio_s=hidden_audio_s,
    )


def _gaps_s(heard: list[Span], frame_s: Fraction) -> Fraction:
    """Seconds of sound that are missing between packets.

    Args:
        heard: Begin and end of each packet; MP4 gives the packet before a gap an end at the next one's begin.
        frame_s: How long the samples of a packet last; 0 for a codec that does not fix it.
    """
    pairs = list(pairwise(sorted(heard)))
    usual_s = max(frame_s, median_high([after[0] - before[0] for before, after in pairs])) if pairs else frame_s
    ends = [before[0] + usual_s if frame_s else before[1] for before, _ in pairs]
    gaps = [after[0] - end for (before, after), end in zip(pairs, ends, strict=True) if end > before[0]]
    return sum((gap for gap in gaps if gap > _SHORTEST_GAP_S), Fraction(0))
