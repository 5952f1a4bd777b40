"""HTTP clients for what carries a key or a clip: a request ends in time, a reply has a size, no redirect is followed.

httpx's timeout is for each read, so a server that sends a byte now and then is never timed out; it reads a reply of
any size; and the SDKs follow redirects with the key and the clip to any other host.
"""

import importlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from mma_bench.retry import call_in_time

MAX_REPLY_BYTES: Final = 16 << 20  # after unpacking
_OPTIONS: Final = {"stream": True, "follow_redirects": False}


def bounded_client(
    base: type[Any], timeout_s: float, *, mark: Callable[[Any], None] | None = None, **arguments: Any
) -> Any:
    """A client of class `base`, an `httpx.Client` or one of its fork httpx2, or of a subclass.

    Args:
        timeout_s: For a whole request: connecting, sending, and reading the reply. Raises the library's `ReadTimeout`.
        mark: Called with each whole reply before it is passed on, e.g. to change its headers.
        arguments: Of `base`.
    """
    client = next(kind for kind in base.__mro__ if kind.__name__ == "Client")
    httpx = importlib.import_module(client.__module__.partition(".")[0])

    def send(self: Any, request: Any, **options: Any) -> Any:
        replies: list[Any] = []

        def exchange() -> Any:
            replies.append(base.send(self, request, **(options | _OPTIONS)))
            whole = _whole(httpx, replies[0])
            if mark is not None:
                mark(whole)
            return whole

        try:
            return call_in_time(exchange, timeout_s)
        except TimeoutError:
            for reply in replies:
                reply.close()
            raise httpx.ReadTimeout(f"no whole reply within {timeout_s:g} s", request=request) from None

    return type("BoundedClient", (base,), {"send": send})(timeout=timeout_s, **arguments)


def _whole(httpx: Any, reply: Any) -> Any:
    """The reply with its body in memory.

    Raises:
        httpx.RemoteProtocolError: The body is larger than MAX_REPLY_BYTES.
    """
    try:
        body = b"".join(_bounded(httpx, reply))
    finally:
        reply.close()
    packed = ("content-encoding", "content-length", "transfer-encoding")
    headers = [(name, value) for name, value in reply.headers.multi_items() if name.lower() not in packed]
    return httpx.Response(reply.status_code, headers=headers, content=body, request=reply.request)


def _bounded(httpx: Any, reply: Any) -> Iterator[bytes]:
    size = 0
    for piece in reply.iter_bytes(1 << 16):
        size += len(piece)
        if size > MAX_REPLY_BYTES:
            raise httpx.RemoteProtocolError(f"a reply of more than {MAX_REPLY_BYTES} bytes", request=reply.request)
        yield piece
