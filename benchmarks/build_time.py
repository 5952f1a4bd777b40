"""How long the build takes: what a clip costs on this machine, and what that makes of 3,518, 22,160 and 182,970 clips.

Run with `python benchmarks/build_time.py --cores 64 --rate 1`. Each stage works on a few clips of 10 s in this process;
what is counted are CPU seconds, its own and of the programs that it starts, so that other work on the machine does not
enter. The model: a stage takes clips × CPU seconds ÷ cores, acquisition at least clips ÷ rate, and one stage follows
the other. It knows nothing of slow disks and networks, and it takes every clip as good, which is the upper bound: the
judge drops most. Starting the workers is left out.

The counts are the candidates of AudioSet's evaluation part, all segments of its balanced part, and the candidates of
its unbalanced part. A test clip has three variants with media of their own, a train clip ten.
"""

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mma_bench import layout
from mma_bench.builders.acquire import acquire_clip
from mma_bench.builders.conflicts import make_variant
from mma_bench.builders.judge import judge_clip
from mma_bench.builders.judges import open_judge
from mma_bench.builders.normalise import normalise_clip
from mma_bench.builders.sources.contracts import Segment
from mma_bench.builders.sources.folder import FolderSource
from mma_bench.config import load_params
from mma_bench.files import file_sha256
from mma_bench.schema import Condition, Split

COUNTS = ((3_518, Split.TEST, 3), (22_160, Split.TRAIN, 10), (182_970, Split.TRAIN, 10))
ROUNDS = 3
PARAMS = load_params(Path(__file__).parents[1] / "params.yaml")


def cpu_s(work: Callable[[], Any]) -> float:
    """Median CPU seconds of a call, after one that warms up."""

    def spent() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    work()
    times = []
    for _ in range(ROUNDS):
        begin = spent()
        work()
        times.append(spent() - begin)
    return statistics.median(times)


def measured() -> dict[str, dict[Split, float]]:
    """CPU seconds per clip by stage and split; of `conflicts` per variant. Works in the current folder."""
    sys.path.insert(0, str(Path(__file__).parents[1]))  # the clips are the tests'
    from tests.clips import AAC, H264, make, picture, tone

    for name, hz in (("base_______", 300), ("donor______", 500)):
        make(Path("clips") / f"{name}_0_10.mp4", *picture(10, "640x360", "30"), *tone(10, hz), *H264, *AAC)
    source = FolderSource(Path("clips"), max_bytes=PARAMS.acquire.max_bytes)
    judge = open_judge(PARAMS.judge)
    costs: dict[str, dict[Split, float]] = {"acquire": {}, "normalise": {}, "judge": {}, "conflicts": {}}
    for split in Split:
        made: list[dict[str, Any]] = []
        for video_id in ("base_______", "donor______"):
            request = source.request(Segment(f"{video_id}_0", video_id, 0.0, 10.0))
            payload = {"request": request, "split": split, "clip_id": f"{video_id}_0"}

            def get(payload: dict[str, Any] = payload) -> dict[str, Any]:
                return acquire_clip(payload, PARAMS.acquire.max_bytes)

            clip = {"clip_id": f"{video_id}_0", "split": split, "path": get()["path"]}

            def shape(clip: dict[str, Any] = clip) -> dict[str, Any]:
                return normalise_clip(PARAMS.normalise, clip)

            made.append(shape())
        asked = {"class_name": "Clock", "path": made[0]["path"], "duration_s": made[0]["duration_s"]}
        variant = {"id": "variant", "condition": Condition.MISALIGNED, "folder": str(layout.VARIANT_CLIPS)}
        for role, row in zip(("base", "donor"), made, strict=True):
            sha256 = file_sha256(Path(row["path"]))
            variant[role] = {"clip_id": role, "path": row["path"], "sha256": sha256, "found": sha256}
        costs["acquire"][split] = cpu_s(get)
        costs["normalise"][split] = cpu_s(shape)
        costs["judge"][split] = cpu_s(lambda asked=asked: judge_clip(judge, PARAMS.judge.frames, asked))  # type: ignore[misc]
        payload = variant | {"slack_s": PARAMS.pair.slack_s}
        costs["conflicts"][split] = cpu_s(lambda payload=payload: make_variant(payload))  # type: ignore[misc]
    return costs


def hours(clips: int, cost_s: float, cores: int, rate: float | None = None) -> float:
    """Hours of one stage: `cost_s` CPU seconds per clip on `cores`, and no more than `rate` clips a second."""
    return max(clips * cost_s / cores, clips / rate if rate else 0.0) / 3600


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, nargs="+", default=[2, 16, 128], help="cores of all machines together")
    parser.add_argument("--rate", type=float, nargs="+", default=[0.2, 1, 10], help="clips per second from the source")
    parser.add_argument("--judge-s", type=float, help="seconds of a GPU per clip, in the place of the measured judge")
    parser.add_argument("--gpus", type=int, default=1, help="with --judge-s")
    chosen = parser.parse_args()
    begin = time.monotonic()
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        costs = measured()
        os.chdir(home)
    print(f"CPU seconds per clip of 10 s, 640×360, on this machine (measured in {time.monotonic() - begin:.0f} s):")
    for stage, by_split in costs.items():
        print(f"  {stage:9}" + "".join(f"  {split} {cost:6.3f}" for split, cost in by_split.items()))
    print(f"\n{'clips':>8} {'cores':>6} {'clips/s':>8} | hours: acquire normalise   judge conflicts |    all")
    for clips, split, variants in COUNTS:
        for cores in chosen.cores:
            for rate in chosen.rate:
                cost = {stage: by_split[split] for stage, by_split in costs.items()}
                judge = (cost["judge"], cores) if chosen.judge_s is None else (chosen.judge_s, chosen.gpus)
                parts = [
                    hours(clips, cost["acquire"], cores, rate),
                    hours(clips, cost["normalise"], cores),
                    hours(clips, *judge),
                    hours(clips * variants, cost["conflicts"], cores),
                ]
                print(
                    f"{clips:8,} {cores:6} {rate:8g} |       "
                    + " ".join(f"{part:{width}.1f}" for part, width in zip(parts, (8, 9, 7, 9), strict=True))
                    + f" | {sum(parts):6.1f}"
                )


if __name__ == "__main__":
    main()
