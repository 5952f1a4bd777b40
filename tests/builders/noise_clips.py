"""Clips of noise with exactly the times a test asks for, and what a file really holds, read without the package."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

TIME_BASE = Fraction(1, 15360)
TICKS = 512  # of a frame at 30 frames/s


@dataclass(frozen=True)
class Clip:
    """What to encode.

    Attributes:
        begins: When each frame begins, in 1/15360 s.
        sound_begin: In samples.
        sound_s: Length of the sound in seconds.
        seed: Of the noise that is seen and heard.
    """

    begins: tuple[int, ...] = tuple(range(0, 30 * TICKS, TICKS))
    size: tuple[int, int] = (64, 64)
    b_frames: int = 2
    rate: int = 44100
    layout: str = "stereo"
    sound_begin: int = 0
    sound_s: float = 1.0
    codecs: tuple[str | None, str | None] = ("libx264", "aac")
    seed: int = 0


def write(path: Path, clip: Clip) -> Path:
    noise = np.random.default_rng(clip.seed)
    video_codec, audio_codec = clip.codecs
    # Begins are kept to the tick; the default keeps them to 1 ms.
    with av.open(str(path), "w", format="mp4", options={"movie_timescale": "15360"}) as container:
        tracks: list[Any] = []
        if video_codec:
            # Left to itself, x264 finds no use for B-frames in noise.
            forced = {"b_strategy": "0", "sc_threshold": "0"} if video_codec == "libx264" else {}
            options = {"g": "8", "bf": str(clip.b_frames), "threads": "1", **forced}
            video = container.add_stream(video_codec, options=options)
            video.width, video.height = clip.size
            video.pix_fmt = "yuv420p" if not any(side % 2 for side in clip.size) else "yuv444p"
            video.codec_context.time_base = video.time_base = TIME_BASE
            tracks.append(video)
        if audio_codec:
            audio = container.add_stream(audio_codec, rate=clip.rate, layout=clip.layout)
            tracks.append(audio)
        container.start_encoding()
        ends = (*clip.begins[1:], clip.begins[-1] + TICKS)
        lasting = {begin: end - begin for begin, end in zip(clip.begins, ends, strict=True)}

        def mux(packets: list[Any]) -> None:
            for packet in packets:
                if video_codec and packet.stream is video:
                    packet.duration = lasting[packet.pts]
                container.mux(packet)

        if video_codec:
            for begin in clip.begins:
                picture = noise.integers(0, 256, (clip.size[1], clip.size[0], 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = begin, TIME_BASE
                mux(video.encode(frame))
        if audio_codec:
            size = audio.codec_context.frame_size
            for start in range(0, round(clip.sound_s * clip.rate), size):
                count = min(size, round(clip.sound_s * clip.rate) - start)
                block = noise.uniform(-0.5, 0.5, (audio.codec_context.channels, count)).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(block, "fltp", clip.layout)
                frame.pts, frame.sample_rate = clip.sound_begin + start, clip.rate
                mux(audio.encode(frame))
        for track in tracks:
            mux(track.encode(None))
    return path


def payloads(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(**{kind: 0}) if packet.size]


def ends(path: Path) -> list[Fraction]:
    """When the last frame and the last sample end, in seconds, as the packets say (an edit list may round up)."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
        kinds = [[p for p in packets if p.stream.type == kind] for kind in ("video", "audio")]
        last = [max(packets, key=lambda packet: packet.pts) for packets in kinds]
        return [(packet.pts + packet.duration) * packet.time_base for packet in last]


def times(path: Path, kind: str) -> list[tuple[Fraction, Fraction]]:
    """Presentation and decoding time of each packet in seconds."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(**{kind: 0}) if packet.size]
        return [(packet.pts * packet.time_base, packet.dts * packet.time_base) for packet in packets]


def pictures(path: Path) -> list[tuple[Fraction, npt.NDArray[np.uint8]]]:
    """When each decoded frame is presented, in seconds, and its planes as coded."""
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray()) for frame in container.decode(video=0)]


def sound(path: Path) -> tuple[Fraction, npt.NDArray[np.float32]]:
    """When the first decoded sample is presented, in seconds, and all samples [channels, n]."""
    with av.open(str(path)) as container:
        blocks = list(container.decode(audio=0))
        return blocks[0].pts * blocks[0].time_base, np.concatenate([block.to_ndarray() for block in blocks], axis=1)


def header(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        return {
            "size": (video.width, video.height),
            "aspect": video.sample_aspect_ratio,
            "begins": (video.start_time * video.time_base, audio.start_time * audio.time_base),
            "sound": (audio.codec_context.sample_rate, audio.codec_context.layout.name),
        }
