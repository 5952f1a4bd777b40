"""What grows how: time, memory and files of every stage, gate and `dvc` command over more and more clips.

    python benchmarks/scale.py --sizes 1000 4000 16000 --json scale.json

A made-up project of each size is built by the project's own stages and gates. Only the work on one clip's media is
replaced, in the workers: instead of fetching, encoding, judging or editing, it writes a real clip of one second with a
tail that makes it unique and that tells its facts. What that work costs is measured by `build_time.py`. So what is seen
here is everything else: tables, ledgers, worker processes, hashes, shards, gates. One clip in ten is a test clip under
the paper's six conditions, the others are train clips with `--donors` misaligned variants each. `--at-once` leaves the
workers out as well, which take a few milliseconds of CPU per clip.

Each step is a process of its own. CPU seconds are those of its work, without imports, and of its workers; memory is the
peak over the process and its workers together. Both are given beyond a project of 60 clips, which is called the base.
To what grows from size to size a power law is fitted, by least squares on the logarithms, and extended to the real
size. What grows by less than can be measured is called constant.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # for a step, which runs this file
from benchmarks.scale_parts.cost import Cost, measure
from benchmarks.scale_parts.project import write_project
from benchmarks.scale_parts.step import step

BASE: Final = 60  # clips: each class has one
CANDIDATES, CLIPS, SEEN = 182_970, 20_000, 200_000  # the real size: before the judge, after it, and of a folder
LEAST_S, LEAST_MB = 0.3, 8.0  # smaller growth is noise

# In the order of the build. "again": nothing is due, as when `dvc repro` resumes a stage. A stage's name stands for
# itself, "validate" for its gate.
STEPS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("candidates", "validate candidates", "acquire missing", "inputs", "acquire"), CANDIDATES),
    **dict.fromkeys(("acquire again", "normalise", "normalise again", "validate normalised"), CANDIDATES),
    **dict.fromkeys(("judge", "validate verdicts", "verify", "validate aligned"), CANDIDATES),
    **dict.fromkeys(("pair", "validate pairs", "conflicts", "conflicts again", "validate variants"), CLIPS),
    **dict.fromkeys(("package", "report", "validate package", "sft", "validate sft"), CLIPS),
}
DVC: Final = ("commit", "status", "repro", "commit one more")  # over a folder of files that seven stages name


@dataclass(frozen=True)
class Growth:
    """`factor` × n ** `exponent`; no exponent: constant."""

    factor: float
    exponent: float | None

    def at(self, size: float) -> float:
        """The value at another size."""
        return self.factor * size ** (self.exponent or 0.0)


def fit(sizes: Sequence[int], values: Sequence[float], least: float) -> Growth:
    """The power law through `values` beyond the base, by least squares on the logarithms.

    Args:
        sizes: Of the projects.
        values: One for each size.
        least: Values below it are noise and are left out. Fewer than two others: constant, the last one.
    """
    import numpy as np

    sound = [(size, value) for size, value in zip(sizes, values, strict=True) if value >= least]
    if len(sound) < 2:
        return Growth(max(values[-1], 0.0), None)
    exponent, height = np.polyfit(*np.log(np.array(sound, dtype=float)).T, 1)
    return Growth(float(np.exp(height)), float(exponent))


def build(folder: Path, clips: int, donors: int, steps: Sequence[str], *, at_once: bool) -> dict[str, Cost]:
    """Build a made-up project of that size, step by step."""
    folder.mkdir()
    write_project(folder, clips, donors)
    found = {}
    for name in steps:
        command = [sys.executable, str(Path(__file__).absolute()), "step", name, *(["at-once"] if at_once else [])]
        found[name] = measure(command, folder)
        print(f"{clips:7,} clips: {name:20} {asdict(found[name])}", file=sys.stderr, flush=True)
    return found


def dvc(folder: Path, files: int) -> dict[str, Cost]:
    """What DVC's commands take if one stage writes a folder of so many files of 100 bytes, and six others read it."""
    (folder / "clips").mkdir(parents=True)
    for number in range(files):
        (folder / f"clips/{number:011}.mp4").write_text(f"{number:0100}")
    stages = [f"  read{number}: {{cmd: 'true', deps: [clips]}}" for number in range(6)]
    (folder / "dvc.yaml").write_text(
        "\n".join(["stages:", "  make: {cmd: 'true', outs: [clips: {persist: true}]}", *stages])
    )
    run = [sys.executable, "-m", "dvc"]
    subprocess.run([*run, "init", "-q", "--no-scm"], cwd=folder, check=True)
    subprocess.run([*run, "config", "cache.type", "hardlink,symlink,copy"], cwd=folder, check=True)
    found = {}
    for name in DVC:
        command = [*run, *("commit -q -f" if name.startswith("commit") else f"{name} -q").split()]
        if name == "commit one more":
            (folder / "clips/more.mp4").write_text("more")
        found[f"dvc {name}"] = measure(command, folder)
        print(f"{files:7,} files: dvc {name:16} {asdict(found[f'dvc {name}'])}", file=sys.stderr, flush=True)
    return found


