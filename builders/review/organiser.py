"""The organiser's pages: how far people are, how well they agree, and every vote on a clip."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import func, select

from mma_bench.builders.review.export import names, votes_table
from mma_bench.builders.review.guidelines import CRITERIA
from mma_bench.builders.review.review_set import Item
from mma_bench.builders.review.status import Status, status
from mma_bench.builders.review.store import Store, votes
from mma_bench.page import render
from mma_bench.stats import format_estimate, interval
from mma_bench.web.gate import ORGANISER
from mma_bench.web.store import annotators, now

_PACKAGE: Final = "mma_bench.builders.review"
_TITLES: Final = {criterion.key: criterion.title for criterion in CRITERIA} | {"passed": "Verdict"}


def add_pages(app: FastAPI, store: Store, chosen: Sequence[Item], needed: int) -> None:
    """Add the routes below `ORGANISER`, which `Gate` opens to organisers alone.

    Args:
        app: Behind `Gate`.
        store: With the votes.
        chosen: The review set.
        needed: How many people judge each clip.
    """
    by_id = {item.id: item for item in chosen}
    by_clip = {item.clip_id: item for item in chosen}
    latest = _Latest(store, needed)

    @app.get(ORGANISER)
    def _overview(request: Request) -> Response:
        at, found = latest.status()
        total = len(chosen)
        context = {
            "name": request.scope["annotator"].name,
            "at": datetime.fromtimestamp(at, UTC),
            "found": found,
            "total": total,
            "controls": total - found.clips,
            "judged": found.clips - found.decided["too_few_reviews"],
            "agreement": [
                {
                    "title": _TITLES[row.criterion],
                    "clips": row.clips,
                    "percent": format_estimate(row.percent),
                    "alpha": interval({"kappa": row.alpha, "low": row.low, "high": row.high}),
                }
                for row in found.agreement
            ],
            "split": [by_clip[clip] for clip in found.split if clip in by_clip],
            "missed": [(who.name, by_clip[clip]) for who in found.people for clip in who.missed if clip in by_clip],
            "titles": _TITLES,
        }
        return HTMLResponse(render("organiser.html", _PACKAGE, title="Organiser", **context))

    @app.get(ORGANISER + "/clips/{item}")
    def _clip(request: Request, item: str) -> Response:
        shown = by_id.get(item)
        if shown is None:
            return HTMLResponse("no such clip", 404)
        people = names(store)
        cast = votes_table(store).filter(clip_id=shown.clip_id).sort("reviewed_at")
        context = {
            "name": request.scope["annotator"].name,
            "shown": shown,
            "criteria": CRITERIA,
            "titles": _TITLES,
            "votes": [{**row, "by": people[row["annotator"]]} for row in cast.iter_rows(named=True)],
        }
        return HTMLResponse(render("clip.html", _PACKAGE, title=shown.class_name.replace("_", " "), **context))


class _Latest:
    """The status, computed again only after a new vote or account: its intervals take seconds with many clips."""

    def __init__(self, store: Store, needed: int) -> None:
        self._store, self._needed = store, needed
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._found: tuple[float, Status] | None = None

    def status(self) -> tuple[float, Status]:
        """When it was computed (Unix time in seconds), and the status."""
        with self._lock:
            with self._store.reading() as connection:
                last_vote = connection.execute(select(func.coalesce(func.max(votes.c.serial), 0))).scalar_one()
                accounts = connection.execute(select(func.count()).select_from(annotators)).scalar_one()
            if self._found is None or self._seen != (last_vote, accounts):
                self._seen = (last_vote, accounts)
                self._found = (now(), status(self._store, self._needed))
            return self._found
