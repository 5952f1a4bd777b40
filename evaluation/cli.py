"""The commands of the evaluation: `evaluate` is `infer`, `score` and `results` in one."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mma_bench.commands import listed, read_overrides
from mma_bench.errors import ConfigError, StageError
from mma_bench.evaluation.avhbench.cli import avhbench, avhbench_compare
from mma_bench.evaluation.clip_choice.cli import clips
from mma_bench.evaluation.run_options import run_options
from mma_bench.evaluation.tasks.cli import tasks_path
from mma_bench.names import choose
from mma_bench.numbers import SEED, FiniteRange
from mma_bench.terminal import command, conclude

if TYPE_CHECKING:
    from mma_bench.evaluation.conditions import Silence
    from mma_bench.evaluation.processes import Process

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@run_options
@click.option("--seen-classes", type=_FILE, help="File of classes the model was tuned on, one per line (appendix H).")
def evaluate(out: Path, seen_classes: Path | None, dataset: str, **asking: Any) -> None:
    """Run a model on the benchmark, score its answers and write the report."""
    from mma_bench.evaluation import report as reporting
    from mma_bench.evaluation import score as scoring
    from mma_bench.evaluation.dataset import Benchmark
    from mma_bench.evaluation.processes import quiet, this_process
    from mma_bench.evaluation.seen_classes import classes_in, read_seen_classes

    process = this_process()
    of_data = {"revision": asking["revision"], "split": asking["split"]}
    read_seen_classes(seen_classes, lambda: classes_in(Benchmark(dataset, **of_data)))  # before anything is asked
    with quiet(process):
        _, failed = _infer(out=out, dataset=dataset, process=process, **asking)
    if not process.speaks:
        return
    scores = scoring.main(out, seen_classes)
    reporting.main(out, Path(dataset) if Path(dataset).is_dir() else None)
    _conclude(scores, page=out / "report.html", then=command("mma-bench", "leaderboard", out.parent))
    if failed is not None:
        raise failed


@click.command()
@run_options
def infer(**asking: Any) -> None:
    """Run a model and write predictions.jsonl; a restarted run repeats no finished prompt."""
    from mma_bench.evaluation.processes import quiet, this_process
    from mma_bench.evaluation.verdict import status_rows

    process = this_process()
    with quiet(process):
        counts, failed = _infer(process=process, **asking)
    if total := counts.total():
        rows = [("asked", f"{total:,}"), *status_rows(counts, total)]
        conclude(("prompts", "number"), rows, then=command("mma-bench", "score", asking["out"]))
    if failed is not None:
        raise failed


@click.command()
@click.argument("out", type=_FOLDER)
@click.option("--seen-classes", type=_FILE, help="File of classes the model was tuned on, one per line (appendix H).")
def score(out: Path, seen_classes: Path | None) -> None:
    """Compute scores.json from a run's predictions, offline."""
    from mma_bench.evaluation import score as scoring

    _conclude(scoring.main(out, seen_classes), then=command("mma-bench", "results", out))


@click.command()
@click.argument("out", type=_FOLDER)
@click.option("--dataset", type=_FOLDER, help="The dataset's folder, to show wrong answers with their clips.")
@click.option(
    "--all-mistakes", is_flag=True, help="Also write mistakes/*.html with all wrong answers; needs --dataset."
)
@click.option("--submission", type=_FILE, help="Also write the run as NAME.submission.json, for a leaderboard.")
def results(out: Path, dataset: Path | None, all_mistakes: bool, submission: Path | None) -> None:
    """Write report.md, report.json and report.html from a run's scores."""
    from mma_bench.evaluation import report as reporting
    from mma_bench.evaluation.chosen_clips import Subset
    from mma_bench.evaluation.completeness import limit_of
    from mma_bench.evaluation.predictions import read_predictions
    from mma_bench.evaluation.run_folder import read_facts
    from mma_bench.evaluation.submission import SUFFIX, write_submission

    if all_mistakes and dataset is None:
        raise click.UsageError("--all-mistakes needs --dataset, which has the clips")
    if submission is not None and not submission.name.endswith(SUFFIX):
        raise click.UsageError(f"--submission must end in {SUFFIX}, so that the leaderboard finds it")
    reporting.main(out, dataset, all_mistakes=all_mistakes)
    if submission is not None:
        facts = read_facts(out)
        write_submission(
            read_predictions(out / "predictions.jsonl"), submission, limit_of(facts), subset=Subset.read(facts)
        )
    conclude((), (), page=out / "report.html", then=command("mma-bench", "leaderboard", out.parent))


