"""The commands `avhbench` and `avhbench-compare`: run a model on AVHBench, and compare two runs (section 5.3)."""

from pathlib import Path

import click

from mma_bench.commands import MODEL, NAME, refuse_dataset
from mma_bench.errors import ConfigError
from mma_bench.terminal import command, conclude

# These answer from a clip's class, which AVHBench clips do not have.
_NEED_CLASSES = ("oracle", "specialist")


@click.command()
@click.option(
    "--annotations",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="AVHBench's JSON file, or the folder with its JSON files.",
)
@click.option(
    "--videos",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="The folder with <video_id>.mp4.",
)
@MODEL
@NAME
@click.option("--adapter", help="A LoRA adapter: a folder or a Hub ID.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of the model's YAML file."
)
@click.option("--limit", type=click.IntRange(min=1), help="Maximum number of videos, for a trial run.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    callback=refuse_dataset,
    required=True,
    help="The run's folder; an unfinished run there is resumed.",
)
def avhbench(
    annotations: Path,
    videos: Path,
    model: str,
    name: str | None,
    adapter: str | None,
    settings: tuple[str, ...],
    limit: int | None,
    out: Path,
) -> None:
    """Run a model on AVHBench's four tasks and score its answers.

    Writes avhbench_predictions.jsonl, avhbench_scores.json and avhbench.md; a restarted run repeats no finished
    question.
    """
    from mma_bench.commands import read_overrides
    from mma_bench.evaluation.asking import described, failed_prompts
    from mma_bench.evaluation.avhbench import score as avhbench_score
    from mma_bench.evaluation.avhbench.annotations import Task, annotations_sha256, read_annotations
    from mma_bench.evaluation.avhbench.infer import ask, read_avh_predictions
    from mma_bench.evaluation.avhbench.meteor import Meteor
    from mma_bench.evaluation.processes import refuse_several
    from mma_bench.models import load_config, open_engine
    from mma_bench.models.contracts import Served
    from mma_bench.models.hints import hint_for

    refuse_several("avhbench")
    overrides = read_overrides(settings)
    config = load_config(model, overrides=overrides, name=name)
    if config.engine in _NEED_CLASSES:
        raise ConfigError(
            f"{config.name} answers from a clip's class, which AVHBench clips do not have",
            hint="use random or majority as a baseline",
        )
    entries = read_annotations(annotations)
    if limit is not None:
        chosen = set(list(dict.fromkeys(entry.video_id for entry in entries))[:limit])
        entries = [entry for entry in entries if entry.video_id in chosen]
    if any(entry.task is Task.CAPTIONING for entry in entries):
        Meteor()  # fail on a missing NLTK now, not after hours of inference
    engine = open_engine(model, adapter=adapter, overrides=overrides, name=name)
    try:
        path = ask(
            engine,
            entries,
            videos,
            out,
            annotations=annotations_sha256(annotations),
            **described(config.engine, config.settings),
            batch=config.batch,
        )
    finally:
        engine.close()
    rows = avhbench_score.summary_rows(avhbench_score.main(out))
    pair = ("BASE", out) if adapter else (out, "TUNED")
    then = command("mma-bench", "avhbench-compare", *pair)
    conclude(avhbench_score.SUMMARY_HEADS, rows, page=out / "avhbench.md", then=then)
    lines = read_avh_predictions(path)
    errors = [str(line.error) for line in lines if line.status == "failed"]
    failed = failed_prompts(errors, len(lines), hint_for if isinstance(engine, Served) else None)
    if failed is not None:
        raise failed


@click.command(name="avhbench-compare")
@click.argument("base", type=click.Path(path_type=Path, file_okay=False))
@click.argument("tuned", type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The folder to write.  [default: TUNED]")
def avhbench_compare(base: Path, tuned: Path, out: Path | None) -> None:
    """Compare the AVHBench runs of a BASE model and of the same model TUNED with an adapter.

    Writes avhbench_comparison.json and avhbench_comparison.md.
    """
    from mma_bench.evaluation.avhbench import compare

    folder = out or tuned
    rows = compare.summary_rows(compare.main(base, tuned, folder))
    then = "mma-bench adapter card RUN --before BASE --after TUNED"
    conclude(compare.SUMMARY_HEADS, rows, page=folder / "avhbench_comparison.md", then=then)
