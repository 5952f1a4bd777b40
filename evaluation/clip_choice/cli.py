"""`mma-bench clips`: which clips matter over several runs."""

from pathlib import Path

import click

from mma_bench.numbers import SEED, FiniteRange
from mma_bench.terminal import command, conclude


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="CSV file, a row per clip and question; a page of the same name is written beside it.",
)
@click.option("--protocol", default="forced_choice", show_default=True)
@click.option("--condition", default="misaligned", show_default=True)
@click.option(
    "--certainty",
    type=FiniteRange(0.5, 1, max_open=True),
    default=0.95,
    show_default=True,
    help="The probability that fresh runs keep their ranking on the planned subset.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Draws another subset of the same size.")
def clips(runs: tuple[Path, ...], out: Path, protocol: str, condition: str, certainty: float, seed: int) -> None:
    """Say how hard each clip is, what it tells, and which few would keep the ranking of RUNS.

    The CSV file has the column `subset`: 1 for the clips of the planned subset. `evaluate --clips` takes the file.
    """
    from mma_bench.evaluation.clip_choice.items import item_facts, outcomes_of
    from mma_bench.evaluation.clip_choice.page import few_runs, page
    from mma_bench.evaluation.clip_choice.subset import certainty_text, plan_subset
    from mma_bench.evaluation.clip_choice.table import as_csv
    from mma_bench.evaluation.predictions import read_predictions
    from mma_bench.files import write_text

    shown = out.with_suffix(".html")
    if out.suffix != ".csv":
        raise click.UsageError("--out must end in .csv; the page is written beside it, under the same name with .html")
    answers = {str(run): read_predictions(run / "predictions.jsonl") for run in runs}
    outcomes = outcomes_of(answers, protocol, condition)
    facts, plan = item_facts(outcomes), plan_subset(outcomes, certainty, seed)
    heading = f"{protocol}, {condition}".replace("_", " ")
    write_text(out, as_csv(facts, frozenset(plan.clips)))
    write_text(shown, page(answers, outcomes, facts, plan, heading=heading, file=out.name))
    if (warning := few_runs(len(answers))) is not None:
        click.echo(warning, err=True)
    everyone, no_one = (sum(fact.right == share for fact in facts) for share in (1.0, 0.0))
    total = len(set(outcomes.bases))
    every = f"{total:,} clip{'' if total == 1 else 's'}"
    if plan.clips:
        subset = f"{len(plan.clips):,} of {every}, {certainty_text(plan.certainty)} certain"
    elif plan.pairs:
        subset = f"none: all {every} give {certainty_text(plan.certainty)}"
    else:
        subset = f"none: {every} tell{'s' if total == 1 else ''} no two runs apart"
    rows = [
        ("clips and questions", f"{len(facts):,}"),
        ("right in every run", f"{everyone:,}"),
        ("right in no run", f"{no_one:,}"),
        ("pairs of runs told apart", f"{len(plan.pairs):,} of {len(plan.pairs) + len(plan.ties):,}"),
        ("subset that keeps the ranking", subset),
    ]
    click.echo(f"file: {out}")
    evaluate = ("mma-bench", "evaluate", "--model", "MODEL", "--clips", out, "--out", runs[0].parent / "MODEL")
    then = command(*evaluate) if plan.clips else ""
    conclude((heading, ""), rows, page=shown, then=then)
