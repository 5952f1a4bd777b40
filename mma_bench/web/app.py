"""What every app with accounts serves: the login page, logging out, its style and its scripts, all behind the gate."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response

from mma_bench.page import render
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator, LoginRefusedError, TooManyAttemptsError
from mma_bench.web.gate import Gate, session_cookie
from mma_bench.web.store import Store, StoreBusyError

_SHARED: Final = Path(__file__).parent / "static"
_WRITERS: Final = 16  # threads
MAX_BODY: Final = 64 * 1024  # bytes; the largest vote is far below


def new_app(
    store: Store, scripts: Path, *, session_s: float = accounts.SESSION_S, hosts: Collection[str] = ()
) -> tuple[FastAPI, CapacityLimiter]:
    """An app without pages of its own.

    Args:
        store: Open for as long as the app runs.
        scripts: The folder of its scripts, served below /static/ with the shared ones.
        session_s: How long a login lasts, in seconds.
        hosts: See `Gate`.

    Returns:
        The app, and the limit on threads that write: a writer may have to wait for another program, and readers must
        not wait for the threads that writers hold.
    """
    app = FastAPI(openapi_url=None, max_body_size=MAX_BODY)
    writers = CapacityLimiter(_WRITERS)
    style = render("review.css", title="")
    served = {path.name: path for folder in (_SHARED, scripts) for path in folder.glob("*.js")}
    app.add_middleware(Gate, find_annotator=lambda token: accounts.find_annotator(store, token), hosts=hosts)

    @app.exception_handler(StoreBusyError)
    def _busy(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 503, {"Retry-After": "5"})

    @app.get("/login")
    def _login_page(request: Request) -> Response:
        if request.scope["annotator"] is not None:
            return RedirectResponse("/", 303)
        return HTMLResponse(_login_form(""))

    @app.post("/login")
    async def _login(request: Request) -> Response:
        try:
            form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=4)
        except ValueError:
            return HTMLResponse(_login_form("the form has too many fields"), 400)
        name, password = (form.get(key, [""])[0] for key in ("name", "password"))
        address = request.client.host if request.client else ""
        try:
            log_in = partial(accounts.log_in, store, name, password, address, session_s=session_s)
            token = await run_sync(log_in, limiter=writers)
        except TooManyAttemptsError as error:
            return HTMLResponse(_login_form(error.message), 429, {"Retry-After": str(error.retry_s)})
        except LoginRefusedError as error:
            return HTMLResponse(_login_form(error.message), 403)
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        cookie = session_cookie(request.headers.get("host", ""))
        answer.set_cookie(cookie, token, int(session_s), httponly=True, samesite="strict", secure=secure)
        return answer

    @app.post("/logout")
    async def _logout(request: Request) -> Response:
        await run_sync(accounts.log_out, store, request.scope["token"], limiter=writers)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(session_cookie(request.headers.get("host", "")), httponly=True, samesite="strict")
        return answer

    @app.get("/static/review.css")
    def _style() -> Response:
        return Response(style, media_type="text/css")

    @app.get("/static/{name}")
    def _script(name: str) -> Response:
        if name not in served:
            return JSONResponse({"error": "no such script"}, 404)
        return FileResponse(served[name], media_type="text/javascript")

    return app, writers


def not_for_this_person(request: Request, task: str) -> Response | None:
    """The refusal of an organiser, who has seen others' answers, and of a page that another annotator opened: its
    answers would be recorded under this one.

    Args:
        request: Behind `Gate`.
        task: What an organiser does not do.
    """
    annotator: Annotator = request.scope["annotator"]
    if annotator.organiser:
        return JSONResponse({"error": f"an organiser {task}"}, 403)
    if request.headers.get("x-annotator") == annotator.code:
        return None
    return JSONResponse({"error": "another annotator has logged in"}, 409)


def _login_form(message: str) -> str:
    return render("login.html", title="Log in", message=message)
