"""Serve an app on one address until it is stopped."""

import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import click
from fastapi import FastAPI

from mma_bench.listen import is_local, listening_socket


def serve(
    prepare: Callable[[frozenset[str]], tuple[FastAPI, str]],
    host: str,
    port: int,
    *,
    public_hosts: Sequence[str] = (),
    proxies: Sequence[str] = (),
) -> None:
    """Take the address, make the app, say where it is served, and serve it until SIGINT or SIGTERM.

    Args:
        prepare: From the names under which the server may be reached, the app and a line that describes it.
        host: The address.
        port: 0 takes a free one.
        public_hosts: Names under which people reach the server, e.g. through a proxy.
        proxies: Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.

    Raises:
        ConfigError: The address cannot be used.
    """
    opened = listening_socket(host, port)
    try:
        app, described = prepare(frozenset({host, *public_hosts}))
        import uvicorn

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
        click.echo(described)
        click.echo(f"http://{where}:{opened.getsockname()[1]}")
        if not is_local(host):
            click.echo(
                f"warning: {host} can be reached from other machines, and passwords and votes are sent unencrypted; "
                "put an https proxy in front (--public-host, --trusted-proxy), or use a trusted network only",
                err=True,
            )
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after a clean end
            server.run(sockets=[opened])
    finally:
        opened.close()
