"""The commands about judges."""

from pathlib import Path

import click

from mma_bench.commands import OutFolder

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def judge() -> None:
    """Compare judges with each other and with human labels; `mma-bench build judge` runs the one in params.yaml."""


@judge.command()
@click.argument("judges", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", type=OutFolder(), default=Path("reports/judges"), show_default=True)
@click.option(
    "--results", type=_FOLDER, default=Path("results"), show_default=True, help="Runs to rescore on each judge's clips."
)
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="Minimum precision of a chosen threshold on the labelled clips.",
)
def compare(judges: tuple[Path, ...], out: Path, results: Path, precision: float) -> None:
    """Compare judges on this build's clips.

    Each of JUDGES is a params file, whose judge is run, or a verdict table (data/verdicts.parquet).
    """
    from mma_bench.evaluation.judges.compare import main

    main(judges, out, results, precision)
    click.echo(f"{out / 'compare.html'}")


COMMANDS = (judge,)
