"""The browser as a web app for this machine: files are made when they are first asked for."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mma_bench.evaluation.view.site import Site

_HOSTS: Final = ["127.0.0.1", "localhost"]  # not the name of another site that resolves to this machine
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",  # a page of another site may not load the rows as a script
    "Cache-Control": "no-store",
}


def create_app(site: Site, folder: Path) -> FastAPI:
    """The application.

    Args:
        site: What is shown.
        folder: Where files are written that were asked for.
    """
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS)

    @app.get("/{name:path}")
    def _file(name: str) -> Response:
        path = site.make(name or "index.html", folder)
        if path is None:
            return JSONResponse({"error": "no such file"}, 404, _HEADERS)
        return FileResponse(path, headers=_HEADERS)

    return app
