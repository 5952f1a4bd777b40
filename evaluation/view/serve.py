"""Serve the browser on the loopback address until it is stopped."""

from contextlib import suppress
from pathlib import Path
from typing import Final

import click
import uvicorn

from mma_bench.evaluation.view.app import create_app
from mma_bench.evaluation.view.site import Site
from mma_bench.listen import listening_socket

_HOST: Final = "127.0.0.1"


def serve(site: Site, folder: Path, port: int) -> None:
    """Say where the browser is served, and serve it until SIGINT or SIGTERM.

    Args:
        site: What is shown.
        folder: Where files are written that were asked for.
        port: 0 takes a free one.

    Raises:
        ConfigError: The port is taken.
    """
    opened = listening_socket(_HOST, port)
    try:
        server = uvicorn.Server(uvicorn.Config(create_app(site, folder), log_level="warning", access_log=False))
        opened.listen(128)  # from here on a browser waits instead of being refused
        click.echo(f"{len(site.rows)} rows: http://{_HOST}:{opened.getsockname()[1]}  (Ctrl-C ends it)")
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after a clean end
            server.run(sockets=[opened])
    finally:
        opened.close()
