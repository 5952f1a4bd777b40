"""The organiser's pages: how far people are, how well they agree, and every vote on a clip."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from mma_bench.builders.review.export import names, votes_table
from mma_bench.builders.review.guidelines import CRITERIA
from mma_bench.builders.review.review_set import Item
from mma_bench.builders.review.status import status
from mma_bench.builders.review.store import Store
from mma_bench.page import render
from mma_bench.stats import format_estimate, interval
from mma_bench.web.gate import ORGANISER
from mma_bench.web.latest import Latest

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
    latest = Latest(store, lambda: status(store, needed))

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
