"""The command of the white-box analysis."""

from pathlib import Path
from typing import Any

import click

from mma_bench.commands import MODEL, NAME, UNCHECKED, needs, refuse_dataset
from mma_bench.errors import ConfigError
from mma_bench.numbers import SEED
from mma_bench.terminal import command, conclude

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@MODEL
@NAME
@click.option("--adapter", help="A LoRA adapter (folder or Hub ID); observed without and with it.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of the model's YAML file."
)
@click.option(
    "--dataset", default="mma-bench", show_default=True, help="The folder written by the build, or ORG/NAME on the Hub."
)
@click.option("--revision", help="Tag or commit of a dataset on the Hub.")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True)
@click.option("--conditions", default="aligned,misaligned", show_default=True, help="Comma-separated.")
@click.option(
    "--clips",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Number of base clips, sampled with --seed.",
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option(
    "--ranges",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    help="Number of layer ranges for the knockout; 0 skips it.",
)
@click.option(
    "--shown",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Number of clips with a token-level heat map.",
)
@UNCHECKED
@click.option(
    "--out",
    type=_FOLDER,
    callback=refuse_dataset,
    required=True,
    help="The run's folder; an unfinished run there is resumed.",
)
@needs("local")
def attend(
    model: str,
    name: str | None,
    adapter: str | None,
    settings: tuple[str, ...],
    dataset: str,
    revision: str | None,
    split: str,
    conditions: str,
    clips: int,
    seed: int,
    ranges: int,
    shown: int,
    unchecked: bool,
    out: Path,
) -> None:
    """Analyse a model's attention while it answers, and the effect of knocking it out."""
    from mma_bench.commands import listed, read_overrides
    from mma_bench.evaluation.dataset import Benchmark
    from mma_bench.evaluation.infer import chosen_conditions
    from mma_bench.evaluation.processes import refuse_several
    from mma_bench.models import load_config, open_engine

    refuse_several("attend")
    overrides = read_overrides(settings)
    config = load_config(model, overrides=overrides, name=name)
    if config.engine != "transformers":
        raise ConfigError(
            f"{config.name} runs on the engine {config.engine}, which does not expose attention",
            hint="use a model with the transformers engine (see `mma-bench models`)",
        )
    benchmark = Benchmark(dataset, revision=revision, split=split, checked=not unchecked)
    wanted = list(dict.fromkeys(listed(conditions)))
    if not wanted:
        raise ConfigError("--conditions names no condition", hint=f"choose among {', '.join(benchmark.conditions())}")
    chosen = chosen_conditions(benchmark, wanted)

    from mma_bench.evaluation.attention import page, run
    from mma_bench.models.omni.load import locate
    from mma_bench.tables import read_json

    located = None
    states: dict[str, Any] = {"before": lambda: open_engine(model, overrides=overrides, name=name)}
    if adapter:
        located = adapter, locate(adapter, None, "adapter_config.json")
        states["after"] = lambda: open_engine(model, adapter=adapter, overrides=overrides, name=name)
    study = run.Study(chosen, clips, seed, ranges, shown)
    run.attend(states, benchmark, study, out, settings={"engine": config.engine, **config.settings}, adapter=located)
    page.main(out)
    heads = ("attention", "contrast", "change", "p, Holm")
    rows = _changes(read_json(out / "summary.json")["differences"])
    tuned = ("--adapter", adapter) if adapter else ()
    asked = ("--model", model, *tuned, "--dataset", dataset, "--out", f"{out}-answers")
    then = command("mma-bench", "evaluate", *asked)
    conclude(heads, rows, page=out / "attention.html", then=then)


def _changes(differences: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """The changes of the mean over layers, over clips."""
    return [
        (
            " ".join(str(row[name]) for name in ("group", "state", "condition") if row[name]),
            str(row["contrast"]),
            f"{row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]",
            f"{row['p_holm']:.3f}",
        )
        for row in differences
        if row["place"] is None
        and (row["samples"], row["by"]) == ("clips", "layer")
        and None not in (row["low"], row["p_holm"])
    ]


COMMANDS = (attend,)
