"""The identity of a stream: a hash over its packets' payloads, the same in any container and after any remux."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from mma_bench.errors import InvalidInput
from mma_bench.media.demux import MediaPacket, audio_stream, opened, packets_of, video_stream

Kind: TypeAlias = Literal["video", "audio"]


class PayloadHash:
    """SHA-256 over packets, each payload preceded by its length in 8 bytes, so that packet boundaries matter."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.packets = 0

    def add(self, packet: MediaPacket) -> None:
        """Take the next packet in decoding order; the empty one that ends a stream is ignored."""
        if not packet.size:
            return
        self._hash.update(packet.size.to_bytes(8, "big"))
        self._hash.update(packet)
        self.packets += 1

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self._hash.hexdigest()


def packets(path: Path, kind: Kind) -> Iterator[MediaPacket]:
    """The packets of the first video or audio stream in decoding order, without the empty one that ends it.

    Raises:
        InvalidInput: See the table in `mma_bench.media`.
    """
    with opened(path) as container:
        stream = video_stream(container, path) if kind == "video" else audio_stream(container, path)
        for packet in packets_of(container, path):
            if packet.size and packet.stream.index == stream.index:
                yield packet


def packet_sha256(path: Path, kind: Kind, *, first: int | None = None) -> str:
    """SHA-256 over the payloads of the stream's packets, or of its `first` ones.

    Raises:
        InvalidInput: `too_few_packets` if there are fewer than `first`; others: see `mma_bench.media`.
    """
    digest = PayloadHash()
    for packet in packets(path, kind):
        if digest.packets == first:
            break
        digest.add(packet)
    if first is not None and digest.packets < first:
        raise InvalidInput("too_few_packets", f"{digest.packets} {kind} packets, {first} are needed", subject=path)
    return digest.hexdigest()
