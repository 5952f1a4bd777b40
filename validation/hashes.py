"""SHA-256 of many files: by threads of this process, or by tasks on the machines of a Ray cluster."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Final

from mma_bench.config import RayParams
from mma_bench.executor.results import results
from mma_bench.executor.task import Payload
from mma_bench.files import file_sha256

_TOGETHER: Final = 20  # files of a task on Ray, which takes milliseconds for each


def file_hashes(
    paths: Sequence[Path], *, workers: int, title: str, ray: RayParams | None = None
) -> Iterator[str | None]:
    """The hash of each file, None if there is no such file; in the order of `paths`, as they are asked for.

    On this machine by threads, which start at once and need no processes, since hashing lets others run.

    Args:
        paths: Relative to the project's folder, which is the current one.
        workers: Files, or on Ray tasks, at a time.
        title: See `mma_bench.executor.results`.
        ray: How to reach Ray; None: this machine.
    """
    if ray is None:
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(_sha256, paths)
        return
    together = [paths[first : first + _TOGETHER] for first in range(0, len(paths), _TOGETHER)]
    parts = {some[0].as_posix(): {"paths": some} for some in together}
    yield from chain.from_iterable(results(parts, hashes_of, workers=workers, title=title, ray=ray))


def hashes_of(payload: Payload) -> list[str | None]:
    """A task's hashes; runs in the workers."""
    return [_sha256(path) for path in payload["paths"]]


def _sha256(path: Path) -> str | None:
    return file_sha256(path) if path.is_file() else None
