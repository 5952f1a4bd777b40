"""How many worker processes fit into the memory that is available here.

Available is what the machine can give without swapping (psutil), or less if a control group limits this process, as in
a container or a batch job; the page cache of a group counts as available, since it is given back when needed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path("/")


def workers_that_fit(workers: int, bytes_each: int, title: str) -> int:
    """`workers`, or as many as fit, at least one; prints a line if they are fewer.

    Args:
        workers: How many were asked for.
        bytes_each: What one takes.
        title: The stage, for the message.
    """
    available = available_bytes(ROOT)
    fitting = max(1, available // bytes_each)
    if fitting < workers:
        print(
            f"{title}: {fitting} of {workers} workers, since each takes about {bytes_each / 1e9:.1f} GB of memory and "
            f"{available / 1e9:.1f} GB are available",
            file=sys.stderr,
        )
    return min(workers, fitting)


def available_bytes(root: Path) -> int:
    """Bytes that this process and its children can still use; `root` is where `proc` and `sys` are."""
    return max(0, int(min([psutil.virtual_memory().available, *_left_in_groups(root)])))


def _left_in_groups(root: Path) -> Iterator[int]:
    """What each control group with a limit, from this process's up to the topmost, has left (versions 1 and 2)."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # not Linux
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers == "":
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            top = root / "sys/fs/cgroup/memory"
        else:
            continue
        group = top / path.lstrip("/")
        # In a container the path may be the host's, which is not visible; the topmost folder is then the container's.
        for folder in (group, *(parent for parent in group.parents if parent.is_relative_to(top))):
            left = _left(folder, *names)
            if left is not None:
                yield left


def _left(folder: Path, limit_name: str, used_name: str, cache_name: str) -> int | None:
    """None: no limit."""
    try:
        limit = (folder / limit_name).read_text().strip()
        used = int((folder / used_name).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) - used + int(stat.get(cache_name, 0))
