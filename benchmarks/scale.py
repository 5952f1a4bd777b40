"""What grows how: time, memory and files of every stage, gate and `dvc` command over more and more clips.

    python benchmarks/scale.py --sizes 1000 4000 16000 --json scale.json

A made-up project of each size is built by the project's own stages and gates. Only the work on one clip's media is
replaced, in the workers: instead of fetching, encoding, judging or editing, it writes a real clip of one second with a
tail that makes it unique and that tells its facts. What that work costs is measured by `build_time.py`. So what is seen
here is everything else: tables, ledgers, worker processes, hashes, shards, gates. One clip in ten is a test clip under
all six conditions, the others are train clips with `--donors` misaligned variants each.

Each step is a process of its own. CPU seconds are those of its work, without imports, and of its workers; memory is the
peak over the process and its workers together. Both are given beyond a project of 60 clips, which is called the base.
To what grows from size to size a power law is fitted, by least squares on the logarithms, and extended to the real
size. What grows by less than can be measured is called constant.
"""

import argparse
import hashlib
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations, islice
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).parents[1]
BASE: Final = 60  # clips: each class has one
CLASSES: Final = [f"Sounding_object_{number:02}" for number in range(60)]
SEGMENTS: Final = 11  # of AudioSet, for each candidate
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
class Cost:
    """One step at one size.

    Attributes:
        cpu_s: CPU seconds of the step and its workers.
        wall_s: Seconds.
        mb: Peak memory of the step's processes together.
        files: Files that it left.
    """

    cpu_s: float
    wall_s: float
    mb: float
    files: int


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


