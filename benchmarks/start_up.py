"""How long a person waits before anything happens: the help, and a build with nothing to do.

Each is timed in turn with a rival that does the least that could be done: the bare interpreter for the help, `dvc
--version` for the build. Run in a project that was built: `make bench`.
"""

import shutil
import statistics
import subprocess
import sys
import time

RUNS = 7


def seconds(command: list[str]) -> float:
    """Wall time of one run; a command that fails ends the benchmark."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return time.perf_counter() - start


def compare(name: str, command: list[str], rival: list[str], target_s: float) -> None:
    """Print medians of the two in turn and their ratio, pair by pair."""
    for warm_up in (command, rival):
        seconds(warm_up)
    pairs = [(seconds(command), seconds(rival)) for _ in range(RUNS)]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    against = f"{ratio:.1f} × {' '.join(rival[-2:])} ({theirs:.2f} s)"
    print(f"{name}: {ours:.2f} s (target at most {target_s:g} s), {against}")


def main() -> None:
    """Print a line for each."""
    program = shutil.which("mma-bench")
    dvc = shutil.which("dvc")
    if program is None or dvc is None:
        sys.exit("mma-bench and dvc are not on PATH; run this through `make bench`")
    compare("mma-bench --help", [program, "--help"], [sys.executable, "-c", "pass"], 0.5)
    state = subprocess.run([dvc, "status"], capture_output=True, text=True, check=False).stdout
    if "up to date" not in state:
        sys.exit("dvc repro with nothing to do: not timed, the build is not up to date; run `make repro` first")
    compare("dvc repro with nothing to do", [dvc, "repro"], [dvc, "--version"], 3.0)


if __name__ == "__main__":
    main()
