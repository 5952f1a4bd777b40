"""Serve the review on one address until it is stopped."""

import click

from mma_bench.builders.review.app import create_app
from mma_bench.builders.review.review_set import load
from mma_bench.builders.review.store import Store
from mma_bench.listen import is_local, listening_socket


def serve(
    store: Store, annotators: int, host: str, port: int, *, controls: float, adjudicate: bool, session_s: float
) -> None:
    """Load the review set, say where it is served, and serve it until SIGINT or SIGTERM.

    Raises:
        ConfigError: The address cannot be used.
        DataError: The build has no clips to review.
    """
    opened = listening_socket(host, port)
    try:
        chosen = load(store, controls)
        import uvicorn

        app = create_app(store, chosen, annotators, adjudicate=adjudicate, session_s=session_s)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3)
        server = uvicorn.Server(config)
        opened.listen(128)  # from here on a browser waits instead of being refused
        where = f"[{host}]" if ":" in host else host
        clips = sum(not item.failing for item in chosen)
        click.echo(f"{clips} clips and {len(chosen) - clips} controls, votes in {store.where}")
        click.echo(f"http://{where}:{opened.getsockname()[1]}")
        if not is_local(host):
            click.echo(
                f"warning: {host} can be reached from other machines, and passwords and votes are sent unencrypted; "
                "put an https proxy in front, or use a trusted network only",
                err=True,
            )
        server.run(sockets=[opened])
    finally:
        opened.close()
