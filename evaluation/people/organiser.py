"""The organiser's page: how far people are, how attentive, how long they take, and how well they agree."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import func, select

from mma_bench.evaluation.people.status import AGREEMENT_HEADS, Status, agreement_rows, status
from mma_bench.evaluation.people.store import Store, answers
from mma_bench.evaluation.people.study import Design, Item
from mma_bench.page import render
from mma_bench.web.gate import ORGANISER
from mma_bench.web.store import annotators, now

_PACKAGE = "mma_bench.evaluation.people"


def add_pages(app: FastAPI, store: Store, design: Design, items: Mapping[str, Item]) -> None:
    """Add the route `ORGANISER`, which `Gate` opens to organisers alone."""
    latest = _Latest(store, design, items)

    @app.get(ORGANISER)
    def _overview(request: Request) -> Response:
        at, found = latest.status()
        context = {
            "name": request.scope["annotator"].name,
            "at": datetime.fromtimestamp(at, UTC),
            "found": found,
            "design": design,
            "controls": sum(item.control for item in items.values()),
            "finished": sum(who.answered == found.prompts for who in found.people),
            "heads": AGREEMENT_HEADS,
            "agreement": agreement_rows(found.agreement),
        }
        return HTMLResponse(render("people.html", _PACKAGE, title="Organiser", **context))


class _Latest:
    """The status, computed again only after a new answer or account: its intervals take seconds."""

    def __init__(self, store: Store, design: Design, items: Mapping[str, Item]) -> None:
        self._store, self._design, self._items = store, design, items
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._found: tuple[float, Status] | None = None

    def status(self) -> tuple[float, Status]:
        """When it was computed (Unix time in seconds), and the status."""
        with self._lock:
            with self._store.reading() as connection:
                last = connection.execute(select(func.coalesce(func.max(answers.c.serial), 0))).scalar_one()
                accounts = connection.execute(select(func.count()).select_from(annotators)).scalar_one()
            if self._found is None or self._seen != (last, accounts):
                self._seen = (last, accounts)
                self._found = (now(), status(self._store, self._design, self._items))
            return self._found
