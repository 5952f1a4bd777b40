"""The commands of human verification."""

from pathlib import Path

import click

from mma_bench.builders.review import DEFAULT_URL
from mma_bench.commands import needs, refuse_dataset
from mma_bench.numbers import FiniteRange
from mma_bench.redact import redacted
from mma_bench.web import options

_PARAMS = click.option(
    "--params", "params_path", type=click.Path(path_type=Path), default=Path("params.yaml"), show_default=True
)


_database = options.database(DEFAULT_URL, "MMA_BENCH_REVIEW_DATABASE")


@click.group()
def review() -> None:
    """Have people judge the clips that the judge passed, in a browser (appendix B.2)."""


@review.command()
@options.address(8600)
@click.option(
    "--controls",
    type=FiniteRange(0, 1),
    default=0.05,
    show_default=True,
    help="Share of clips that are controls with a known answer, added to measure attention; 0 adds none.",
)
@click.option("--adjudicate", is_flag=True, help="Show split votes to adjudicators.")
@click.option(
    "--rehearsal",
    is_flag=True,
    help="Serve eight drawn clips with known answers to practise on, without a build; accounts are those of the "
    "database, and votes are kept apart from it.",
)
@options.proxies
@_database
@_PARAMS
@needs("review")
def serve(
    host: str,
    port: int,
    controls: float,
    adjudicate: bool,
    rehearsal: bool,
    session_hours: float,
    public_hosts: tuple[str, ...],
    proxies: tuple[str, ...],
    database: str,
    params_path: Path,
) -> None:
    """Serve the review of this build's clips until it is stopped; every vote is kept at once."""
    from mma_bench.builders.review.rehearsal import URL
    from mma_bench.builders.review.serve import serve as run
    from mma_bench.builders.review.store import Store
    from mma_bench.config import load_params
    from mma_bench.web.accounts import copy_accounts

    people = load_params(params_path).verify.annotators
    store = Store(database)
    try:
        if rehearsal:
            store, real = Store(URL), store
            copy_accounts(real, store)
            real.close()
        run(
            store,
            people,
            host,
            port,
            controls=controls,
            adjudicate=adjudicate,
            rehearsing=rehearsal,
            session_s=3600 * session_hours,
            public_hosts=public_hosts,
            proxies=proxies,
        )
    finally:
        store.close()


@review.command("add-annotator")
@click.argument("name")
@click.option("--adjudicator", is_flag=True, help="Someone who decides split votes and gets no other clips.")
@click.option("--organiser", is_flag=True, help="Someone who sees everybody's votes, and judges no clip.")
@options.RESET
@options.PASSWORD_STDIN
@_database
@needs("review")
def add_annotator(
    name: str,
    adjudicator: bool,
    organiser: bool,
    reset: bool,
    password_stdin: bool,
    database: str,
) -> None:
    """Create an account for NAME; asks for a password."""
    from mma_bench.builders.review.store import Store

    if adjudicator and organiser:
        raise click.UsageError("an adjudicator decides without seeing others' votes, so nobody is both: choose one")
    secret = options.password(password_stdin)
    store = Store(database)
    try:
        options.make_account(store, name, secret, reset=reset, adjudicator=adjudicator, organiser=organiser)
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
@click.option("--without", multiple=True, metavar="NAME", help="Leave out this person's votes; may be repeated.")
@_database
@_PARAMS
@needs("review")
def export(out: Path, adjudicated: bool, without: tuple[str, ...], database: str, params_path: Path) -> None:
    """Write the votes as the table that the stage `verify` reads, under anonymous ids."""
    from mma_bench.builders.review.export import export as write
    from mma_bench.builders.review.export import names
    from mma_bench.builders.review.store import Store
    from mma_bench.config import load_params

    store = Store(database)
    try:
        people = load_params(params_path).verify.annotators
        report = write(store, out, people, adjudicated=adjudicated, without=without)
        known = names(store)
    finally:
        store.close()
    counts = ", ".join(f"{number} {name}" for name, number in report.get("settled", report["decisions"]).items())
    click.echo(f"{out / 'reviews.parquet'}: {report['votes']} votes of {report['annotators']} people; {counts}")
    click.echo(f"version {report['version'][:12]}; set verify.reviews to {out / 'reviews.parquet'} and run `dvc repro`")
    for who in report["attention"]:
        if who["missed"]:
            name = known[who["annotator"]]
            click.echo(
                f"warning: {name} missed {len(who['missed'])} of {who['controls']} control clips, which are wrong on "
                f"purpose ({', '.join(who['missed'])}); look at their votes on the organiser's page, and leave them "
                f"out with --without {name} if they were cast without care",
                err=True,
            )


@review.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_database
def backup(file: Path, database: str) -> None:
    """Copy accounts and votes to FILE, also while the review is served.

    FILE is a database like review.db; to restore it, stop the server and put it in its place.
    """
    from mma_bench.builders.review.store import Store
    from mma_bench.web.backup import back_up

    store = Store(database)
    try:
        click.echo(redacted(f"{file}: {back_up(store, file)} rows of votes"))
    finally:
        store.close()
