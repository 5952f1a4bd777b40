"""The commands of `mma-bench review --task answer`."""

from pathlib import Path

import click

from mma_bench.commands import listed, needs, refuse_dataset
from mma_bench.evaluation.people import DEFAULT_URL
from mma_bench.numbers import FiniteRange
from mma_bench.redact import redacted
from mma_bench.terminal import command, conclude
from mma_bench.web import options

_database = options.database(DEFAULT_URL, "MMA_BENCH_PEOPLE_DATABASE")


@click.group("review")
def answering() -> None:
    """Have people answer the benchmark's own questions, in a browser, as a model does."""


@answering.command()
@click.option(
    "--dataset",
    default="mma-bench",
    show_default=True,
    help="The folder written by the build, or ORG/NAME on the Hub.",
)
@click.option("--revision", help="Tag or commit of a dataset on the Hub.")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True)
@click.option(
    "--conditions",
    default="",
    help="Comma-separated; default: those that a model is asked under, without long_context, which is 10,000 words to "
    "read.",
)
@click.option(
    "--protocols", default="forced_choice", show_default=True, help="Comma-separated: forced_choice, abstention."
)
@click.option("--limit", type=click.IntRange(min=1), help="Maximum number of base clips, for a trial.")
@click.option(
    "--controls",
    type=FiniteRange(0, 1),
    default=0.05,
    show_default=True,
    help="Share of questions that are controls, about aligned clips, to measure attention; 0 makes none.",
)
@options.address(8610)
@options.proxies
@_database
@needs("review")
def serve(
    dataset: str,
    revision: str | None,
    split: str,
    conditions: str,
    protocols: str,
    limit: int | None,
    controls: float,
    host: str,
    port: int,
    session_hours: float,
    public_hosts: tuple[str, ...],
    proxies: tuple[str, ...],
    database: str,
) -> None:
    """Serve the questions until it is stopped; every answer is kept at once.

    Everybody with an account answers all questions, in an order of their own.
    """
    from mma_bench.evaluation.dataset import Benchmark
    from mma_bench.evaluation.people.serve import serve as run
    from mma_bench.evaluation.people.store import Store
    from mma_bench.evaluation.people.study import plan

    benchmark = Benchmark(dataset, revision=revision, split=split, limit=limit)
    design = plan(benchmark, listed(conditions), listed(protocols), controls)
    store = Store(database)
    try:
        run(store, design, host, port, session_s=3600 * session_hours, public_hosts=public_hosts, proxies=proxies)
    finally:
        store.close()


@answering.command("add-annotator")
@click.argument("name")
@click.option("--organiser", is_flag=True, help="Someone who sees how far everybody is, and answers no question.")
@options.RESET
@options.PASSWORD_STDIN
@_database
@needs("review")
def add_annotator(name: str, organiser: bool, reset: bool, password_stdin: bool, database: str) -> None:
    """Create an account for NAME; asks for a password."""
    from mma_bench.evaluation.people.store import Store

    secret = options.password(password_stdin)
    store = Store(database)
    try:
        options.make_account(store, name, secret, reset=reset, organiser=organiser)
    finally:
        store.close()


@answering.command()
@_database
@needs("review")
def status(database: str) -> None:
    """Show each person's progress, time and attention, and how well people agree."""
    from mma_bench.evaluation.people import status as found
    from mma_bench.evaluation.people.store import Store
    from mma_bench.evaluation.people.study import design_of, items_of

    store = Store(database)
    try:
        design = design_of(store)
        now = found.status(store, design, {item.id: item for item in items_of(design)})
        for line in found.lines(now, store.where):
            click.echo(line)
    finally:
        store.close()
    conclude(found.AGREEMENT_HEADS, found.agreement_rows(now.agreement))


@answering.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    callback=refuse_dataset,
    default=Path("results/people"),
    show_default=True,
    help="Where a run for each person and one of all are written; an earlier export there is replaced.",
)
@click.option("--without", multiple=True, metavar="NAME", help="Leave out this person; may be repeated.")
@_database
@needs("review")
def export(out: Path, without: tuple[str, ...], database: str) -> None:
    """Write the answers of everybody who has finished as runs, under anonymous ids."""
    from mma_bench.evaluation.people.runs import export as write
    from mma_bench.evaluation.people.status import AGREEMENT_HEADS, agreement_rows
    from mma_bench.evaluation.people.store import Store
    from mma_bench.stats import format_estimate

    store = Store(database)
    try:
        found = write(store, out, without=without)
    finally:
        store.close()
    cells = [
        (f"{row['condition']}, {row['protocol']}", row["question"], str(row["n"]), f"{format_estimate(row)} %")
        for row in found.scores["accuracy"]
    ]
    conclude(("condition", "question", "answers", "accuracy"), cells)
    conclude(AGREEMENT_HEADS, agreement_rows(found.agreement), then=command("mma-bench", "results", found.folders[-1]))
    for name, left in found.unfinished:
        click.echo(f"left out: {name} has {left} questions to answer", err=True)
    for who in found.finished:
        if who.missed:
            click.echo(
                f"warning: {who.name} missed {who.missed} of {who.controls} controls, whose picture and sound agree; "
                f"leave them out with --without {who.name} if they answered without care",
                err=True,
            )


@answering.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_database
@needs("review")
def backup(file: Path, database: str) -> None:
    """Copy accounts and answers to FILE, also while the questions are served.

    FILE is a database like people.db; to restore it, stop the server and put it in its place.
    """
    from mma_bench.evaluation.people.store import Store
    from mma_bench.web.backup import back_up

    store = Store(database)
    try:
        click.echo(redacted(f"{file}: {back_up(store, file)} rows of answers"))
    finally:
        store.close()
