"""The organiser's page: how far people are, how attentive, how long they take, and how well they agree."""

from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from mma_bench.evaluation.people.status import AGREEMENT_HEADS, agreement_rows, status
from mma_bench.evaluation.people.store import Store
from mma_bench.evaluation.people.study import Design, Item
from mma_bench.page import render
from mma_bench.web.gate import ORGANISER
from mma_bench.web.latest import Latest

_PACKAGE = "mma_bench.evaluation.people"


def add_pages(app: FastAPI, store: Store, design: Design, items: Mapping[str, Item]) -> None:
    """Add the route `ORGANISER`, which `Gate` opens to organisers alone."""
    latest = Latest(store, lambda: status(store, design, items))

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