def write_project(folder: Path, clips: int, donors: int) -> None:
    """A project whose candidates are not filtered yet: parameters, classes, AudioSet's lists and a mirror."""
    import yaml

    from mma_bench.classes import ClassTable, LabelClass, Node, save_classes

    raw = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    raw["candidates"] = {"audioset": True, "manifests": {}}
    raw["acquire"] |= {"source": "folder", "folder": "mirror", "limit": None}
    raw["acquire"]["splits"] = {"test": ["eval"], "train": ["unbalanced_train"]}
    raw["pair"]["donors"]["train"] = donors
    (folder / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    (folder / "tombstones.csv").write_text("id,reason,date\n")
    labels = {f"/m/{number:03}": name for number, name in enumerate(CLASSES)}
    nodes = {
        label: Node(name, (), 1, (label,), "kept", "made up", name)  # 60 roots
        for label, name in labels.items()
    }
    classes = tuple(LabelClass(name, label, name, (label,), (label,)) for label, name in labels.items())
    (folder / "data/metadata").mkdir(parents=True)
    save_classes(ClassTable(classes, nodes), folder / "data/classes.json")
    (folder / "mirror").mkdir()
    (folder / "empty").mkdir()
    (folder / "empty/not_of_here_0_10.mp4").touch()
    clip = folder / "mirror/clip.mp4"
    inputs = ["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=1", "-f", "lavfi", "-i", "sine=duration=1"]
    codecs = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest"]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *inputs, *codecs, str(clip)], check=True)
    ids = list(labels)
    rows: dict[str, list[str]] = {"eval": [], "balanced_train": [], "unbalanced_train": []}
    for number in range(clips):
        subset, place = ("eval", number // 10) if number % 10 == 0 else ("unbalanced_train", number - number // 10)
        rows[subset].append(f'{number:011}, 0.000, 10.000, "{ids[place % len(ids)]}"\n')
        os.link(clip, folder / f"mirror/{number:011}_0_10.mp4")
    clip.unlink()
    other = (",".join(three) for three in combinations(ids, 3))  # more than one class
    several = list(islice(other, max(1, clips // 10)))
    for number in range(clips, clips * SEGMENTS):
        subset = "balanced_train" if number % 100 == 0 else "unbalanced_train"
        rows[subset].append(f'{number:011}, 0.000, 10.000, "{several[number % len(several)]}"\n')
    for subset, lines in rows.items():
        (folder / f"data/metadata/{subset}_segments.csv").write_text("".join(lines))


def made_up(stage: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """In the place of the stage's function per clip; runs in its workers."""
    from mma_bench import layout
    from mma_bench.files import atomic_path, clip_path
    from mma_bench.schema import CHECKS

    if stage == "judge":
        answers = {f"{check}_pass": True for check in CHECKS} | {f"{check}_answer": None for check in CHECKS}
        return answers | {f"{check}_score": 0.9 for check in CHECKS}
    clip_id = payload["id"] if stage == "conflicts" else payload["clip_id"]
    folders = {"acquire": layout.ACQUIRED_CLIPS, "normalise": layout.NORMALISED_CLIPS}
    folder = Path(payload["folder"]) if stage == "conflicts" else folders[stage] / payload["split"]
    template = next(Path("mirror").iterdir()).read_bytes()
    base = payload["base"]["clip_id"] if stage == "conflicts" else clip_id
    sound = payload.get("donor", {}).get("clip_id", base) if stage == "conflicts" else clip_id
    condition = payload.get("condition", "aligned")
    picture = clip_id if condition == "frames_zeroed" else base
    sound = clip_id if condition == "audio_removed" else sound
    hashes = {"video_sha256": _digest(picture, "video"), "audio_sha256": _digest(sound, "audio")}
    tail = (hashes["video_sha256"] + hashes["audio_sha256"]).encode()
    content = template + (8 + len(tail)).to_bytes(4, "big") + b"free" + tail
    path = clip_path(folder, clip_id)
    with atomic_path(path) as staged:
        staged.write_bytes(content)
    result = {"path": path.as_posix(), "sha256": hashlib.sha256(content).hexdigest()}
    if stage == "acquire":
        return result | {"bytes": len(content), "source": "folder", "licence": "made up", "origin": "", "note": ""}
    silent, black = condition == "audio_removed", condition == "frames_zeroed"
    result |= {"duration_s": 10.0, "video_duration_s": 10.0, "audio_duration_s": 10.0, "width": 504, "height": 504}
    result |= {"fps": 25.0, "frames": 250, "sample_rate": 44_100, "channels": 2, **hashes}
    result |= {"audio_peak": 0.0 if silent else 0.5, "rms_dbfs": -120.0 if silent else -20.0}
    result |= {"luma_max": 0.0 if black else 235.0, "motion": 0.0 if black else 5.0}
    result["phash"] = _digest(picture, "look")[:16]
    if stage == "conflicts":
        result["base_video_sha256"] = _digest(base, "video")
        result["source_audio_sha256"] = None if silent else hashes["audio_sha256"]
    return result


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _told(path: Path, kind: str, *_: object) -> str:
    """In the place of `packet_sha256`: what the tail of a made-up clip says."""
    tail = path.read_bytes()[-128:].decode()
    return tail[:64] if kind == "video" else tail[64:]


class MadeUpJudge:
    """Knows every class."""

    name, revision = "specialist", "0" * 64

    def knows(self, *_: object) -> bool:
        """Whether it knows the class."""
        return True


def step(name: str) -> None:
    """Run one step in the current folder and print its CPU seconds, wall seconds and result."""
    from mma_bench import executor
    from mma_bench.config import load_params
    from mma_bench.errors import DataError
    from mma_bench.media import packets

    params = load_params(Path("params.yaml"))
    stage, _, more = name.partition(" ")
    if stage == "validate":
        from mma_bench.validation import gate

        importlib.import_module(f"mma_bench.validation.{more}")
        packets.packet_sha256 = _told  # type: ignore[assignment]
        work = partial(gate.main, more, params)
    elif stage == "sft":
        from mma_bench.training import sft

        work = partial(sft.main, params.sft)
    else:
        module = importlib.import_module(f"mma_bench.builders.{stage}")
        if more == "missing":
            params = params.model_copy(update={"acquire": params.acquire.model_copy(update={"folder": "empty"})})
        elif hasattr(module, "run"):
            module.run = lambda tasks, _, *args, **named: executor.run(tasks, partial(made_up, stage), *args, **named)  # type: ignore[attr-defined]
        if stage == "judge":
            module.open_judge = lambda _: MadeUpJudge()  # type: ignore[attr-defined]
        work = partial(module.main, params)
    began, spent = time.perf_counter(), _cpu_s()
    try:
        work()
    except DataError:
        if more != "missing":
            raise
    measured = {"cpu_s": _cpu_s() - spent, "wall_s": time.perf_counter() - began}
    Path("measured.json").write_text(json.dumps(measured))


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_mb(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    """Run a command; the most memory that it and its processes had at once, looked at twenty times a second."""
    import psutil

    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said) as running,
    ):
        most, ended = 0, threading.Event()
        root = psutil.Process(running.pid)
        while running.poll() is None:
            total = 0
            for process in [root, *_below(root)]:
                try:
                    total += process.memory_info().rss
                except psutil.Error:  # ended meanwhile
                    continue
            most = max(most, total)
            ended.wait(0.05)
        if running.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} in {folder} failed:\n{said.read()[-4000:]}")
    return most / 1e6


def _below(root: Any) -> list[Any]:
    import psutil

    try:
        return list(root.children(recursive=True))
    except psutil.Error:
        return []


def files_in(folder: Path) -> int:
    """How many there are, at any depth."""
    return sum(len(names) for _, _, names in os.walk(folder))


def measure(command: Sequence[str], folder: Path) -> Cost:
    """Run a command in `folder`: its cost, from `measured.json` if it writes that, else of the whole process."""
    environment = {
        **os.environ,
        **dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS"), "1"),
        **dict.fromkeys(("HF_HUB_OFFLINE", "DVC_NO_ANALYTICS"), "1"),
        "GX_ANALYTICS_ENABLED": "false",
        "HF_HOME": str(folder / ".cache"),
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc-site"),
    }
    before, began, spent = files_in(folder), time.perf_counter(), _cpu_s()
    mb = peak_mb(command, folder, environment)
    cost = {"cpu_s": _cpu_s() - spent, "wall_s": time.perf_counter() - began}
    own = folder / "measured.json"
    if own.is_file():
        cost = json.loads(own.read_text())
        own.unlink()
    return Cost(cost["cpu_s"], cost["wall_s"], mb, files_in(folder) - before)


def build(folder: Path, clips: int, donors: int, steps: Sequence[str]) -> dict[str, Cost]:
    """Build a made-up project of that size, step by step."""
    folder.mkdir()
    write_project(folder, clips, donors)
    found = {}
    for name in steps:
        found[name] = measure([sys.executable, str(Path(__file__).absolute()), "step", name], folder)
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
        step(sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 4_000, 16_000], help="clips")
    parser.add_argument("--donors", type=int, default=3, help="misaligned variants of a train clip")
    parser.add_argument("--steps", nargs="+", default=list(STEPS), help="in the order of the build; default: all")
    parser.add_argument("--json", type=Path, help="where to write the rows as JSON as well")
    chosen = parser.parse_args()
    sizes = sorted(chosen.sizes)
    found: dict[int, dict[str, Cost]] = {}
    for size in (BASE, *sizes):
        with tempfile.TemporaryDirectory() as scratch:
            found[size] = build(Path(scratch) / "build", size, chosen.donors, chosen.steps)
            found[size] |= dvc(Path(scratch) / "dvc", size)
    rows = table(sizes, found)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")
    print(markdown(rows))


if __name__ == "__main__":
    main()
