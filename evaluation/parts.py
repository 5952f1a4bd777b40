"""Answers of several processes: each appends to a file of its own, and one file of predictions is made of them.

Beside `predictions.jsonl` lie `predictions.part-0.jsonl`, … until all processes have finished; a stopped run leaves
them, and is resumed by any number of processes. Their entries are then appended to `predictions.jsonl` in the order in
which a single process asks, so the file is the same.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from mma_bench.executor.ledger import Entry, Ledger, parse_entry

_PART: Final = re.compile(r"\.part-(\d+)$")
_AT_ONCE: Final = 1000  # entries that reach the disk together


def part_of(predictions: Path, rank: int) -> Path:
    """The file of one process."""
    return predictions.with_name(f"{predictions.stem}.part-{rank}{predictions.suffix}")


def parts_of(predictions: Path) -> dict[int, Path]:
    """The files of all processes, of this run and of stopped ones, by rank."""
    found = {path: _PART.search(path.stem) for path in predictions.parent.glob(f"*{predictions.suffix}")}
    ranks = {int(match[1]): path for path, match in found.items() if match}
    return {rank: ranks[rank] for rank in sorted(ranks) if ranks[rank] == part_of(predictions, rank)}


class Part(Ledger):
    """A process's own ledger, which also knows what was answered before it was opened, by whichever process.

    Args:
        predictions: The run's predictions.jsonl. It and the other processes' files are only read: what they append
            meanwhile is about clips that are not this process's.
        rank: This process's.
    """

    def __init__(self, predictions: Path, rank: int) -> None:
        super().__init__(part_of(predictions, rank))
        others = [path for other, path in parts_of(predictions).items() if other != rank]
        self._earlier = _attempts([predictions, *others])

    def latest(self, key: str) -> Entry | None:
        """The last attempt at `key` that did not fail, else the last; an own one is later than the others."""
        own = super().latest(key)
        return _best([*map(_read, self._earlier.get(key, ())), *([] if own is None else [own])])


def gather(whole: Ledger, asked: Iterable[tuple[int, str]]) -> None:
    """Append the entries of all parts to the predictions, and remove the parts; repeated after a kill, it goes on.

    Args:
        whole: The run's predictions.jsonl, open. No process writes to a part any more.
        asked: The keys of all prompts in the order in which a single process asks, each with the rank of the process
            that asked it last.
    """
    parts = parts_of(whole.path)
    attempts = {rank: _attempts([path]) for rank, path in parts.items()}

    def new() -> Iterator[Entry]:
        seen = set()
        for own, key in asked:
            seen.add(key)
            ranks = sorted(attempts, key=lambda rank: (rank == own, rank))
            yield from _newer(whole, [place for rank in ranks for place in attempts[rank].get(key, ())], key)
        # Of stopped runs under other conditions or protocols.
        for key in dict.fromkeys(key for places in attempts.values() for key in places if key not in seen):
            yield from _newer(whole, [place for places in attempts.values() for place in places.get(key, ())], key)

    entries = new()
    while batch := list(islice(entries, _AT_ONCE)):
        whole.append(*batch)
    for path in parts.values():
        path.unlink()


class _Place(NamedTuple):
    """Where an entry's line is in a file."""

    path: Path
    start: int
    length: int


def _attempts(paths: Iterable[Path]) -> dict[str, list[_Place]]:
    """The attempts at each key in these files, the last one last; a file may be missing, and its last line cut off."""
    found: dict[str, list[_Place]] = defaultdict(list)
    for path in paths:
        if path.exists():
            start = 0
            with path.open("rb") as lines:
                for line in lines:
                    if line.endswith(b"\n"):
                        found[parse_entry(line)["key"]].append(_Place(path, start, len(line)))
                    start += len(line)
    return dict(found)


def _read(place: _Place) -> Entry:
    with place.path.open("rb") as file:
        file.seek(place.start)
        return parse_entry(file.read(place.length))


def _best(attempts: list[Entry]) -> Entry | None:
    answered = [entry for entry in attempts if entry["status"] != "failed"]
    return next(iter((answered or attempts)[-1:]), None)


def _newer(whole: Ledger, places: list[_Place], key: str) -> Iterator[Entry]:
    """The best attempt in the parts, unless the predictions have it or one that did not fail instead."""
    best, there = _best([_read(place) for place in places]), whole.latest(key)
    if best is None or best == there:
        return
    if there is None or there["status"] == "failed" or best["status"] != "failed":
        yield best
