"""The web app: questions, answers and clips, for people who are logged in."""

import threading
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from anyio.to_thread import run_sync
from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import ValidationError

from mma_bench.errors import DataError
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.people import organiser
from mma_bench.evaluation.people.answers import AnswerRefusedError, Sent, given_by, record
from mma_bench.evaluation.people.order import in_order
from mma_bench.evaluation.people.store import Store
from mma_bench.evaluation.people.study import Design, Item, items_of
from mma_bench.files import atomic_path
from mma_bench.page import render
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator
from mma_bench.web.app import new_app, not_for_this_person
from mma_bench.web.gate import ORGANISER

PACKAGE: Final = "mma_bench.evaluation.people"
AHEAD: Final = 20  # prompts that a browser gets at once
_LISTED: Final = 20  # answers that a page can go back to


def create_app(
    store: Store,
    design: Design,
    folder: Path,
    *,
    session_s: float = accounts.SESSION_S,
    hosts: Collection[str] = (),
) -> FastAPI:
    """The application.

    Args:
        store: Open for as long as the application runs; `study.claim`ed by the design.
        design: What is asked.
        folder: Where clips are written that were asked for.
        session_s: How long a login lasts, in seconds.
        hosts: See `Gate`.
    """
    app, writers = new_app(store, Path(__file__).parent / "static", session_s=session_s, hosts=hosts)
    listed = items_of(design)
    items = {item.id: item for item in listed}
    clips = _Clips(design, folder)
    orders: dict[str, list[Item]] = {}
    organiser.add_pages(app, store, design, items)

    def order_of(person: str) -> list[Item]:
        if person not in orders:
            orders[person] = in_order(listed, person)
        return orders[person]

    @app.get("/")
    def _questions(request: Request) -> Response:
        annotator: Annotator = request.scope["annotator"]
        if annotator.organiser:
            return RedirectResponse(ORGANISER, 303)
        context = {"name": annotator.name, "code": annotator.code}
        return HTMLResponse(render("answer.html", PACKAGE, title="Answer questions", **context))

    @app.get("/api/queue")
    def _queue(request: Request, ahead: Annotated[int, Query(ge=1, le=100)] = AHEAD) -> Any:
        if (refusal := not_for_this_person(request, "answers no question")) is not None:
            return refusal
        annotator: Annotator = request.scope["annotator"]
        given = given_by(store, annotator.id)
        left = [item for item in order_of(annotator.code) if item.id not in given]
        latest = [each for each in given.values() if each.item in items][-_LISTED:]
        return {
            "ahead": [_public(item) for item in left[:ahead]],
            "done": len(items) - len(left),
            "left": len(left),
            "latest": [{**_public(items[each.item]), "option": each.option} for each in latest],
        }

    @app.post("/api/answer")
    async def _answer(request: Request) -> Response:
        if (refusal := not_for_this_person(request, "answers no question")) is not None:
            return refusal
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return JSONResponse({"error": "send the answer as JSON"}, 415)
        try:
            sent = Sent.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"error": "; ".join(found["msg"] for found in error.errors())}, 422)
        try:
            keep = partial(record, store, request.scope["annotator"], sent, items)
            new = await run_sync(keep, limiter=writers)
        except AnswerRefusedError as error:
            return JSONResponse({"error": error.message}, 422)
        return JSONResponse({"recorded": True, "again": not new})

    @app.get("/media/{item}")
    def _media(item: str) -> Response:
        if item not in items:  # files are found by a known id only, never by a path
            return JSONResponse({"error": "no such clip"}, 404)
        try:
            path = clips.path(items[item])
        except DataError as error:
            return JSONResponse({"error": str(error)}, 500)
        return FileResponse(path, media_type="video/mp4", headers={"Cache-Control": "private, max-age=86400"})

    return app


class _Clips:
    """The clips as files, each written when it is first asked for and compared with the hashes of its row."""

    def __init__(self, design: Design, folder: Path) -> None:
        self._benchmark = Benchmark(design.dataset, revision=design.revision, split=design.split, checked=True)
        self._folder = folder
        self._lock = threading.Lock()

    def path(self, item: Item) -> Path:
        path = self._folder / f"{item.id}.mp4"
        with self._lock:
            if not path.is_file():
                row = self._benchmark.row(item.condition, item.base, item.row)
                with atomic_path(path) as staged:
                    staged.write_bytes(row["video"]["bytes"])
        return path


def _public(item: Item) -> dict[str, Any]:
    """What a person may know of an item: what a model is told, and not under which condition."""
    return {"item": item.id, "before": item.before, "after": item.after, "options": list(item.options)}
