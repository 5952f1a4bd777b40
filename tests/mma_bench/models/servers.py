"""A local server that does as it is told, also badly, and clips for what asks it."""

import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import av
import numpy as np

from mma_bench.models.contracts import ClipTask, Prompt

RATE = 16_000


@cache
def clip(seed: int = 0) -> bytes:
    """An MP4 of one second of drifting noise, with a tone."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (56, 84, 3), np.uint8)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=10, options={"preset": "ultrafast", "threads": "1"})
        video.width, video.height, video.pix_fmt = 84, 56, "yuv420p"
        audio = out.add_stream("aac", rate=RATE, layout="mono")
        for index in range(10):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.roll(picture, index, axis=1), format="rgb24")))
        out.mux(video.encode(None))
        wave = (0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)
        block = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        block.sample_rate = RATE
        out.mux(audio.encode(block))
        out.mux(audio.encode(None))
    return file.getvalue()


def task(*prompts: Prompt, id: str = "a.aligned", condition: str = "aligned", video: bytes | None = None) -> ClipTask:
    """A clip under a condition; under `audio_dropped` without its audio track."""
    video = clip() if video is None else video
    return ClipTask(id, video, condition, "Bird", "Cat", prompts, hears=condition != "audio_dropped")


def has_audio_track(video: bytes) -> bool:
    with av.open(io.BytesIO(video)) as container:
        assert list(container.decode(video=0)), "the video must decode"
        return bool(container.streams.audio)


@dataclass
class Reply:
    """What the server does with one request.

    Attributes:
        body: Sent as it is, or as JSON unless it is a string.
        status: HTTP status.
        headers: Further headers.
        silent: It never answers.
        cut: Announce more bytes than are sent, and hang up.
        trickle: Send a byte now and then, for ever: "body" or "headers".
    """

    body: Any = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    cut: bool = False
    trickle: str = ""


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: Any
    at: float


class Server:
    """Gives `replies` in turn, the last one for ever; a callable makes a reply from a request."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.url = ""
        self.models: list[str] | None = None  # what it lists; None if it has no list
        self.listing: dict[str, Any] | None = None  # a list of another form

    def next(self, request: Request) -> Reply:
        with self.lock:
            self.requests.append(request)
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        made: Reply = reply(request) if callable(reply) else reply
        return made


@contextmanager
def serving(*replies: Any) -> Iterator[Server]:
    """A running server."""
    server = Server(*replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            with server.lock:
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = server.next(
                Request(
                    self.path, {name.lower(): value for name, value in self.headers.items()}, body, time.monotonic()
                )
            )
            if reply.silent:
                server.closing.wait()
            data = reply.body
            if not isinstance(data, bytes):
                data = (data if isinstance(data, str) else json.dumps(data)).encode()
            with server.lock:
                server.at_once -= 1
            try:
                if reply.trickle:
                    self.trickle(reply.trickle)
                self.send_response(reply.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data) + (100 if reply.cut else 0)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                return  # the client did not wait
            if reply.cut:
                self.close_connection = True

        def do_GET(self) -> None:
            listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in server.models or ()]}
            found = server.models is not None or server.listing is not None
            data = json.dumps(server.listing or listed).encode() if found else b""
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def trickle(self, what: str) -> None:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            self.wfile.write(head + (b"Content-Length: 1000000\r\n\r\n" if what == "body" else b"X: "))
            while not server.closing.wait(0.02):
                self.wfile.write(b" ")

        def log_message(self, *args: Any) -> None:
            return

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

    with Quiet(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            http.shutdown()
            thread.join()
