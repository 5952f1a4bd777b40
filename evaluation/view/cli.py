"""The command `mma-bench view`."""

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from mma_bench import extras
from mma_bench.commands import refuse_dataset
from mma_bench.errors import ConfigError

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("runs", nargs=-1, type=_FOLDER)
@click.option(
    "--dataset",
    default="mma-bench",
    show_default=True,
    help="The folder written by the build, or ORG/NAME on the Hub; that of the runs.",
)
@click.option("--revision", help="Tag or commit of a dataset on the Hub.")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8700, show_default=True, help="0 takes a free one.")
@click.option(
    "--out",
    type=_FOLDER,
    callback=lambda ctx, param, path: path and refuse_dataset(ctx, param, path),
    help="Write the browser to this folder instead of serving it; open index.html in it.",
)
def view(runs: tuple[Path, ...], dataset: str, revision: str | None, split: str, port: int, out: Path | None) -> None:
    """Browse the clips, the prompts to the letter, and what RUNS answered, side by side.

    RUNS are folders written by `mma-bench evaluate`; without any, the dataset alone is shown. The page is served to
    this machine only, until it is stopped.
    """
    from mma_bench.evaluation.dataset import load_benchmark
    from mma_bench.evaluation.view.rows import read_run
    from mma_bench.evaluation.view.site import Site

    site = Site(load_benchmark(dataset, split=split, revision=revision), [read_run(run) for run in runs])
    if out is not None:
        if out.exists() and any(out.iterdir()) and not (out / "rows.js").is_file():
            raise ConfigError(f"{out} holds other files", hint="name a new folder with --out")
        site.write(out)
        click.echo(f"{len(site.rows)} rows: {out / 'index.html'}")
        return
    extras.require("view", "review")
    from mma_bench.evaluation.view.serve import serve

    with TemporaryDirectory(prefix="mma-bench-view-") as folder:
        serve(site, Path(folder), port)


COMMANDS = (view,)