@click.command()
@click.argument("base", type=_FOLDER)
@click.argument("tuned", type=_FOLDER)
@click.option("--out", type=_FILE, required=True, help="The page; a JSON file of the same name is written beside it.")
@click.option("--dataset", default="mma-bench", show_default=True, help="That of both runs: a folder or a Hub ID.")
@click.option("--revision", help="Tag or commit of a dataset on the Hub.")
@click.option("--protocol", default="forced_choice", show_default=True, help="Of the clips shown.")
@click.option("--condition", default="misaligned", show_default=True, help="Of the clips shown.")
@click.option("--clips", type=click.IntRange(min=0), default=4, show_default=True, help="Clips shown of each kind.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Determines which clips are shown.")
def compare(base: Path, tuned: Path, out: Path, **shown: Any) -> None:
    """Show the answers of two runs side by side on the same clips, e.g. before and after tuning."""
    from mma_bench.evaluation import side_by_side

    if out.suffix != ".html":
        raise click.UsageError("--out must end in .html; a JSON file of the same name is written beside it")
    summary = side_by_side.main(base, tuned, out, **shown)
    chosen = f"{shown['protocol']}, {shown['condition']}".replace("_", " ")
    rows = side_by_side.summary_rows(summary)
    conclude((chosen, *side_by_side.SUMMARY_HEADS), rows, page=out, then=command("mma-bench", "view", base, tuned))


@click.command()
@click.argument("runs", type=_FOLDER)
@click.option("--dataset", help="A folder or ORG/NAME: check submissions against it, not against the other runs.")
@click.option("--revision", help="Tag or commit of a dataset on the Hub.")
def leaderboard(runs: Path, dataset: str | None, revision: str | None) -> None:
    """Compare all runs below a folder: leaderboard.html, leaderboard.md and leaderboard.json."""
    from mma_bench.evaluation import leaderboard as board
    from mma_bench.evaluation.dataset import Benchmark
    from mma_bench.evaluation.submission import SUFFIX

    if dataset is None and revision is not None:
        raise click.UsageError("--revision needs --dataset")
    if dataset is not None and runs.is_dir() and not any(runs.rglob(f"*{SUFFIX}")):
        raise ConfigError(
            f"--dataset: no *{SUFFIX} below {runs}, which it would check",
            hint="leave the option out, or set --submission of `mma-bench results` to a file there",
        )
    summary = board.main(runs, None if dataset is None else Benchmark(dataset, revision=revision))
    conclude(
        board.SUMMARY_HEADS, board.summary_rows(summary), page=runs / "leaderboard.html", then=_next(summary, runs)
    )


def _next(summary: Mapping[str, Any], runs: Path) -> str:
    """The command that compares the two best runs; that for another run if there is only one."""
    own = [run for run in summary["runs"] if run["rank"] and (runs / run["run"]).is_dir()]
    best = [str(runs / run["run"]) for run in sorted(own, key=lambda run: min(run["rank"].values()))[:2]]
    if len(best) < 2:
        return command("mma-bench", "evaluate", "--model", "MODEL", "--out", runs / "MODEL")
    return command("mma-bench", "compare", *best, "--out", "pairs.html")


def _shares(_: click.Context, __: click.Parameter, text: str) -> list[float]:
    try:
        found = [float(part) for part in listed(text)]
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers separated by commas") from None
    if not found or not all(0 < share <= 1 for share in found):
        raise click.BadParameter("shares are above 0 and at most 1")
    return found