def table(sizes: Sequence[int], found: Mapping[int, Mapping[str, Cost]]) -> list[dict[str, Any]]:
    """One row per step: what it takes at the largest size, how that grows, and what it would take at the real size.

    Args:
        sizes: Of the projects, ascending, without the base.
        found: Size → step → cost, with that of `BASE`.
    """
    rows = []
    for name in found[BASE]:
        real = STEPS.get(name, SEEN)
        row: dict[str, Any] = {"step": name, "measured_at": sizes[-1], "real": real}
        for what, least in (("cpu_s", LEAST_S), ("mb", LEAST_MB), ("files", 1.0)):
            base = getattr(found[BASE][name], what)
            grown = fit(sizes, [getattr(found[size][name], what) - base for size in sizes], least)
            row[what] = round(float(getattr(found[sizes[-1]][name], what)), 2)
            row[f"{what}_exponent"] = None if grown.exponent is None else round(grown.exponent, 2)
            row[f"{what}_real"] = round(float(base + grown.at(real)), 1)
        row["wall_s"] = round(found[sizes[-1]][name].wall_s, 1)
        rows.append(row)
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table."""

    def grows(row: Mapping[str, Any], what: str) -> str:
        return "constant" if row[f"{what}_exponent"] is None else f"n^{row[f'{what}_exponent']:.2f}"

    lines = ["| step | n | CPU s | grows as | MB | grows as | files | real n | CPU s | MB | files |"]
    lines.append("|---" * 11 + "|")
    lines += [
        f"| {row['step']} | {row['measured_at']:,} | {row['cpu_s']:.1f} | {grows(row, 'cpu_s')} "
        f"| {row['mb']:.0f} | {grows(row, 'mb')} | {row['files']:,.0f} "
        f"| {row['real']:,} | {row['cpu_s_real']:,.0f} | {row['mb_real']:,.0f} | {row['files_real']:,.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, fit, and print the table."""
    if sys.argv[1:2] == ["step"]:
        step(sys.argv[2], at_once="at-once" in sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 4_000, 16_000], help="clips")
    parser.add_argument("--donors", type=int, default=3, help="misaligned variants of a train clip")
    parser.add_argument("--steps", nargs="+", default=list(STEPS), help="in the order of the build; default: all")
    parser.add_argument("--at-once", action="store_true", help="call the work per clip in one process, without workers")
    parser.add_argument("--json", type=Path, help="where to write the rows as JSON as well")
    chosen = parser.parse_args()
    sizes = sorted(chosen.sizes)
    found: dict[int, dict[str, Cost]] = {}
    for size in (BASE, *sizes):
        with tempfile.TemporaryDirectory() as scratch:
            found[size] = build(Path(scratch) / "build", size, chosen.donors, chosen.steps, at_once=chosen.at_once)
            found[size] |= dvc(Path(scratch) / "dvc", size)
    rows = table(sizes, found)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")
    print(markdown(rows))


if __name__ == "__main__":
    main()
