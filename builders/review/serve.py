"""Serve the review on one address until it is stopped."""

import signal
import sys
from collections.abc import Sequence

import click

from mma_bench.builders.review import rehearsal
from mma_bench.builders.review.app import create_app
from mma_bench.builders.review.review_set import load
from mma_bench.builders.review.store import Store
from mma_bench.listen import is_local, listening_socket


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
        public_hosts: Names under which people reach the server, e.g. through a proxy.
        proxies: Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.

    Raises:
        ConfigError: The address cannot be used.
        DataError: The build has no clips to review.
    """
    opened = listening_socket(host, port)
    try:
        chosen = rehearsal.load(store) if rehearsing else load(store, controls)
        import uvicorn

        hosts = {host, *public_hosts}
        app = create_app(
            store,
            chosen,
            annotators,
            adjudicate=adjudicate,
            rehearsing=rehearsing,
            session_s=session_s,
            hosts=hosts,
        )
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=3,
            proxy_headers=bool(proxies),  # uvicorn's default believes every program of this machine
            forwarded_allow_ips=list(proxies),
        )
        # uvicorn ends by the signal that it got; SIGTERM would skip the caller's clean-up.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        server = uvicorn.Server(config)
        opened.listen(128)  # from here on a browser waits instead of being refused
        where = f"[{host}]" if ":" in host else host
        clips = sum(not item.failing for item in chosen)
        what = "clips that are right and {} that are not" if rehearsing else "clips and {} controls"
        click.echo(f"{clips} {what.format(len(chosen) - clips)}, votes in {store.where}")
        click.echo(f"http://{where}:{opened.getsockname()[1]}")
        if not is_local(host):
            click.echo(
                f"warning: {host} can be reached from other machines, and passwords and votes are sent unencrypted; "
                "put an https proxy in front (--public-host, --trusted-proxy), or use a trusted network only",
                err=True,
            )
        server.run(sockets=[opened])
    finally:
        opened.close()
