"""The command line: thin commands over the stages; heavy modules are imported where they are used."""

import importlib
import os
from pathlib import Path

import click

from mma_bench import __version__
from mma_bench.builders.manifests.cli import COMMANDS as MANIFESTS
from mma_bench.builders.publish.cli import COMMANDS as PUBLISHING
from mma_bench.builders.review.cli import review as judging
from mma_bench.builders.sources.cli import COMMANDS as ACQUISITION
from mma_bench.commands import ReportingGroup, TaskGroup, needs
from mma_bench.evaluation.attention.cli import COMMANDS as ATTENTION
from mma_bench.evaluation.cli import COMMANDS as EVALUATION
from mma_bench.evaluation.judges.cli import COMMANDS as JUDGES
from mma_bench.evaluation.people.cli import answering
from mma_bench.evaluation.view.cli import COMMANDS as VIEWING
from mma_bench.layout import CLIP_STAGES, STAGES, TABLES, ledger
from mma_bench.training.cli import COMMANDS as TRAINING
from mma_bench.training.cli_sft import COMMANDS as SFT


@click.group(cls=ReportingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The project's folder, the one with params.yaml.  [default: the current folder]",
)
def main(root: Path) -> None:
    """Build, check and use MMA-Bench: clips whose sight, sound and text agree or conflict.

    `dvc repro` runs all stages in order; `mma-bench build STAGE` runs one.
    """
    os.chdir(root)


@main.command()
@click.argument("stage", type=click.Choice(STAGES))
@click.option(
    "--params", "params_path", type=click.Path(path_type=Path), default=Path("params.yaml"), show_default=True
)
@click.option("--settle", is_flag=True, help="Give up the clips that this run does not settle, and end the stage.")
@click.option("--retry", metavar="REASON", help="Try the clips again that ended with this reason.")
@needs("build")
def build(stage: str, params_path: Path, settle: bool, retry: str | None) -> None:
    """Run one stage of dvc.yaml in the current project.

    A clip-by-clip stage resumes after an interruption and repeats no finished clip.
    """
    from mma_bench.config import load_params

    if (settle or retry is not None) and stage not in CLIP_STAGES:
        raise click.UsageError(f"--settle and --retry are for the clip-by-clip stages: {', '.join(CLIP_STAGES)}")
    params = load_params(params_path)
    if retry is not None:
        from mma_bench.executor import reopen

        click.echo(f"{stage}: {reopen(ledger(stage), retry)} clips are tried again", err=True)
    if settle:
        params = params.model_copy(update={"give_up_after": 0})
    importlib.import_module(f"mma_bench.builders.{stage}").main(params)


@main.command()
@click.argument("table", type=click.Choice([*TABLES, "page"]))
@click.option(
    "--params", "params_path", type=click.Path(path_type=Path), default=Path("params.yaml"), show_default=True
)
@needs("build")
def validate(table: str, params_path: Path) -> None:
    """Run the gate of one table; exits with 3 and a report if the table violates an invariant.

    `page` runs no gate: it writes reports/validation.html from the records of those that have run.
    """
    from mma_bench.config import load_params
    from mma_bench.validation.gate import main as run_gate
    from mma_bench.validation.gate import write_page

    if table == "page":
        write_page()
    else:
        run_gate(table, load_params(params_path))


@main.command()
def doctor() -> None:
    """Report what is installed, which jobs can be done here, and what the others need.

    Exits with 1 if a job whose packages are installed cannot be done.
    """
    from mma_bench.doctor import main as check

    check()


for command in (
    *MANIFESTS,
    *ACQUISITION,
    *JUDGES,
    TaskGroup({"judge": judging, "answer": answering}),
    *EVALUATION,
    *ATTENTION,
    *VIEWING,
    *SFT,
    *TRAINING,
    *PUBLISHING,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
