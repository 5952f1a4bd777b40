"""`python -m mma_bench.training.miniature STEP`: the steps of `training/miniature/dvc.yaml`."""

import os
from pathlib import Path

import click

from mma_bench.commands import ReportingGroup
from mma_bench.training.miniature.base import command as base

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=ReportingGroup)
def main() -> None:
    """The miniature: the paper's experiment end to end on a tiny model, as an illustration."""


main.add_command(base, "base")


@main.command()
@click.argument("root", type=_FOLDER, default=Path("data/miniature"))
@click.option("--params", type=_FILE, help="Used instead of training/miniature/params.yaml.")
def clips(root: Path, params: Path | None) -> None:
    """Render the clips; ROOT becomes a separate project."""
    from mma_bench import layout
    from mma_bench.training.miniature.dataset import PARAMS, load_miniature_params, make_clips

    project, miniature = layout.PARAMS.absolute(), load_miniature_params(params or PARAMS)
    root.mkdir(parents=True, exist_ok=True)
    os.chdir(root)
    make_clips(project, miniature)


@main.command()
@click.argument("root", type=_FOLDER, default=Path("data/miniature"))
def package(root: Path) -> None:
    """Write ROOT/mma-bench, after `mma-bench --root ROOT build pair` and `build conflicts`."""
    from mma_bench import layout
    from mma_bench.config import load_params
    from mma_bench.training.miniature import dataset

    os.chdir(root)
    dataset.package(load_params(layout.PARAMS).package.max_shard_mb)


@main.command()
@click.argument("number", type=int)
@click.option("--root", type=_FOLDER, default=Path("data/miniature"), show_default=True)
def seed(number: int, root: Path) -> None:
    """Train and evaluate all models of seed NUMBER; an interrupted run resumes."""
    from mma_bench.training.miniature import seed as one

    one.main(root, number)


@main.command()
@click.argument("base", type=_FOLDER)
@click.argument("dataset", type=_FOLDER)
@click.argument("out", type=_FILE)
def cost(base: Path, dataset: Path, out: Path) -> None:
    """Measure the processor time per question of BASE, with and without remedies, on clips of DATASET."""
    from mma_bench.training.miniature import cost as costs

    costs.main(base, dataset, out)


@main.command()
@click.argument("seeds", type=int, nargs=-1, required=True)
@click.option("--root", type=_FOLDER, default=Path("data/miniature"), show_default=True)
@click.option("--metrics", type=_FILE, default=Path("training/miniature/metrics.json"), show_default=True)
@click.option("--tried", type=_FILE, default=Path("training/miniature/tried.csv"), show_default=True)
@click.option("--earlier", type=_FILE, default=Path("training/miniature/earlier.csv"), show_default=True)
@click.option("--out", type=_FILE, default=Path("reports/miniature.html"), show_default=True)
def page(seeds: tuple[int, ...], root: Path, metrics: Path, tried: Path, earlier: Path, out: Path) -> None:
    """Write the metrics of all SEEDS and the page."""
    from mma_bench.training.miniature import metrics as numbers
    from mma_bench.training.miniature import page as pages

    pages.main(root, seeds, numbers.main(root, seeds, metrics), tried, earlier, out)


@main.command()
@click.argument("seeds", type=int, nargs=-1, required=True)
@click.option("--root", type=_FOLDER, default=Path("data/miniature"), show_default=True)
@click.option("--metrics", type=_FILE, default=Path("training/miniature/metrics.json"), show_default=True)
@click.option("--out", type=_FILE, default=Path("reports/laboratory.html"), show_default=True)
@click.option("--numbers", type=_FILE, default=Path("training/miniature/laboratory.json"), show_default=True)
def laboratory(seeds: tuple[int, ...], root: Path, metrics: Path, out: Path, numbers: Path) -> None:
    """Write the page of what is degraded in steps, and its numbers, for all SEEDS."""
    from mma_bench.training.miniature import laboratory as lab

    lab.main(root, seeds, metrics, out, numbers)


if __name__ == "__main__":
    main()
