"""The commands about judges."""

from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def judge() -> None:
    """Compare judges with each other and with people; `mma-bench build judge` runs the one in params.yaml."""


@judge.command()
@click.argument("judges", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", type=_FOLDER, default=Path("reports/judges"), show_default=True)
@click.option(
    "--results", type=_FOLDER, default=Path("results"), show_default=True, help="Runs whose accuracies would shift."
)
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="What a chosen threshold must reach on the labelled clips.",
)
def compare(judges: tuple[Path, ...], out: Path, results: Path, precision: float) -> None:
    """Compare judges on the clips of this build.

    Each of JUDGES is a params file, whose judge is asked, or a table of verdicts (data/verdicts.parquet).
    """
    from mma_bench.evaluation.judges.compare import main

    main(judges, out, results, precision)
    click.echo(f"{out / 'compare.html'}")


COMMANDS = (judge,)
