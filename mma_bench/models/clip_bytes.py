"""A clip's bytes for servers and external programs: the video without its audio, and the audio alone."""

import io
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

from mma_bench.errors import InvalidInput
from mma_bench.media import SAMPLE_RATE
from mma_bench.media.decode import audio
from mma_bench.media.demux import opened, packets_of, video_stream
from mma_bench.media.remux import MP4_OPTIONS
from mma_bench.models.contracts import ClipTask


def mp4_bytes(task: ClipTask, *, with_sound: bool) -> bytes:
    """The clip as an MP4 file, without the audio track if the model does not hear it or `with_sound` is false.

    Packets are copied, not re-encoded. Without a track a model does not even receive silence.

    Raises:
        InvalidInput: See the table in `mma_bench.media`; the message names the clip.
    """
    if with_sound and task.hears:
        return task.video
    with on_disk(task) as path:
        muted = path.with_name("muted.mp4")
        with opened(path) as container, av.open(str(muted), "w", format="mp4", options=MP4_OPTIONS) as output:
            video = video_stream(container, path)
            target = output.add_stream_from_template(video)
            for packet in packets_of(container, path):
                if packet.size and packet.stream.index == video.index:
                    packet.stream = target
                    output.mux(packet)
        return muted.read_bytes()


def wav_bytes(task: ClipTask) -> bytes:
    """The clip's audio as a WAV file: mono, 16 bit, 16 kHz.

    Raises:
        InvalidInput: See the table in `mma_bench.media`; the message names the clip.
    """
    with on_disk(task) as path:
        samples = np.clip(audio(path), -1, 1)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


@contextmanager
def on_disk(task: ClipTask) -> Iterator[Path]:
    """The clip as a temporary file; an InvalidInput raised inside names the clip instead of the file."""
    with tempfile.TemporaryDirectory(prefix="mma-bench-") as folder:
        path = Path(folder) / "clip.mp4"
        path.write_bytes(task.video)
        try:
            yield path
        except InvalidInput as error:
            error.subject = f"clip {task.id}"
            raise
