"""The web app: pages, votes and clips, for people who are logged in."""

import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from anyio.to_thread import run_sync
from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import ValidationError

from mma_bench.builders.review import organiser, rehearsal
from mma_bench.builders.review.guidelines import CRITERIA, VERDICT, VERSION
from mma_bench.builders.review.queue import AHEAD, Queues
from mma_bench.builders.review.review_set import Item
from mma_bench.builders.review.store import Store
from mma_bench.builders.review.votes import MAX_NOTE, Vote, VoteRefusedError, own_votes, record
from mma_bench.page import render
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator
from mma_bench.web.app import new_app, not_for_this_person
from mma_bench.web.gate import ORGANISER

_HERE: Final = Path(__file__).parent
_PACKAGE: Final = "mma_bench.builders.review"


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
    app, writers = new_app(store, _HERE / "static", session_s=session_s, hosts=hosts)
    root = Path.cwd()
    files = {item.id: item.path for item in chosen}
    offered = frozenset(files)
    queues = Queues(store, chosen, sys.maxsize if rehearsing else annotators, adjudicate=adjudicate)
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

    @app.get("/api/queue")
    def _queue(request: Request, ahead: Annotated[int, Query(ge=1, le=2000)] = AHEAD) -> Any:
        if (refusal := not_for_this_person(request, "judges no clip")) is not None:
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
        if (refusal := not_for_this_person(request, "judges no clip")) is not None:
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


def _public(item: Item) -> dict[str, str]:
    """What an annotator may know of an item."""
    return {"item": item.id, "class_name": item.class_name.replace("_", " ")}
