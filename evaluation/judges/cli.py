"""The commands about judges."""

from pathlib import Path

import click

from mma_bench.commands import needs, refuse_dataset
from mma_bench.numbers import FiniteRange
from mma_bench.terminal import command, conclude

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def judge() -> None:
    """Compare judges, with each other and with human labels, and choose thresholds.

    `mma-bench build judge` runs the one in params.yaml.
    """


@judge.command()
@click.argument("judges", nargs=-1, required=True, type=_FILE)
@click.option("--out", type=_FOLDER, callback=refuse_dataset, default=Path("reports/judges"), show_default=True)
@click.option(
    "--results", type=_FOLDER, default=Path("results"), show_default=True, help="Runs to rescore on each judge's clips."
)
@click.option(
    "--precision",
    type=FiniteRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="Minimum precision of a chosen threshold on the labelled clips.",
)
@needs("build")
def compare(judges: tuple[Path, ...], out: Path, results: Path, precision: float) -> None:
    """Compare judges on this build's clips.

    Each of JUDGES is a params file, whose judge is run, or a verdict table (data/verdicts.parquet).
    """
    from mma_bench.evaluation.judges.compare import main

    report = main(judges, out, results, precision)
    rows = [
        (judge["name"], *(f"{judge['statuses'].get(status, 0):,}" for status in ("ok", "rejected", "refused")))
        for judge in report["judges"]
    ]
    params = next((path for path in judges if path.suffix != ".parquet"), "PARAMS.yaml")
    heads = ("judge", "kept", "rejected", "cannot judge")
    conclude(heads, rows, page=out / "compare.html", then=command("mma-bench", "judge", "calibrate", params))


@judge.command()
@click.argument("params", type=_FILE, default=Path("params.yaml"))
@click.option(
    "--labels",
    default="vggsounder",
    show_default=True,
    help="vggsounder, or a CSV with clip_id, visible and audible (yes, no, or empty if unclear).",
)
@click.option("--precision", type=FiniteRange(0, 1, min_open=True), default=0.95, show_default=True)
@click.option(
    "--positives",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="A class with at least this many positive labels gets a threshold of its own.",
)
@click.option("--out", type=_FILE, default=Path("thresholds/encoders.csv"), show_default=True)
@click.option("--page", type=_FILE, default=Path("reports/judges/calibrate.html"), show_default=True)
@needs("build")
def calibrate(params: Path, labels: str, precision: float, positives: int, out: Path, page: Path) -> None:
    """Choose the thresholds of the judge in PARAMS from human labels on this build's normalised clips.

    Writes the thresholds by class for the judge `encoders`, and for any judge a page with precision and recall.
    """
    from mma_bench.evaluation.judges.calibrate_build import Options, main

    main(params, Options(labels, precision, positives, out, page))


COMMANDS = (judge,)
