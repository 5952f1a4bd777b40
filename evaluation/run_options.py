"""The options that say what a run asks, and of which model: those of `evaluate` and `infer`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mma_bench.commands import MODEL, NAME, UNCHECKED, refuse_dataset
from mma_bench.numbers import FiniteRange

Command = TypeVar("Command", bound=Callable[..., Any])

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)

_OPTIONS = (
    MODEL,
    NAME,
    click.option("--adapter", help="A LoRA adapter: a folder or a Hub ID."),
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of the model's YAML file."
    ),
    click.option(
        "--dataset",
        default="mma-bench",
        show_default=True,
        help="The folder written by the build, or ORG/NAME on the Hub.",
    ),
    click.option("--revision", help="Tag or commit of a dataset on the Hub."),
    click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True),
    click.option(
        "--conditions",
        default="",
        help="Comma-separated; default: the paper's six; all: those of the dataset. On request also "
        "misleading_caption_short_answer, long_context_before, audio_dropped, no_clip, other_clip.",
    ),
    click.option(
        "--protocols",
        default="forced_choice",
        show_default=True,
        help="Comma-separated: forced_choice, loglikelihood, abstention, chain_of_thought, written, synchrony, "
        "open_answer.",
    ),
    click.option("--temperature", type=FiniteRange(min=0), default=0.0, show_default=True, help="0 is greedy."),
    click.option(
        "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Answers per prompt when sampling."
    ),
    click.option(
        "--silence",
        type=click.Choice(["keep", "drop", "both"]),
        default="keep",
        show_default=True,
        help="Where the sound is removed: keep the silent track (audio_removed), drop it (audio_dropped), or ask both.",
    ),
    click.option(
        "--option-order",
        type=click.Choice(["sorted", "shuffled"]),
        default="sorted",
        show_default=True,
        help="Order of the classes in the prompt; shuffled: one per base clip, the same for all models.",
    ),
    click.option("--limit", type=click.IntRange(min=1), help="Maximum number of base clips, for a trial run."),
    click.option(
        "--clips",
        type=_FILE,
        help="Ask only about these base clips: the CSV file of `mma-bench clips`, or a text file with one id per line.",
    ),
    UNCHECKED,
    click.option(
        "--batch",
        type=click.IntRange(min=1),
        help="Clips per model call; default: `batch` in the model's file, else 1. Servers get as many requests at once "
        "as the setting `concurrency` says, whatever the batch.",
    ),
    click.option(
        "--out",
        type=_FOLDER,
        callback=refuse_dataset,
        required=True,
        help="The run's folder; an unfinished run there is resumed.",
    ),
)


def run_options(command: Command) -> Command:
    """Add the options to a command, in their order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
