"""The training commands: `train` makes an adapter, `adapter check` verifies one."""

import os
from pathlib import Path

import click

from mma_bench.builders.publish.cli import dry_run_option, open_hub, private_option, publish, repo_option
from mma_bench.commands import needs, refuse_dataset
from mma_bench.terminal import command, conclude

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--config", required=True, help="paper, paper-table8, tiny, or a YAML file of the same format.")
@click.option("--sft", type=_FOLDER, default=Path("data/sft"), show_default=True, help="What `sft` wrote.")
@click.option("--dataset", default="mma-bench", show_default=True, help="The folder that the build wrote, or ORG/NAME.")
@click.option("--revision", help="Tag or commit of a dataset on the Hub.")
@click.option(
    "--out",
    type=_FOLDER,
    callback=refuse_dataset,
    required=True,
    help="The run's folder; an unfinished run there is resumed.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of the config.")
@needs("train")
def train(config: str, sft: Path, dataset: str, revision: str | None, out: Path, settings: tuple[str, ...]) -> None:
    """Fine-tune a model on the SFT data: LoRA on its text model, towers frozen.

    On several GPUs: `accelerate launch -m mma_bench.cli train …`.
    """
    from mma_bench.commands import read_overrides
    from mma_bench.training import train as training
    from mma_bench.training.config import load_config

    loaded = load_config(config, read_overrides(settings))
    training.main(loaded, data=sft, dataset=dataset, dataset_revision=revision, out=out, source=config)
    if os.environ.get("RANK", "0") == "0":  # of several processes, one speaks
        _conclude(out, dataset)


def _conclude(out: Path, dataset: str) -> None:
    from mma_bench.tables import read_json

    run = read_json(out / "run.json")
    rows = [
        (str(row["step"]), f"{row['loss']:.3f}", *(f"{100 * row[name]:.1f} %" for name in ("visual", "audio")))
        for row in run["validation"][-5:]
    ]
    asked = ("--model", "MODEL", "--adapter", out / "adapter", "--dataset", dataset, "--out", "results/tuned")
    model = command("mma-bench", "evaluate", *asked)
    conclude(("step", "validation loss", "visual", "audio"), rows, then=model)


@click.group()
def adapter() -> None:
    """Check and document adapters."""


@adapter.command()
@click.argument("adapter")
@click.option("--base", required=True, help="The base model: a folder or a name on the Hub.")
@click.option("--base-revision", help="Branch, tag or commit of the base on the Hub.")
@click.option("--adapter-revision", help="Branch, tag or commit of the adapter on the Hub.")
@click.option(
    "--dtype", type=click.Choice(["auto", "bfloat16", "float16", "float32"]), default="auto", show_default=True
)
@click.option("--device-map", help="cpu, cuda, cuda:1, auto …  [default: the GPU if there is one]")
@needs("local")
def check(
    adapter: str, base: str, base_revision: str | None, adapter_revision: str | None, dtype: str, device_map: str | None
) -> None:
    """Check that every weight loads, into the text model only, with effect, and that merging changes nothing."""
    from mma_bench.training import adapter as checks

    for result in checks.check(
        adapter, base, revision=base_revision, adapter_revision=adapter_revision, dtype=dtype, device_map=device_map
    ):
        click.echo(f"{result.name:<8} {result.said}")


@adapter.command()
@click.argument("run", type=_FOLDER)
@click.option("--before", type=_FOLDER, required=True, help="What `mma-bench evaluate` wrote for the base.")
@click.option("--after", type=_FOLDER, required=True, help="What `mma-bench evaluate` wrote with this adapter.")
@click.option("--seen-classes", type=_FILE, help="Classes tuned on, one per line, if the run does not record them.")
@click.option("--base-name", help="ORG/NAME of the base on the Hub, if the run loaded it from a folder.")
@click.option("--base-card", type=_FILE, help="The base's README.md, which states its licence, if not found.")
@click.option("--out", type=_FILE, help="The card; its plot is written next to it.  [default: RUN/README.md]")
def card(
    run: Path,
    before: Path,
    after: Path,
    seen_classes: Path | None,
    base_name: str | None,
    base_card: Path | None,
    out: Path | None,
) -> None:
    """Write the model card of a finished RUN from its facts and two evaluations."""
    from mma_bench.training import card as cards

    path = cards.main(
        run, before=before, after=after, seen_classes=seen_classes, base_name=base_name, base_card=base_card, out=out
    )
    click.echo(f"wrote {path} and {cards.CURVE} next to it")


@publish.command("adapter")
@repo_option
@click.argument("run", type=_FOLDER)
@click.option("--card", type=_FILE, help="The model card.  [default: README.md in RUN]")
@click.option("--results", type=_FOLDER, required=True, help="What `mma-bench evaluate` wrote with this adapter.")
@click.option("--base-name", metavar="ORG/NAME", help="The base's name on the Hub, if it was a folder in training.")
@private_option
@dry_run_option
@needs("local")
def publish_adapter(
    repo: str, run: Path, card: Path | None, results: Path, base_name: str | None, private: bool, dry_run: bool
) -> None:
    """Publish the adapter of a finished run with card, processor files and scores; checked before and after upload."""
    from mma_bench.training.publish import publish_adapter as send

    hub = open_hub(needs_token=not dry_run)
    send(
        hub,
        run,
        repo,
        card=card or run / "README.md",
        results=results,
        base_name=base_name,
        private=private,
        dry_run=dry_run,
    )


COMMANDS = (train, adapter)
