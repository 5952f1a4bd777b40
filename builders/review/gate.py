"""What every request passes first: who sent it, how large it is, and whether this site sent it.

The gate refuses by default. A path that is not in `OPEN` needs a session, whichever application serves it, so a route
that is added later, here or in a mounted application, is closed until someone opens it.
"""

from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mma_bench.builders.review.accounts import Annotator

COOKIE: Final = "mma_bench_review"
MAX_BODY: Final = 64 * 1024  # bytes; the largest vote is far below
OPEN: Final = frozenset({"/login", "/static/review.css"})
DESK: Final = "/desk"

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Gradio's pages are made of inline scripts and styles; they too may load from here alone.
_DESK_POLICY: Final = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'self'; frame-ancestors 'none'"
)


class Gate:
    """ASGI middleware.

    Args:
        app: What lies behind.
        who: Token → annotator, or None.

    The annotator is handed on as `scope["annotator"]`, the token as `scope["token"]`.
    """

    def __init__(self, app: ASGIApp, who: Callable[[str], Annotator | None]) -> None:
        self.app, self.who = app, who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over websockets
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = await self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send, scope["path"]))
            return
        await self._pass_on(scope, receive, _with_headers(send, scope["path"]))

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            return JSONResponse({"error": f"a request has at most {MAX_BODY} bytes"}, 413)
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin and urlsplit(origin).netloc != headers.get("host"):
            return JSONResponse({"error": "this request comes from another site"}, 403)
        token = _token(headers.get("cookie", ""))
        scope["token"] = token
        scope["annotator"] = await run_in_threadpool(self.who, token) if token else None
        if scope["annotator"] is None and scope["path"] not in OPEN:
            if "text/html" in headers.get("accept", ""):
                return RedirectResponse("/login", 303)
            return JSONResponse({"error": "log in first"}, 401)
        return None

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A body without an announced length is cut off where it grows too large."""
        received = 0
        begun = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise _TooLargeError
            return message

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, counted, sending)
        except _TooLargeError:
            if begun:
                raise
            await JSONResponse({"error": f"a request has at most {MAX_BODY} bytes"}, 413)(scope, receive, send)


class _TooLargeError(Exception):
    """The body goes on beyond the limit."""


def _token(cookies: str) -> str:
    try:
        morsel = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""


def _with_headers(send: Send, path: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = _DESK_POLICY if path.startswith(DESK) else _POLICY
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
