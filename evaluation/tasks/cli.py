"""The command that prints the path of a harness's task."""

from pathlib import Path
from typing import Final

import click

_TASKS: Final = {"lmms-eval": "lmms_eval", "inspect-ai": "inspect_task.py@mma_bench"}


@click.command("tasks-path")
@click.argument("harness", type=click.Choice(list(_TASKS)))
def tasks_path(harness: str) -> None:
    """Print the path of the benchmark's task for a harness.

    \b
    lmms-eval --include_path "$(mma-bench tasks-path lmms-eval)" --tasks mma_bench --model ...
    inspect eval "$(mma-bench tasks-path inspect-ai)" -T condition=misaligned --model ...

    Both read the dataset given by the environment variable MMA_BENCH_DATASET: a folder's absolute path, or ORG/NAME on
    the Hub.
    """
    click.echo(Path(__file__).with_name(_TASKS[harness]).resolve())
