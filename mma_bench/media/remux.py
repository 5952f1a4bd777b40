"""Copies a clip's packets unchanged into a new MP4 file."""

from pathlib import Path

import av

from mma_bench.media.demux import audio_stream, opened, packets_of, video_stream

# bitexact leaves the library's version out of the file; faststart puts the index first, for streaming readers.
MP4_OPTIONS = {"fflags": "+bitexact", "movflags": "+faststart"}


def remux(source: Path, target: Path, seconds: float) -> int:
    """Copy all video packets and the audio packets that start before `seconds`; metadata are not copied.

    Args:
        source: An MP4 file that starts at 0.
        target: The MP4 file to write.
        seconds: End of the sound; the last packet may last up to 0.13 s longer.

    Returns:
        The number of audio packets copied.

    Raises:
        InvalidInput: See the table in `mma_bench.media`.
    """
    copied = 0
    with opened(source) as container, av.open(str(target), "w", format="mp4", options=MP4_OPTIONS) as output:
        video, audio = video_stream(container, source), audio_stream(container, source)
        out_video = output.add_stream_from_template(video)
        out_audio = output.add_stream_from_template(audio)
        for packet in packets_of(container, source):
            if not packet.size or packet.pts is None:
                continue
            if packet.stream.index == video.index:
                packet.stream = out_video
            elif packet.stream.index == audio.index and packet.pts * packet.time_base < seconds:
                packet.stream = out_audio
                copied += 1
            else:
                continue
            output.mux(packet)
    return copied
