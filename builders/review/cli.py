"""The commands of human verification."""

import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mma_bench.builders.review import DEFAULT_URL
from mma_bench.commands import needs, refuse_dataset
from mma_bench.redact import redacted

Command = TypeVar("Command", bound=Callable[..., Any])

_PARAMS = click.option(
    "--params", "params_path", type=click.Path(path_type=Path), default=Path("params.yaml"), show_default=True
)


def _database(command: Command) -> Command:
    return click.option(
        "--database",
        envvar="MMA_BENCH_REVIEW_DATABASE",
        default=DEFAULT_URL,
        show_default=True,
        metavar="URL",
        help="An SQLAlchemy URL, e.g. postgresql+psycopg://USER@HOST/NAME; one with a password belongs in the "
        "environment variable MMA_BENCH_REVIEW_DATABASE.",
    )(command)


def _networks(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ipaddress.ip_network(value)
        except ValueError as error:
            raise click.BadParameter(f"{error}; write it as 10.0.0.7 or 10.0.0.0/24", ctx, param) from None
    return values


@click.group()
def review() -> None:
    """Have people judge the clips that the judge passed, in a browser (appendix B.2)."""


@review.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8600, show_default=True, help="0 takes a free one.")
@click.option(
    "--controls",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Share of clips that are controls with a known answer, added to measure attention; 0 adds none.",
)
@click.option("--adjudicate", is_flag=True, help="Show split votes to adjudicators.")
@click.option(
    "--public-host",
    "public_hosts",
    multiple=True,
    metavar="NAME",
    help="A name under which people reach the server, e.g. through a proxy; may be repeated. Others are refused.",
)
@click.option(
    "--trusted-proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    callback=_networks,
    help="A proxy, or a network of them, whose X-Forwarded-For is believed; may be repeated.",
)
@click.option(
    "--session-hours",
    type=click.FloatRange(0, 720, min_open=True),
    default=12,
    show_default=True,
    help="How long a login lasts.",
)
@_database
@_PARAMS
@needs("review")
def serve(
    host: str,
    port: int,
    controls: float,
    adjudicate: bool,
    session_hours: float,
    public_hosts: tuple[str, ...],
    proxies: tuple[str, ...],
    database: str,
    params_path: Path,
) -> None:
    """Serve the review of this build's clips until it is stopped; every vote is kept at once."""
    from mma_bench.builders.review.serve import serve as run
    from mma_bench.builders.review.store import Store
    from mma_bench.config import load_params

    people = load_params(params_path).verify.annotators
    store = Store(database)
    try:
        run(
            store,
            people,
            host,
            port,
            controls=controls,
            adjudicate=adjudicate,
            session_s=3600 * session_hours,
            public_hosts=public_hosts,
            proxies=proxies,
        )
    finally:
        store.close()


@review.command("add-annotator")
@click.argument("name")
@click.option("--adjudicator", is_flag=True, help="Someone who decides split votes and gets no other clips.")
@click.option("--reset", is_flag=True, help="Set a new password for an existing annotator.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_database
@needs("review")
def add_annotator(
    name: str,
    adjudicator: bool,
    reset: bool,
    password_stdin: bool,
    database: str,
) -> None:
    """Create an account for NAME; asks for a password."""
    from mma_bench.builders.review import accounts
    from mma_bench.builders.review.store import Store

    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    store = Store(database)
    try:
        if reset:
            accounts.reset_password(store, name, password)
            click.echo(f"{name} has a new password and is logged out everywhere")
        else:
            made = accounts.add_annotator(store, name, password, adjudicator=adjudicator)
            click.echo(f"{made.name} can log in; in exported tables they are {made.code}")
    finally:
        store.close()


@review.command()
@_database
@_PARAMS
@needs("review")
def status(database: str, params_path: Path) -> None:
    """Show each annotator's progress, the decisions so far, and how well people agree."""
    from mma_bench.builders.review.status import lines
    from mma_bench.builders.review.store import Store
    from mma_bench.config import load_params

    store = Store(database)
    try:
        for line in lines(store, load_params(params_path).verify.annotators):
            click.echo(line)
    finally:
        store.close()


@review.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    callback=refuse_dataset,
    default=Path("reviews"),
    show_default=True,
    help="Where reviews.parquet and reviews.json are written.",
)
@click.option("--adjudicated", is_flag=True, help="Let the adjudicators' votes decide split ones.")
@_database
@_PARAMS
@needs("review")
def export(out: Path, adjudicated: bool, database: str, params_path: Path) -> None:
    """Write the votes as the table that the stage `verify` reads, under anonymous ids."""
    from mma_bench.builders.review.export import export as write
    from mma_bench.builders.review.store import Store
    from mma_bench.config import load_params

    store = Store(database)
    try:
        report = write(store, out, load_params(params_path).verify.annotators, adjudicated=adjudicated)
    finally:
        store.close()
    counts = ", ".join(f"{number} {name}" for name, number in report.get("settled", report["decisions"]).items())
    click.echo(f"{out / 'reviews.parquet'}: {report['votes']} votes of {report['annotators']} people; {counts}")
    click.echo(f"version {report['version'][:12]}; set verify.reviews to {out / 'reviews.parquet'} and run `dvc repro`")


@review.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_database
def backup(file: Path, database: str) -> None:
    """Copy accounts and votes to FILE, also while the review is served.

    FILE is a database like review.db; to restore it, stop the server and put it in its place.
    """
    from mma_bench.builders.review.backup import back_up
    from mma_bench.builders.review.store import Store

    store = Store(database)
    try:
        click.echo(redacted(f"{file}: {back_up(store, file)} rows of votes"))
    finally:
        store.close()


COMMANDS = (review,)
