"""Serve the questions on one address until it is stopped."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi import FastAPI

from mma_bench.evaluation.people.app import create_app
from mma_bench.evaluation.people.store import Store
from mma_bench.evaluation.people.study import Design, claim
from mma_bench.web import serve as web


def serve(
    store: Store,
    design: Design,
    host: str,
    port: int,
    *,
    session_s: float,
    public_hosts: Sequence[str] = (),
    proxies: Sequence[str] = (),
) -> None:
    """Serve a design's questions until SIGINT or SIGTERM.

    Args:
        store: Left open; made the design's.
        host: As the others, see `web.serve`.

    Raises:
        ConfigError: The address cannot be used, or the database belongs to another design.
    """
    with TemporaryDirectory(prefix="mma-bench-people-") as folder:

        def prepare(hosts: frozenset[str]) -> tuple[FastAPI, str]:
            claim(store, design)
            app = create_app(store, design, Path(folder), session_s=session_s, hosts=hosts)
            conditions = ", ".join(design.conditions)
            return app, f"{design.dataset}, {conditions}: answers in {store.where}"

        web.serve(prepare, host, port, public_hosts=public_hosts, proxies=proxies)
