"""Opens a local media file for reading, and nothing else: no URL, no playlist, no file referenced by another."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from mma_bench.errors import InvalidInput
from mma_bench.faults import READABLE, fault_in_messages, quotes_system_error
from mma_bench.files import file_sha256

MediaPacket: TypeAlias = "Packet[Stream]"

# Containers of video clips. Playlists (hls, concat, dash) are FFmpeg containers that reference other files or URLs;
# streams without a header (mpegts, flv) would be decoded before the picture size can be checked.
DEMUXERS = "mov,matroska,avi"
PROTOCOLS = "file"
# No decoder allocates a larger picture, whatever a header says, even in the middle of a stream. 8K is half of it.
MAX_PIXELS = 67_108_864


@contextmanager
def opened(path: Path, *, decoders: bool = True) -> Iterator[InputContainer]:
    """Open `path` for demuxing; FFmpeg's errors while it is open become `corrupt_stream`.

    Args:
        path: A local file.
        decoders: Whether decoders probe the first packets, which takes most of the opening time. Without them a stream
            has only the facts of the container's header, which is enough to copy packets of most codecs.

    Raises:
        InvalidInput: `missing_file`, `empty_file`, `unreadable`, `corrupt_stream`.
    """
    if not path.is_file():
        raise InvalidInput("missing_file", "no such file", subject=path)
    if path.stat().st_size == 0:
        raise InvalidInput("empty_file", "the file has 0 bytes", subject=path)
    options = {
        "protocol_whitelist": PROTOCOLS,
        "format_whitelist": DEMUXERS,
        "max_pixels": str(MAX_PIXELS),
    }
    if not decoders:
        options["codec_whitelist"] = "none"
    try:
        # The prefix keeps a name such as "concat:a|b" or "http:" from being read as a protocol.
        container = av.open(f"file:{path}", options=options, metadata_errors="replace")
    except FFmpegError as error:
        problem = f"not a readable media file ({described(error.strerror, path)})"
        raise InvalidInput("unreadable", problem, subject=path) from None
    with container:
        try:
            yield container
        except FFmpegError as error:
            raise InvalidInput("corrupt_stream", described(error.strerror, path), subject=path) from None


def described(problem: str, path: Path) -> str:
    """FFmpeg's message about `path`; if damage or the disk may be the cause of it, the file is read to find out.

    Raises:
        MachineFault: The message reports a fault of the machine.
        Retryable: It reports a lack of memory.
        OSError: The disk is the cause: the file cannot be read.
    """
    if (fault := fault_in_messages(problem)) is not None:
        fault.subject = path
        raise fault
    if not quotes_system_error(problem):
        return problem
    file_sha256(path)
    return f"{problem}; {READABLE}"


def packets_of(container: InputContainer, path: Path) -> Iterator[MediaPacket]:
    """The packets of all streams in file order, including the empty ones at the end that flush the decoders.

    All streams, even if only one is needed: a truncated file may end in a packet of another stream.

    Raises:
        InvalidInput: `truncated` at a truncated packet.
    """
    for packet in container.demux():
        if packet.is_corrupt:
            raise InvalidInput("truncated", "the file ends in the middle of a packet", subject=path)
        yield packet


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first video stream that is not a cover picture, set to decode on one thread.

    Raises:
        InvalidInput: `no_video_stream`, `unknown_codec`.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            _decode_on_one_thread(stream, path)
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            return stream
    raise InvalidInput("no_video_stream", "no video stream", subject=path)


def audio_stream(container: InputContainer, path: Path) -> AudioStream:
    """The first audio stream, set to decode on one thread.

    Raises:
        InvalidInput: `no_audio_stream`, `unknown_codec`.
    """
    for stream in container.streams.audio:
        _decode_on_one_thread(stream, path)
        return stream
    raise InvalidInput("no_audio_stream", "no audio stream", subject=path)


def _decode_on_one_thread(stream: VideoStream | AudioStream, path: Path) -> None:
    # Clips are spread over worker processes; threads inside each would only compete with them.
    if stream.codec_context is None:
        raise InvalidInput("unknown_codec", f"stream {stream.index} is in a codec without a decoder", subject=path)
    stream.codec_context.thread_count = 1
