"""Opens a local media file for reading, and nothing else: no URL, no playlist, no file referenced by another."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from mma_bench.errors import InvalidInput, MachineFault
from mma_bench.faults import READABLE, fault_in_messages, quotes_system_error
from mma_bench.files import file_sha256

MediaPacket: TypeAlias = "Packet[Stream]"

# Containers of video clips. Playlists (hls, concat, dash) are FFmpeg containers that reference other files or URLs;
# streams without a header (mpegts, flv) would be decoded before the picture size can be checked.
DEMUXERS = "mov,matroska,avi"
PROTOCOLS = "file"
# No decoder allocates a larger picture, whatever a header says, even in the middle of a stream. 8K is half of it.
MAX_PIXELS = 67_108_864
_COVER = Disposition.attached_pic | Disposition.timed_thumbnails
_IMAGE_CODECS = frozenset({"bmp", "gif", "mjpeg", "png", "tiff", "webp"})  # mjpeg is also used for moving pictures


@contextmanager
def opened(path: Path, *, decoders: bool = True) -> Iterator[InputContainer]:
    """Open `path` for demuxing; FFmpeg's errors while it is open become `corrupt_stream`.

    Args:
        path: A local file.
        decoders: Whether decoders probe the first packets, which takes most of the opening time. Without them a stream
            has only the facts of the container's header, which is enough to copy packets of most codecs.

    Raises:
        MachineFault: `missing_file`: it was there when the stage before wrote it, so its folder may be unmounted.
        InvalidInput: `empty_file`, `unreadable`, `corrupt_stream`.
    """
    if not path.is_file():
        raise MachineFault("missing_file", "no such file", subject=path)
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
        why = described(error.strerror, path)
        problem = _contents(path) or f"({why})"
        raise InvalidInput("unreadable", f"not a readable media file {problem}", subject=path) from None
    with container:
        try:
            yield container
        except FFmpegError as error:
            raise InvalidInput("corrupt_stream", described(str(error.strerror), path), subject=path) from None


def described(problem: str | None, path: Path) -> str:
    """FFmpeg's message about `path`; if damage or the disk may be the cause of it, the file is read to find out.

    Raises:
        MachineFault: The message reports a fault of the machine.
        Retryable: It reports a lack of memory.
        OSError: The disk is the cause: the file cannot be read.
    """
    problem = problem or "without a message"
    if (fault := fault_in_messages(problem)) is not None:
        fault.subject = path
        raise fault
    if not quotes_system_error(problem):
        return problem
    file_sha256(path)
    return f"{problem}; {READABLE}"


# What is often named .mp4 and is not: the first bytes, where they stand, what it is, and whether FFmpeg can repack it.
_SIGNATURES: Final = (
    (b"ftyp", 4, "an MP4 file whose index is missing or damaged, as after an interrupted download", False),
    (b"\x1a\x45\xdf\xa3", 0, "a Matroska file whose header is damaged, as after an interrupted download", False),
    (b"FLV", 0, "a Flash video", True),
    (b"\x00\x00\x01\xba", 0, "an MPEG program stream", True),
    (b"\x30\x26\xb2\x75", 0, "a Windows Media file", True),
    (b"OggS", 0, "an Ogg file", True),
    (b"ID3", 0, "an MP3 file", False),
    (b"#EXTM3U", 0, "a playlist", False),
    (b"<", 0, "a page of HTML or XML, as a server sends in place of a video", False),
    (b"{", 0, "JSON, as a server sends in place of a video", False),
)
_TS_PACKET: Final = 188  # bytes, each beginning with 0x47


def _contents(path: Path) -> str:
    """What the file is by its first bytes, and what to do; "" if unknown."""
    with path.open("rb") as stream:
        head = stream.read(3 * _TS_PACKET)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    known = [
        (what, repack)
        for signature, place, what, repack in _SIGNATURES
        if (head if place else text).startswith(signature, place)
    ]
    if head[::_TS_PACKET] == b"GGG":
        known = [("an MPEG transport stream", True)]
    return "".join(
        f"(it is {what}" + ("; repack it: ffmpeg -i FILE -c copy NEW.mkv)" if repack else ")")
        for what, repack in known[:1]
    )


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
    """The stream with the moving picture, set to decode on one thread.

    Cover pictures are left out. Of several, one in a codec of moving pictures comes before one of single images (a
    cover without its flag), then one that is flagged as default, then the first.

    Raises:
        InvalidInput: `no_video_stream`, `unknown_codec`.
    """
    pictures = [stream for stream in container.streams.video if not stream.disposition & _COVER]
    if not pictures:
        raise InvalidInput("no_video_stream", "no video stream", subject=path)
    chosen = min(pictures, key=lambda stream: (_codec(stream) in _IMAGE_CODECS, not _is_default(stream), stream.index))
    _decode_on_one_thread(chosen, path)
    chosen.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return chosen


def audio_stream(container: InputContainer, path: Path) -> AudioStream:
    """The first audio stream that is flagged as default, or else the first, set to decode on one thread: what a player
    plays.

    Raises:
        InvalidInput: `no_audio_stream`, `unknown_codec`.
    """
    if not container.streams.audio:
        raise InvalidInput("no_audio_stream", "no audio stream", subject=path)
    chosen = min(container.streams.audio, key=lambda stream: (not _is_default(stream), stream.index))
    _decode_on_one_thread(chosen, path)
    return chosen


def _codec(stream: VideoStream) -> str:
    return stream.codec_context.name if stream.codec_context is not None else ""


def _is_default(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.default)


def _decode_on_one_thread(stream: VideoStream | AudioStream, path: Path) -> None:
    # Clips are spread over worker processes; threads inside each would only compete with them.
    if stream.codec_context is None:
        raise InvalidInput("unknown_codec", f"stream {stream.index} is in a codec without a decoder", subject=path)
    stream.codec_context.thread_count = 1
