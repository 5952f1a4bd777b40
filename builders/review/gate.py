"""What every request passes first: whether this site sent it, and who is logged in.

A path that is not in `OPEN` needs a session, so a route that is added later is closed until someone opens it.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mma_bench.builders.review.accounts import Annotator

COOKIE: Final = "mma_bench_review"
OPEN: Final = frozenset({"/login", "/static/review.css"})

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Gate:
    """ASGI middleware.

    Args:
        app: The application behind it.
        find_annotator: Session token → annotator, or None.

    The annotator is passed on as `scope["annotator"]`, the token as `scope["token"]`.
    """

    def __init__(self, app: ASGIApp, find_annotator: Callable[[str], Annotator | None]) -> None:
        self.app, self.find_annotator = app, find_annotator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no websockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = await self._refusal(scope)
        await (refusal or self.app)(scope, receive, _with_headers(send))

    async def _refusal(self, scope: Scope) -> Response | None:
        connection = HTTPConnection(scope)
        headers = connection.headers
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin and urlsplit(origin).netloc != headers.get("host"):
            return JSONResponse({"error": "this request comes from another site"}, 403)
        token = connection.cookies.get(COOKIE, "")
        scope["token"] = token
        scope["annotator"] = await run_in_threadpool(self.find_annotator, token) if token else None
        if scope["annotator"] is None and scope["path"] not in OPEN:
            if "text/html" in headers.get("accept", ""):
                return RedirectResponse("/login", 303)
            return JSONResponse({"error": "log in first"}, 401)
        return None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = _POLICY
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
