"""Serve the review on one address until it is stopped."""

from collections.abc import Sequence

from fastapi import FastAPI

from mma_bench.builders.review import rehearsal
from mma_bench.builders.review.app import create_app
from mma_bench.builders.review.review_set import load
from mma_bench.builders.review.store import Store
from mma_bench.web import serve as web


def serve(
    store: Store,
    annotators: int,
    host: str,
    port: int,
    *,
    controls: float,
    adjudicate: bool,
    session_s: float,
    rehearsing: bool = False,
    public_hosts: Sequence[str] = (),
    proxies: Sequence[str] = (),
) -> None:
    """Load the review set, say where it is served, and serve it until SIGINT or SIGTERM.

    Args:
        store: Left open.
        rehearsing: Serve the drawn clips of `rehearsal` instead of the build's.
        host: As the others, see `web.serve`.

    Raises:
        ConfigError: The address cannot be used.
        DataError: The build has no clips to review.
    """

    def prepare(hosts: frozenset[str]) -> tuple[FastAPI, str]:
        chosen = rehearsal.load(store) if rehearsing else load(store, controls)
        app = create_app(
            store,
            chosen,
            annotators,
            adjudicate=adjudicate,
            rehearsing=rehearsing,
            session_s=session_s,
            hosts=hosts,
        )
        clips = sum(not item.failing for item in chosen)
        what = "clips that are right and {} that are not" if rehearsing else "clips and {} controls"
        return app, f"{clips} {what.format(len(chosen) - clips)}, votes in {store.where}"

    web.serve(prepare, host, port, public_hosts=public_hosts, proxies=proxies)