@click.command()
@click.option("--clips", type=click.IntRange(1, 10_000_000), help="Both runs are asked about these.")
@click.option(
    "--difference", type=FiniteRange(0, 1, min_open=True), help="Print the clips needed for it, 0 to 1, instead."
)
@click.option(
    "--changed",
    default="0.1,0.2,0.3,0.5",
    show_default=True,
    callback=_shares,
    help="Shares of clips on which one run is right and the other wrong.",
)
@click.option("--power", "wanted", type=FiniteRange(0, 1, min_open=True, max_open=True), default=0.8, show_default=True)
@click.option(
    "--design-effect",
    type=FiniteRange(1, 100),
    default=1.0,
    show_default=True,
    help="How much shared donors inflate the variance.",
)
def power(
    clips: int | None, difference: float | None, changed: list[float], wanted: float, design_effect: float
) -> None:
    """Plan a comparison: the smallest difference between two runs that a number of clips can show.

    With --difference, how many clips it takes to show that one, to within a few percent. The test is that of reports
    and comparisons, at the 5 % level.
    """
    from mma_bench.evaluation.power import rows

    if clips is None and difference is None:
        raise click.UsageError("give --clips or --difference")
    if clips is not None and difference is not None:
        raise click.UsageError("give either --clips or --difference, not both")
    what = "clips needed" if clips is None else "smallest difference"
    click.echo(f"found with a probability of {100 * wanted:g} %, at the 5 % level")
    conclude(("clips on which they differ", what), list(rows(clips or 0, changed, wanted, design_effect, difference)))


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List the available models, their engines and their requirements."""
    if context.invoked_subcommand is not None:
        return
    from mma_bench.models import list_models

    for model in list_models():
        click.echo(f"{model.name:<28} {model.engine:<13} {model.needs}")


@models.command()
@click.argument("model")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of the model's YAML file."
)
def check(model: str, settings: tuple[str, ...]) -> None:
    """Say within a minute whether MODEL can be asked here, and whether it sees and hears.

    Exit code 0: it can, and it does.
    """
    from mma_bench.models.check import check_model

    for line in check_model(model, read_overrides(settings)):
        click.echo(line)


COMMANDS = (
    evaluate,
    infer,
    score,
    results,
    compare,
    power,
    clips,
    leaderboard,
    models,
    avhbench,
    avhbench_compare,
    tasks_path,
)


def _conclude(scores: Mapping[str, Any], *, page: Path | None = None, then: str) -> None:
    from mma_bench.evaluation.verdict import (
        ACCURACY_HEADS,
        STATUSES,
        SUMMARY_HEADS,
        accuracy_rows,
        status_rows,
        summary_rows,
    )

    cells = scores["accuracy"]
    counts = {status: sum(cell.get(status, 0) for cell in cells) for status in STATUSES}
    statuses = status_rows(counts, sum(cell["prompts"] for cell in cells))
    conclude(SUMMARY_HEADS, summary_rows(scores["headline"]))
    conclude(ACCURACY_HEADS, [*accuracy_rows(cells), *((*row, "", "") for row in statuses)], page=page, then=then)
    if scores["failed"]:
        click.echo(f"{scores['failed']:,} prompts failed: run the same `evaluate` again to retry them")


def _infer(
    *,
    model: str,
    name: str | None,
    adapter: str | None,
    settings: tuple[str, ...],
    dataset: str,
    revision: str | None,
    split: str,
    conditions: str,
    protocols: str,
    temperature: float,
    seeds: int,
    silence: "Silence",
    option_order: str,
    limit: int | None,
    clips: Path | None,
    unchecked: bool,
    batch: int | None,
    out: Path,
    process: "Process",
) -> tuple[Counter[str], StageError | None]:
    """Run the model.

    Returns:
        The number of prompts by status; the error to end with if prompts failed, after the rest has been scored.
    """
    from mma_bench.evaluation.asking import described, failed_prompts
    from mma_bench.evaluation.chosen_clips import read_clips
    from mma_bench.evaluation.conditions import CONFIGS, with_silence
    from mma_bench.evaluation.dataset import Benchmark
    from mma_bench.evaluation.infer import Plan, chosen_conditions, infer
    from mma_bench.evaluation.predictions import read_predictions
    from mma_bench.evaluation.processes import own_device
    from mma_bench.evaluation.protocols import OptionOrder, Protocol, Sampling
    from mma_bench.models import load_config, open_engine
    from mma_bench.models.contracts import Served
    from mma_bench.models.hints import hint_for

    names = [str(protocol) for protocol in Protocol]
    asked = listed(protocols)
    unknown = [name for name in asked if name not in names]
    if unknown or not asked:
        raise ConfigError(
            f"--protocols: {protocols!r} is not a list of protocols", hint=choose(unknown[0] if unknown else "", names)
        )
    if conditions and not listed(conditions):
        raise ConfigError(
            f"--conditions: {conditions!r} names no condition", hint="name some, or leave it out for the paper's"
        )
    overrides = read_overrides(settings)
    config = load_config(model, overrides=overrides, name=name)
    unknown = [name for name in config.settings.get("extra_body_by_condition", {}) if name not in CONFIGS]
    if unknown:
        raise ConfigError(
            f"{model}: extra_body_by_condition: unknown condition {unknown[0]!r}",
            hint=choose(unknown[0], CONFIGS, "the conditions are"),
        )
    chosen_clips = None if clips is None else read_clips(clips)
    benchmark = Benchmark(
        dataset, revision=revision, split=split, limit=limit, clips=chosen_clips, checked=not unchecked
    )
    chosen = with_silence(chosen_conditions(benchmark, listed(conditions)), silence)
    left_out = [condition for condition in chosen if CONFIGS[condition] in config.without]
    if left_out:
        click.echo(f"{config.name} does not support {', '.join(left_out)} ({config.needs}); skipped", err=True)
    plan = Plan(
        conditions=tuple(condition for condition in chosen if condition not in left_out),
        protocols=tuple(Protocol(name) for name in asked),
        sampling=Sampling(temperature, tuple(range(seeds)), OptionOrder(option_order)),
        batch=batch or config.batch,
    )
    # The GPU of a process is not recorded: it does not identify the run.
    device = own_device(process, config)
    engine = open_engine(model, adapter=adapter, overrides={**overrides, **device}, name=name)
    try:
        path = infer(engine, benchmark, plan, out, **described(config.engine, config.settings), process=process)
    finally:
        engine.close()
    if not process.speaks or not path.exists() or not path.stat().st_size:
        return Counter(), None  # nothing to ask, as of a server if only log-likelihoods are wanted
    predictions = read_predictions(path)
    errors = [str(prediction.error) for prediction in predictions if prediction.status == "failed"]
    failed = failed_prompts(errors, len(predictions), hint_for if isinstance(engine, Served) else None)
    return Counter(prediction.status for prediction in predictions), failed
