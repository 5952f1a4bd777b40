"""A video site that misbehaves, on the loopback: what it does with a video is part of the video's id.

The first three letters of an id say how the site treats it (`FAULTS`); an id that names no fault is served well. The
site counts what it serves, by id: pages (requests without a Range) and bytes of media.
"""

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Range = tuple[int, int]
BOT = b"<html><head><title>Sorry</title></head><body>Sign in to confirm you're not a bot</body></html>"


@dataclass
class Site:
    """What a test sees of the server.

    Attributes:
        video: The file that every id shows.
        pages: Requests without a Range, by id.
        media: Requests with a Range, by id.
        sent: Bytes of answers to requests with a Range, by id.
        lenient: Set by a test: the faults that block end.
        healed: Set by a test: the faults that pass, in the end, have passed.
        cookies: The Cookie headers that came.
        answers: So many requests are answered and the next ones held; None answers all.
    """

    video: bytes
    address: str = ""
    pages: Counter[str] = field(default_factory=Counter)
    media: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    lenient: bool = False
    healed: bool = False
    cookies: set[str] = field(default_factory=set)
    answers: threading.Semaphore | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2].partition(".")[0].partition("?")[0]
        wanted = self.headers.get("Range")
        with self.site.lock:
            (self.site.media if wanted else self.site.pages)[name] += 1
            self.site.cookies.add(self.headers.get("Cookie", ""))
        if (answers := self.site.answers) is not None:
            answers.acquire()
        fault = FAULTS.get(name[:3], lambda handler, _: handler.serve())
        if self.site.healed and name[:3] in PASSING:
            fault = _Handler.serve_well
        with contextlib.suppress(ConnectionError):
            fault(self, name)

    def count(self, name: str) -> int:
        """How often this id was asked for, this time included."""
        with self.site.lock:
            return self.site.pages[name] + self.site.media[name]

    def media_count(self, name: str) -> int:
        with self.site.lock:
            return self.site.media[name]

    def asked(self) -> Range | None:
        """The first and last byte wanted."""
        text = self.headers.get("Range")
        if text is None:
            return None
        first, _, last = text.removeprefix("bytes=").partition("-")
        return int(first), min(int(last or 1 << 60), len(self.site.video) - 1)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def refuse(self, status: int, **headers: str) -> None:
        body = b"no"
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self.begin(status, {"Content-Length": str(len(body)), "Content-Type": "text/plain", **given})
        self.wfile.write(body)

    def page(self, body: bytes) -> None:
        self.begin(200, {"Content-Length": str(len(body)), "Content-Type": "text/html"})
        self.wfile.write(body)

    def serve(self, *, body: bytes | None = None, stop_at: int | None = None) -> None:
        """Answer as a good server: the whole file's header, or a range; perhaps less than was promised."""
        data = self.site.video if body is None else body
        asked = self.asked()
        kind = {"Content-Type": "video/mp4", "ETag": '"1"', "Accept-Ranges": "bytes"}
        if asked is None:  # the page: yt-dlp looks at the header and goes away
            self.begin(200, {**kind, "Content-Length": str(len(data))})
            self.close_connection = True
            return
        first, last = asked[0], min(asked[1], len(data) - 1)
        if first >= len(data):
            self.refuse(416)
            return
        piece = data[first : last + 1]
        ranged = {"Content-Length": str(len(piece)), "Content-Range": f"bytes {first}-{last}/{len(data)}"}
        self.begin(206, {**kind, **ranged})
        piece = piece if stop_at is None else piece[:stop_at]
        self.wfile.write(piece)
        with self.site.lock:
            self.site.sent[self.path.rpartition("/")[2].partition(".")[0]] += len(piece)
        if stop_at is not None:
            self.close_connection = True

    def serve_well(self, _: str) -> None:
        self.serve()

    def reset(self) -> None:
        """End the connection with a reset instead of a close."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


def _first_times(
    times: int, fault: Callable[[_Handler], None], *, media: bool = False
) -> Callable[[_Handler, str], None]:
    """The fault at the first requests of an id, good service after them."""

    def answer(handler: _Handler, name: str) -> None:
        if media and handler.asked() is None:
            handler.serve()
        elif (handler.media_count(name) if media else handler.count(name)) <= times:
            fault(handler)
        else:
            handler.serve()

    return answer


def _always(fault: Callable[[_Handler], None], *, media: bool = False) -> Callable[[_Handler, str], None]:
    return _first_times(1 << 60, fault, media=media)


def _unless_lenient(fault: Callable[[_Handler], None]) -> Callable[[_Handler, str], None]:
    def answer(handler: _Handler, name: str) -> None:
        handler.serve() if handler.site.lenient else fault(handler)

    return answer


def _stall(handler: _Handler) -> None:
    handler.begin(206, {"Content-Length": "1000", "Content-Range": f"bytes 0-999/{len(handler.site.video)}"})
    handler.wfile.flush()
    with contextlib.suppress(OSError):
        handler.connection.recv(1)  # until the client gives up
    handler.close_connection = True


def _trickle(handler: _Handler) -> None:
    asked = handler.asked()
    assert asked is not None
    size, whole = asked[1] - asked[0] + 1, len(handler.site.video)
    handler.begin(
        206, {"Content-Length": str(size), "Content-Range": f"bytes {asked[0]}-{asked[1]}/{whole}", "ETag": '"1"'}
    )
    handler.close_connection = True
    for place in range(size):
        handler.wfile.write(handler.site.video[asked[0] + place : asked[0] + place + 1])
        handler.wfile.flush()
        threading.Event().wait(0.05)


def _reset_in_the_middle(handler: _Handler) -> None:
    handler.serve(stop_at=1000)
    handler.wfile.flush()
    handler.reset()


def _announce_10_gb(handler: _Handler) -> None:
    handler.begin(200, {"Content-Length": str(10 << 30), "Content-Type": "video/mp4"})
    handler.close_connection = True


def _date(seconds: float) -> str:
    import time

    return formatdate(time.time() + seconds, usegmt=True)


FAULTS: dict[str, Callable[[_Handler, str], None]] = {
    "404": _always(lambda handler: handler.refuse(404)),
    "410": _always(lambda handler: handler.refuse(410)),
    "403": _always(lambda handler: handler.refuse(403)),
    "503": _always(lambda handler: handler.refuse(503)),
    "loo": _always(lambda handler: handler.refuse(302, Location=handler.path)),
    "med": _always(lambda handler: handler.refuse(404), media=True),  # a media address that has run out
    "big": _always(_announce_10_gb, media=True),
    "txt": _always(lambda handler: handler.serve(body=b"this is not a video " * 99), media=True),
    "emp": _always(
        lambda handler: handler.begin(200, {"Content-Length": "0", "Content-Type": "video/mp4"}), media=True
    ),
    "sta": _always(_stall, media=True),
    "tri": _always(_trickle, media=True),
    "cut": _always(lambda handler: handler.serve(stop_at=500), media=True),
    "o53": _first_times(1, lambda handler: handler.refuse(503)),  # once
    "o43": _first_times(1, lambda handler: handler.refuse(403), media=True),
    "ore": _first_times(1, _reset_in_the_middle, media=True),
    "ocu": _first_times(1, lambda handler: handler.serve(stop_at=500), media=True),
    "ost": _first_times(1, _stall, media=True),
    "429": _unless_lenient(lambda handler: handler.refuse(429, Retry_After="7200")),
    "42d": _unless_lenient(lambda handler: handler.refuse(429, Retry_After=_date(10_800))),
    "bot": _unless_lenient(lambda handler: handler.page(BOT) if handler.asked() else handler.serve()),
    "log": _unless_lenient(lambda handler: handler.refuse(401)),
}


PASSING = frozenset({"403", "503", "med", "cut", "sta", "tri", "loo"})  # always there, until the site is healed


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is normal here."""


@contextmanager
def bad_site(video: bytes) -> Iterator[Site]:
    """Serve until the end of the block."""
    site = Site(video)
    handler = type("Handler", (_Handler,), {"site": site})
    server = _Server(("127.0.0.1", 0), handler)
    site.address = f"http://127.0.0.1:{server.server_address[1]}/watch/{{id}}.mp4"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
