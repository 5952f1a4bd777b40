"""Several processes of one command, as `torchrun` and `accelerate launch` start them: one per GPU, on one machine.

The launcher says through the environment which process this is, and ends all when one fails. Process 0 speaks for all.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from mma_bench.errors import ConfigError
from mma_bench.models import ModelConfig

_SERVERS: Final = ("openai", "gemini")
_PATIENCE: Final = timedelta(days=30)  # shares differ in length; a launcher ends the processes that wait for a dead one


@dataclass(frozen=True)
class Process:
    """One of `count` processes.

    Attributes:
        rank: From 0; takes every `count`-th clip of a condition, from the `rank`-th.
        local_rank: On its machine, from 0; the index of its GPU.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def speaks(self) -> bool:
        """Whether it prints, writes the run's files and scores."""
        return self.rank == 0

    def share(self, total: int) -> int:
        """How many of `total` clips it takes."""
        return len(range(self.rank, total, self.count))


ALONE: Final = Process()


def this_process(environment: Mapping[str, str] = os.environ) -> Process:
    """From RANK, WORLD_SIZE and LOCAL_RANK; the only one where a launcher has not set them.

    Raises:
        ConfigError: The variables are not those of a launcher.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return ALONE
    try:
        rank, count = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local_rank = int(environment.get("LOCAL_RANK", rank))
    except ValueError:
        rank, count, local_rank = 0, 0, 0
    if not (0 <= rank < count and 0 <= local_rank <= rank):
        raise ConfigError(
            "RANK, WORLD_SIZE and LOCAL_RANK in the environment do not name one of several processes",
            hint="unset them, or start the command with torchrun or `accelerate launch`",
        )
    return Process(rank, count, local_rank)


def refuse_several(command: str) -> None:
    """Commands that do not share out their work.

    Raises:
        ConfigError: A launcher started several processes.
    """
    if this_process().count > 1:
        raise ConfigError(f"`mma-bench {command}` runs in one process", hint="start it without torchrun or accelerate")


def own_device(process: Process, config: ModelConfig) -> dict[str, Any]:
    """The setting by which a model takes its process's GPU; empty for one process, and without a GPU.

    Raises:
        ConfigError: There are more processes than GPUs, the model's file names a device, or it is behind a server.
    """
    if process.count == 1:
        return {}
    if config.engine in _SERVERS:
        raise ConfigError(
            f"{config.name} is asked through a server, which needs no second process here",
            hint="start one process, and set `concurrency` for more requests at once",
        )
    asked_for = config.settings.get("device_map")
    if config.engine != "transformers" or asked_for == "cpu":
        return {}
    if asked_for not in (None, "cuda"):
        raise ConfigError(
            f"{config.name}: device_map is {asked_for!r}, but each of the {process.count} processes takes its own GPU",
            hint="leave device_map out, or start one process",
        )
    import torch

    if not torch.cuda.is_available():
        return {}
    if process.local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"process {process.local_rank} has no GPU: there are {torch.cuda.device_count()}",
            hint="start at most one process per GPU (--nproc-per-node)",
        )
    return {"device_map": f"cuda:{process.local_rank}"}


@contextlib.contextmanager
def quiet(process: Process) -> Iterator[None]:
    """Of several processes, only the first prints; errors are raised, so they are still shown."""
    if process.speaks:
        yield
        return
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123 - not a file
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


@contextlib.contextmanager
def together(process: Process) -> Iterator[None]:
    """The processes can wait for each other (`wait_for_all`); nothing for a single one."""
    if process.count == 1:
        yield
        return
    import torch.distributed as distributed

    try:
        distributed.init_process_group("gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the {process.count} processes cannot reach each other: {str(error).strip().splitlines()[0]}",
            hint="start the command with torchrun or `accelerate launch`",
        ) from None
    try:
        yield
    finally:
        distributed.destroy_process_group()


def wait_for_all(process: Process) -> None:
    """Return when all processes have called it; within `together`."""
    if process.count == 1:
        return
    import torch.distributed as distributed

    distributed.barrier()
