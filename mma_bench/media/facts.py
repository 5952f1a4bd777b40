"""The facts of a written clip, decoded from the file; every gate and every later stage relies on them.

A picture whose packets, times and headers are those of one that this process has decoded is not decoded again: most
variants of a clip carry its picture as it is, and decoding it is most of the work.
"""

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mma_bench.errors import InvalidInput
from mma_bench.media.demux import MediaPacket, audio_stream, opened, packets_of, video_stream
from mma_bench.media.packets import PayloadHash
from mma_bench.media.scaling import Scaler
from mma_bench.schema import FACTS

MOTION_STEP_S = Fraction(1, 5)
_THUMBNAIL = 64  # pixels per side
FLOOR_DBFS = -120.0
_DCT = _THUMBNAIL // 2
# Rows 0 to 7 of the discrete cosine transform of 32 values.
_COSINES = np.cos(np.pi / _DCT * np.outer(np.arange(8), np.arange(_DCT) + 0.5))
_LUMA_PLANE_FORMATS = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12"})
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_DECODED: dict[str, dict[str, Any]] = {}  # `_identity` of a picture → its facts
_MOST_DECODED = 4096


def media_facts(path: Path) -> dict[str, Any]:
    """Decode `path`, at most once, and measure it.

    Returns:
        Exactly the keys of `mma_bench.schema.FACTS`, with its types and units. `motion` is the mean over the clip
        of the mean absolute difference between thumbnails (64×64, area average, luma 0–255) 0.2 s apart; `phash`
        is the perceptual hash of the middle one of these thumbnails; `rms_dbfs` and `audio_peak` are over all
        channels, rounded to 0.001 dB and to 6 decimals, as processors differ in the last bits.

    Raises:
        InvalidInput: `no_frames`, `no_audio_samples`, `corrupt_stream`; see the table in `mma_bench.media`.
    """
    sound, moving, picture_hash = _Sound(path), list[MediaPacket](), PayloadHash()
    with opened(path) as container:
        video, audio = video_stream(container, path), audio_stream(container, path)
        for packet in packets_of(container, path):
            if packet.stream.index == video.index:
                picture_hash.add(packet)
                moving.append(packet)
            elif packet.stream.index == audio.index:
                sound.hash.add(packet)
                for block in audio.decode(packet):
                    sound.add(block)
        identity = _identity(video, moving, picture_hash.hexdigest())
        if identity not in _DECODED:
            sight = _Sight(path)
            for packet in moving:
                for picture in video.decode(packet):
                    sight.add(picture)
            if len(_DECODED) == _MOST_DECODED:
                del _DECODED[next(iter(_DECODED))]
            _DECODED[identity] = sight.facts()
    seen, heard = {**_DECODED[identity], "video_sha256": picture_hash.hexdigest()}, sound.facts()
    measured = {"duration_s": max(seen["video_duration_s"], heard["audio_duration_s"]), **seen, **heard}
    return {name: measured[name] for name in FACTS}


def _identity(stream: VideoStream, packets: Sequence[MediaPacket], payload_sha256: str) -> str:
    """A hash of all that decides what is decoded from the packets, and at what times after the first."""
    codec = stream.codec_context
    begin = next((packet.pts for packet in packets if packet.pts is not None), 0)
    told = (
        *(codec.name, codec.extradata, codec.width, codec.height, codec.pix_fmt, codec.color_range),
        *(stream.time_base, payload_sha256),
        *(
            (None if packet.pts is None else packet.pts - begin, packet.duration, packet.is_keyframe, packet.is_discard)
            for packet in packets
        ),
        *((str(side.data_type), bytes(side)) for packet in packets for side in packet.iter_sidedata()),
    )
    return hashlib.sha256(repr(told).encode()).hexdigest()


