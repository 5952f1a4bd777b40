"""The web app: pages, votes and clips, for people who are logged in."""

import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import ValidationError

from mma_bench.builders.review import accounts, organiser, rehearsal
from mma_bench.builders.review.accounts import Annotator, LoginRefusedError, TooManyAttemptsError
from mma_bench.builders.review.gate import COOKIE, ORGANISER, Gate
from mma_bench.builders.review.guidelines import CRITERIA, VERDICT, VERSION
from mma_bench.builders.review.queue import AHEAD, Queues
from mma_bench.builders.review.review_set import Item
from mma_bench.builders.review.store import Store, StoreBusyError
from mma_bench.builders.review.votes import MAX_NOTE, Vote, VoteRefusedError, own_votes, record
from mma_bench.page import render

_HERE: Final = Path(__file__).parent
_PACKAGE: Final = "mma_bench.builders.review"
_SCRIPTS: Final = frozenset({"outbox.js", "review.js", "votes.js", "waveform.js"})
_WRITERS: Final = 16  # threads
MAX_BODY: Final = 64 * 1024  # bytes; the largest vote is far below


def create_app(
    store: Store,
    chosen: Sequence[Item],
    annotators: int,
    *,
    adjudicate: bool = False,
    rehearsing: bool = False,
    session_s: float = accounts.SESSION_S,
    hosts: Collection[str] = (),
) -> FastAPI:
    """The application.

    Args:
        store: Open for as long as the application runs.
        chosen: The review set; no file beside these is served.
        annotators: How many people judge each clip.
        adjudicate: Whether split votes go to adjudicators.
        rehearsing: Whether `chosen` is a rehearsal, which everybody judges and whose answers are told afterwards.
        session_s: How long a login lasts, in seconds.
        hosts: See `Gate`.
    """
    app = FastAPI(openapi_url=None, max_body_size=MAX_BODY)
    root = Path.cwd()
    files = {item.id: item.path for item in chosen}
    offered = frozenset(files)
    queues = Queues(store, chosen, sys.maxsize if rehearsing else annotators, adjudicate=adjudicate)
    # A writer may have to wait for another program; readers must not wait for the threads that writers hold.
    writers = CapacityLimiter(_WRITERS)
    style = render("review.css", _PACKAGE, title="")
    app.add_middleware(Gate, find_annotator=lambda token: accounts.find_annotator(store, token), hosts=hosts)

    @app.exception_handler(StoreBusyError)
    def _busy(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 503, {"Retry-After": "5"})

    organiser.add_pages(app, store, chosen, annotators)
    guidelines = {"criteria": CRITERIA, "verdict": VERDICT, "version": VERSION}

    @app.get("/")
    def _review(request: Request) -> Response:
        annotator: Annotator = request.scope["annotator"]
        if annotator.organiser:
            return RedirectResponse(ORGANISER, 303)
        context: dict[str, Any] = {"adjudicator": annotator.adjudicator, "rehearsal": rehearsing, "max_note": MAX_NOTE}
        context |= {"name": annotator.name, "code": annotator.code, **guidelines}
        return HTMLResponse(render("review.html", _PACKAGE, title="Judge clips", **context))

    @app.get("/votes")
    def _own_votes(request: Request) -> Response:
        annotator: Annotator = request.scope["annotator"]
        with store.reading() as connection:
            votes = own_votes(connection, annotator.id)
        expected = [rehearsal.expected(vote) if rehearsing else None for vote in votes]
        rows = [(datetime.fromtimestamp(vote.at, UTC), vote, what) for vote, what in zip(votes, expected, strict=True)]
        right = sum(what is not None and what.right for what in expected)
        context: dict[str, Any] = {"rehearsal": rehearsing, "votes": rows[::-1], "right": right}
        context |= {"name": annotator.name, "code": annotator.code, **guidelines}
        return HTMLResponse(render("votes.html", _PACKAGE, title="Your votes", **context))

    @app.get("/desk")
    def _former_votes_page() -> Response:
        return RedirectResponse("/votes", 308)

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
        answer.set_cookie(COOKIE, token, int(session_s), httponly=True, samesite="strict", secure=secure)
        return answer

    @app.post("/logout")
    async def _logout(request: Request) -> Response:
        await run_sync(accounts.log_out, store, request.scope["token"], limiter=writers)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    @app.get("/static/review.css")
    def _style() -> Response:
        return Response(style, media_type="text/css")

    @app.get("/static/{name}")
    def _script(name: str) -> Response:
        if name not in _SCRIPTS:
            return JSONResponse({"error": "no such script"}, 404)
        return FileResponse(_HERE / "static" / name, media_type="text/javascript")

    @app.get("/api/queue")
    def _queue(request: Request, ahead: Annotated[int, Query(ge=1, le=2000)] = AHEAD) -> Any:
        if (refusal := _not_for_this_person(request)) is not None:
            return refusal
        queue = queues.of(request.scope["annotator"], ahead=ahead)
        return {
            "ahead": [_public(item) for item in queue.ahead],
            "done": queue.done,
            "left": queue.left,
            "seconds_per_clip": queue.seconds_per_clip,
            "latest": [{**_public(item), "answers": dict(answers)} for item, answers in queue.latest],
        }

    @app.post("/api/vote")
    async def _vote(request: Request) -> Response:
        if (refusal := _not_for_this_person(request)) is not None:
            return refusal
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return JSONResponse({"error": "send the vote as JSON"}, 415)
        try:
            vote = Vote.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"error": "; ".join(found["msg"] for found in error.errors())}, 422)
        try:
            cast = partial(record, store, request.scope["annotator"], vote, offered=offered)
            new = await run_sync(cast, limiter=writers)
        except VoteRefusedError as error:
            return JSONResponse({"error": error.message}, 422)
        return JSONResponse({"recorded": True, "again": not new})

    @app.get("/media/{item}")
    def _media(item: str) -> Response:
        path = files.get(item)  # files are found by a known id only, never by a path
        if path is None or not (root / path).is_file():
            return JSONResponse({"error": "no such clip"}, 404)
        return FileResponse(root / path, media_type="video/mp4", headers={"Cache-Control": "private, max-age=86400"})

    return app


def _not_for_this_person(request: Request) -> Response | None:
    """The refusal of an organiser, who has seen others' votes, and of a page that another annotator opened: its votes
    would be recorded under this one."""
    annotator: Annotator = request.scope["annotator"]
    if annotator.organiser:
        return JSONResponse({"error": "an organiser judges no clip"}, 403)
    if request.headers.get("x-annotator") == annotator.code:
        return None
    return JSONResponse({"error": "another annotator has logged in"}, 409)


def _public(item: Item) -> dict[str, str]:
    """What an annotator may know of an item."""
    return {"item": item.id, "class_name": item.class_name.replace("_", " ")}


def _login_form(message: str) -> str:
    return render("login.html", _PACKAGE, title="Log in", message=message)
