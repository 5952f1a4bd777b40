"""Ray: how much faster two workers are than one on work that only computes.

Run with `python benchmarks/ray_executor.py`. A Ray of two cores on this machine re-encodes clips to the form of train
clips, the stage `normalise`, with one worker and with two, in turns, after one run of each that warms up. The start of
Ray is not counted, that of the pipeline is. On a machine that is busy with other work, two workers also get a larger
share of it than one: trust the ratio of a quiet machine.
"""

import logging
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from mma_bench.builders.normalise import normalise_clip
from mma_bench.config import NormaliseParams, RayParams
from mma_bench.executor import run
from mma_bench.executor.task import Task

CLIPS, SECONDS, ROUNDS, TARGET = 20, 4.0, 2, 1.6
SETTINGS = NormaliseParams(
    clip_s=SECONDS,
    min_test_s=1.0,
    train_size=504,
    min_rms_dbfs=-60.0,
    max_gap_s=1.0,
    max_frozen_s=5.0,
    max_pixels=33_177_600,
    max_source_s=3600.0,
)
HERE = RayParams(address=None, judge_cpus=1.0, judge_gpus=0.0)


def seconds(source: Path, workers: int, turn: int) -> float:
    """Wall time of a run over all clips."""
    tasks = [
        Task(f"clip{n}", f"turn {turn}", {"clip_id": f"clip{n}", "split": "train", "path": str(source)})
        for n in range(CLIPS)
    ]
    begin = time.monotonic()
    ledger = Path(f"ledger-{workers}.jsonl")
    run(tasks, partial(normalise_clip, SETTINGS), ledger, workers=workers, title=f"{workers} workers", ray=HERE)
    return time.monotonic() - begin


def main() -> None:
    """Print the median of the rounds' ratios."""
    sys.path.insert(0, str(Path(__file__).parents[1]))  # the clips are the tests'
    import ray

    from tests.clips import AAC, make, picture, tone

    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        source = make(Path(folder) / "source.mp4", *picture(SECONDS + 1, "640x360", "30"), *tone(SECONDS + 1), *AAC)
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        try:
            rounds = [(seconds(source, 1, turn), seconds(source, 2, turn)) for turn in range(ROUNDS + 1)][1:]
        finally:
            ray.shutdown()
            os.chdir("/")
    one, two = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(alone / both for alone, both in rounds)
    load = os.getloadavg()[0]
    print(f"{CLIPS} clips of {SECONDS:g} s: one worker {one:.1f} s, two workers {two:.1f} s (load {load:.1f})")
    print(f"two workers are {ratio:.2f}x as fast (target {TARGET})")
    raise SystemExit(ratio < TARGET)


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent anywhere
    main()