class _Sight:
    """Measures a video stream frame by frame; holds thumbnails of 0.2 s steps, never the frames."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._scaler = Scaler()
        self._frames = 0
        self._begin: Fraction | None = None
        self._end = Fraction(0)
        self._size = (0, 0)
        self._luma_max = 0
        self._full_range = False
        self._thumbnails: list[npt.NDArray[np.int16]] = []

    def add(self, frame: VideoFrame) -> None:
        """Take the next frame in presentation order."""
        if frame.is_corrupt:
            raise InvalidInput("corrupt_stream", f"frame {self._frames} is damaged", subject=self.path)
        if frame.pts is None or frame.time_base is None:
            raise InvalidInput("corrupt_stream", f"frame {self._frames} has no time", subject=self.path)
        time = frame.pts * frame.time_base
        if self._begin is None:
            self._begin = time
            self._size = (frame.width, frame.height)
        self._frames += 1
        self._end = max(self._end, time + frame.duration * frame.time_base)
        self._luma_max = max(self._luma_max, self._brightest(frame))
        if time - self._begin >= len(self._thumbnails) * MOTION_STEP_S:
            self._thumbnails.append(thumbnail(frame, self._scaler))

    def _brightest(self, frame: VideoFrame) -> int:
        if frame.format.name not in _LUMA_PLANE_FORMATS:
            frame = frame.reformat(format="yuv420p")
        self._full_range = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return int(rows[: frame.height, : frame.width].max())  # the rest of each row is padding

    def facts(self) -> dict[str, Any]:
        if self._begin is None:
            raise InvalidInput("no_frames", "decodes to 0 frames", subject=self.path)
        seconds = self._end - self._begin
        if seconds <= 0:
            raise InvalidInput(
                "corrupt_stream", f"its {self._frames} frames last {float(seconds)} s", subject=self.path
            )
        luma = float(self._luma_max) if self._full_range else (self._luma_max - 16) * 255 / 219
        steps = np.abs(np.diff(np.stack(self._thumbnails), axis=0))
        return {
            "video_duration_s": float(seconds),
            "width": self._size[0],
            "height": self._size[1],
            "fps": float(self._frames / seconds),
            "frames": self._frames,
            "luma_max": min(max(luma, 0.0), 255.0),
            "motion": float(steps.mean()) if steps.size else 0.0,
            "phash": _perceptual_hash(self._thumbnails[len(self._thumbnails) // 2]),
        }


class _Sound:
    """Measures an audio stream block by block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hash = PayloadHash()
        self._to_float = AudioResampler(format="fltp")
        self._samples = 0
        self._seconds = Fraction(0)
        self._sample_rate = 0
        self._channels = 0
        self._peak = 0.0
        self._energy = 0.0  # sum of squares over samples and channels
        self._values = 0

    def add(self, frame: AudioFrame) -> None:
        """Take the next block of samples."""
        blocks = [frame] if frame.format.name == "fltp" else self._to_float.resample(frame)
        for block in blocks:
            values = block.to_ndarray().ravel()
            self._peak = max(self._peak, float(np.abs(values).max(initial=0.0)))
            self._energy += float(np.dot(values, values))
            self._values += values.size
        self._sample_rate, self._channels = frame.sample_rate, frame.layout.nb_channels
        self._seconds += Fraction(frame.samples, frame.sample_rate)

    def facts(self) -> dict[str, Any]:
        if not self._values:
            raise InvalidInput("no_audio_samples", "decodes to 0 audio samples", subject=self.path)
        if not math.isfinite(self._energy):
            raise InvalidInput("corrupt_stream", "the sound holds values that are not numbers", subject=self.path)
        power = self._energy / self._values
        return {
            "audio_duration_s": float(self._seconds),
            "sample_rate": self._sample_rate,
            "channels": self._channels,
            "audio_peak": round(min(self._peak, 1.0), 6),
            "rms_dbfs": round(max(10 * math.log10(power), FLOOR_DBFS), 3) if power else FLOOR_DBFS,
            "audio_sha256": self.hash.hexdigest(),
        }


def thumbnail(frame: VideoFrame, scaler: Scaler) -> npt.NDArray[np.int16]:
    """int16 [64, 64]: luma, 0 (black) to 255, averaged over areas."""
    small = scaler.scaled(frame, _THUMBNAIL, _THUMBNAIL, "gray", "AREA")  # gray is full range: 0 is black
    return small.to_ndarray().astype(np.int16)


def _perceptual_hash(thumbnail: npt.NDArray[np.int16]) -> str:
    """64 bits, as imagehash.phash takes them: which of the 8×8 lowest frequencies are above their median."""
    pixels = thumbnail.reshape(_DCT, 2, _DCT, 2).mean(axis=(1, 3))
    low = (_COSINES @ pixels @ _COSINES.T).round(3)  # a uniform image has zero coefficients, not rounding errors
    bits = (low > np.median(low)).ravel()
    return np.packbits(bits).tobytes().hex()
