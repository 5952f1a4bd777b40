"""What every request passes first: whether it is for this server, whether this site sent it, and who is logged in.

A page of another site can make its own name lead to this machine (DNS rebinding) and would then count as this site. So
the header Host must name an address that the server is known to serve. Starlette's `TrustedHostMiddleware` cannot read
IPv6 addresses and does not say what to do.

A path that is not in `OPEN` needs a session, so a route that is added later is closed until someone opens it. Those of
`ORGANISER` need the session of an organiser.
"""

import ipaddress
from collections.abc import Callable, Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mma_bench.web.accounts import Annotator

OPEN: Final = frozenset({"/login", "/static/review.css"})
ORGANISER: Final = "/organiser"  # this path and all below it

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def host_of(netloc: str) -> str | None:
    """The host in a Host header or in the address part of a URL, in lower case without its port; None if malformed."""
    try:
        parsed = urlsplit(f"//{netloc}")
        parsed.port  # noqa: B018  (raises if it is no number)
        return parsed.hostname
    except ValueError:
        return None


def serves(host: str | None, reached: str, hosts: Collection[str]) -> bool:
    """Whether a request may be for this server.

    Args:
        host: From its Host header.
        reached: The server's address that it came to.
        hosts: Further names and addresses, in lower case.
    """
    if host is None:
        return False
    if host in hosts or host == reached:
        return True
    try:
        address = ipaddress.ip_address(reached)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address  # of a socket for both kinds of address
    return host == str(address) or (address.is_loopback and host in ("localhost", "127.0.0.1", "::1"))


def session_cookie(netloc: str) -> str:
    """The name of the cookie with the session's token.

    A browser sends a cookie to every port of a host. With one name for all, logging in to one server would log out of
    another one on the same machine, such as `review` beside `people`.

    Args:
        netloc: The request's Host header.
    """
    try:
        port = urlsplit(f"//{netloc}").port
    except ValueError:
        port = None
    return f"mma_bench_session_{port or 'default'}"


class Gate:
    """ASGI middleware.

    Args:
        app: The application behind it.
        find_annotator: Session token → annotator, or None.
        hosts: Names and addresses under which the server is reached, besides the address a request came to.

    The annotator is passed on as `scope["annotator"]`, the token as `scope["token"]`.
    """

    def __init__(
        self, app: ASGIApp, find_annotator: Callable[[str], Annotator | None], hosts: Collection[str] = ()
    ) -> None:
        self.app, self.find_annotator = app, find_annotator
        self.hosts = frozenset(host.lower() for host in hosts)

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
        server = scope.get("server") or ("", None)
        if not serves(host_of(headers.get("host", "")), server[0], self.hosts):
            told = f"this server is not known as {headers.get('host', '')[:100]!r}; start it with --public-host NAME"
            return JSONResponse({"error": told}, 421)
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin and _netloc(origin) != headers.get("host"):
            return JSONResponse({"error": "this request comes from another site"}, 403)
        token = connection.cookies.get(session_cookie(headers.get("host", "")), "")
        scope["token"] = token
        scope["annotator"] = await run_in_threadpool(self.find_annotator, token) if token else None
        if scope["annotator"] is None and scope["path"] not in OPEN:
            if "text/html" in headers.get("accept", ""):
                return RedirectResponse("/login", 303)
            return JSONResponse({"error": "log in first"}, 401)
        if f"{scope['path']}/".startswith(f"{ORGANISER}/") and not scope["annotator"].organiser:
            return JSONResponse({"error": "this page is for the organiser"}, 403)
        return None


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # such as "http://[::1"
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
