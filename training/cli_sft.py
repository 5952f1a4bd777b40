"""The SFT data commands: `sft` makes the data, `sft-export` exports them for another trainer."""

from pathlib import Path

import click

from mma_bench.commands import refuse_dataset

_FOLDER = click.Path(path_type=Path, file_okay=False)
_DATASET = click.option(
    "--dataset", default="mma-bench", show_default=True, help="The folder that the build wrote, or ORG/NAME."
)
_REVISION = click.option("--revision", help="Tag or commit of a dataset on the Hub.")


@click.command()
@_DATASET
@_REVISION
@click.option(
    "--out",
    type=_FOLDER,
    callback=refuse_dataset,
    default=Path("data/sft"),
    show_default=True,
    help="The folder to write.",
)
@click.option(
    "--params", "params_path", type=click.Path(path_type=Path), default=Path("params.yaml"), show_default=True
)
def sft(dataset: str, revision: str | None, out: Path, params_path: Path) -> None:
    """Make the fine-tuning examples from the dataset's train split.

    Both questions about every clip, aligned and misaligned in equal shares, some clips held out for validation.
    """
    from mma_bench.config import load_params
    from mma_bench.training import sft as stage

    stage.main(load_params(params_path).sft, dataset=dataset, revision=revision, out=out)


@click.command(name="sft-export")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--format", "_format", type=click.Choice(["llama-factory"]), default="llama-factory", show_default=True)
@click.option("--sft", type=_FOLDER, default=Path("data/sft"), show_default=True, help="What `sft` wrote.")
@_DATASET
@_REVISION
def sft_export(out: Path, _format: str, sft: Path, dataset: str, revision: str | None) -> None:
    """Write the SFT data to the folder OUT for LLaMA-Factory, with a YAML config for the paper's setup.

    An interrupted export resumes and keeps the clips already written.
    """
    from mma_bench.training import llama_factory

    written = llama_factory.main(out, sft=sft, dataset=dataset, revision=revision)
    counts = ", ".join(f"{count} {part}" for part, count in written.items())
    click.echo(f"{counts} examples; to tune: cd {out} && llamafactory-cli train {llama_factory.CONFIG}")


COMMANDS = (sft, sft_export)
