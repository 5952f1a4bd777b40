"""Acquisition: how much of the time is FFmpeg's own work, and what the books of 200,000 clips cost.

Run with `python benchmarks/acquire.py`. A server on the loopback plays the video site. The first figure compares
acquire + normalise, from the request to the measured clip, with FFmpeg's bare work in them: the same section cut out
of the same file and encoded to the same shape by the same command line, with nothing asked, checked, hashed or
measured. Both use one core and take turns, so that a busy machine slows both. Times are CPU seconds of this process
and of the programs that it starts; the server's thread is in ours.

The second figure opens a ledger of 200,000 finished clips and decides that none is due, as a build does before its
first clip; runs the stage to its end; and asks for the status. Each is done in a process of its own, whose CPU seconds
and peak memory are read. The third is the CPU time for a clip that the source does not have.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mma_bench.builders.acquire import acquire_clip
from mma_bench.builders.normalise import normalise_clip, shape_of
from mma_bench.builders.sources.contracts import Segment
from mma_bench.builders.sources.youtube import YouTubeSource
from mma_bench.config import NormaliseParams, YouTubeParams
from mma_bench.media import facts
from mma_bench.media.encode import command
from mma_bench.media.probe import probe
from mma_bench.media.timeline import timeline
from mma_bench.schema import Split

ROUNDS, ROWS = 3, 200_000
TARGET, START_UP_S, RUN_S, STATUS_S, MEMORY_MB = 0.9, 2.0, 6.0, 1.0, 300
MISSING_ROWS = (1_000, 5_000)
START_S, END_S = 31.5, 41.5
SETTINGS = NormaliseParams(
    clip_s=10.0,
    min_test_s=1.0,
    train_size=504,
    min_rms_dbfs=-60.0,
    max_gap_s=1.0,
    max_frozen_s=5.0,
    max_pixels=33_177_600,
    max_source_s=3600.0,
)


def cpu_s() -> float:
    """CPU seconds of this process and of its ended children."""
    spent = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        spent += usage.ru_utime + usage.ru_stime
    return spent


def write_video(path: Path) -> Path:
    """60 s of 640×360 at 30 frames/s with a key frame every 5 s, about 0.6 Mbit/s, and AAC stereo."""
    picture = "testsrc2=size=640x360:rate=30:duration=60,noise=alls=6:allf=t"
    tone = "sine=frequency=440:sample_rate=44100:duration=60"
    codecs = ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "600k", "-g", "150", "-pix_fmt", "yuv420p"]
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone]
    sound = ["-c:a", "aac", "-ac", "2", "-movflags", "+faststart"]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *inputs, *codecs, *sound, str(path)], check=True)
    return path


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    begin = cpu_s()
    work()
    return cpu_s() - begin


def measure_clips(video: Path) -> None:
    """Print CPU seconds per clip of ours and of bare FFmpeg, and the median of the rounds' ratios."""
    from tests.builders.sources.bad_site import bad_site

    with bad_site(video.read_bytes()) as site:
        limits = YouTubeParams(
            url=site.address, extractors=["generic"], min_height=360, interval_s=0, jitter=0.0, bytes_per_s=None,
            block_after=5, pause_s=1.0, attempts=1, backoff_s=0, retry_budget_s=1.0, timeout_s=10.0, min_bytes_per_s=0,
        )  # fmt: skip
        source = YouTubeSource(limits, max_bytes=500_000_000)

        def ours(turn: int, split: Split) -> Path:
            video_id = f"goo{split:.4}{turn:04d}"[:11].ljust(11, "x")
            clip_id = f"{video_id}_31500"
            request = source.request(Segment(clip_id, video_id, START_S, END_S))
            payload = {"request": request, "split": split, "clip_id": clip_id}
            facts._DECODED.clear()  # every turn writes the same clip, whose picture would not be decoded again
            got = acquire_clip(payload, max_bytes=500_000_000)
            normalise_clip(SETTINGS, {"clip_id": clip_id, "split": split, "path": got["path"]})
            return Path(got["path"])

        def bare(cut: Path, split: Split, sample: Path) -> None:
            arguments = ["-ss", str(START_S), "-i", str(video), "-t", str(END_S - START_S), "-c", "copy", str(cut)]
            subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments], check=True)
            header, times = probe(sample), timeline(sample, SETTINGS.clip_s)
            subprocess.run(
                command(sample, cut.with_name("out.mp4"), shape_of(split, header, times, SETTINGS)), check=True
            )

        for split in Split:
            sample = ours(9999, split)  # warms up too
            pairs = []
            for turn in range(ROUNDS):
                own = timed(lambda turn=turn, split=split: ours(turn, split))  # type: ignore[misc]
                pairs.append((own, timed(lambda split=split, sample=sample: bare(Path("cut.mp4"), split, sample))))  # type: ignore[misc]
            own, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(rival / own for own, rival in pairs)
            print(f"  {split:6} ours {own:6.3f}   bare FFmpeg {theirs:6.3f}   ratio {ratio:.2f} (at least {TARGET})")


BOOKS = """
import resource, sys, time
from pathlib import Path
from mma_bench.executor import due_tasks
from mma_bench.executor.task import Task
from mma_bench.executor.ledger import Ledger
payload = {}
tasks = [Task(f"{number:011d}_30000", "f" * 64, payload) for number in range(int(sys.argv[1]))]
begin = time.process_time()
with Ledger(Path("ledger.jsonl")) as ledger:
    assert due_tasks(ledger, tasks) == []
print(time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
RUN = """
import resource, sys, time
from pathlib import Path
from mma_bench.executor import run
from mma_bench.executor.task import Task
payload = {}
tasks = [Task(f"{number:011d}_30000", "f" * 64, payload) for number in range(int(sys.argv[1]))]
begin = time.process_time()
entries = run(tasks, print, Path("ledger.jsonl"), workers=1, title="run")
assert all(entry["status"] == "ok" for entry in entries)
print(time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
MISSING = """
import resource, sys
from functools import partial
from pathlib import Path
from mma_bench.builders.acquire import acquire_clip
from mma_bench.builders.sources.contracts import Refusal
from mma_bench.errors import Permanent
from mma_bench.executor import run
from mma_bench.executor.task import Task
if __name__ == "__main__":
    at_once = sys.argv[2] == "at once"
    payload = {"request": Refusal(Permanent("not_in_folder", "no file")), "split": "train"}
    keys = [f"{number:011d}_30000" for number in range(int(sys.argv[1]))]
    tasks = [Task(key, "f" * 64, payload | {"clip_id": key}, at_once) for key in keys]
    run(tasks, partial(acquire_clip, max_bytes=1), Path(f"{at_once}.jsonl"), workers=1, title="missing")
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(sum(usage.ru_utime + usage.ru_stime for usage in spent))
"""
STATUS = """
import resource, sys, time
from pathlib import Path
import polars as pl
from mma_bench.builders.sources.status import read_attempts, status_of
wanted = pl.Series([f"{number:011d}_30000" for number in range(int(sys.argv[1]))])
begin = time.process_time()
status = status_of(read_attempts(Path("ledger.jsonl")), wanted)
assert status.settled == len(wanted)
print(time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write_books() -> None:
    """A ledger of clips that are all done; they share 1,000 empty files."""
    Path("clips").mkdir()
    for number in range(1000):
        Path(f"clips/{number}.mp4").touch()
    with Path("ledger.jsonl").open("w", encoding="utf-8") as ledger:
        for number in range(ROWS):
            key, path = f"{number:011d}_30000", f"clips/{number % 1000}.mp4"
            stamp = [0, Path(path).stat().st_mtime_ns]
            result = {
                "path": path, "sha256": "0" * 64, "bytes": 0, "source": "YouTube",
                "licence": "video: its uploader's terms on YouTube; labels: CC BY 4.0 (AudioSet)",
                "origin": f"https://www.youtube.com/watch?v={number:011d}", "note": "",
            }  # fmt: skip
            entry = {"key": key, "fingerprint": "f" * 64, "status": "ok", "reason": "", "detail": "", "result": result}
            at = f"2026-11-{1 + number % 28:02d}T{number % 24:02d}:00:00.000+00:00"
            ledger.write(json.dumps(entry | {"at": at, "stamp": stamp}) + "\n")


def measure_books() -> None:
    """Print the times and the memory of a start, and of the status."""
    write_books()
    for name, code, target in (("start-up", BOOKS, START_UP_S), ("run", RUN, RUN_S), ("status", STATUS, STATUS_S)):
        runs = []
        for _ in range(3):
            answer = subprocess.run(
                [sys.executable, "-c", code, str(ROWS)], capture_output=True, text=True, check=True
            ).stdout.split()
            runs.append((float(answer[0]), float(answer[1])))
        seconds, memory = min(runs)
        print(f"  {name:9} {seconds:5.2f} s (target: at most {target})   {memory:4.0f} MB (target: under {MEMORY_MB})")


def measure_missing() -> None:
    """Print the CPU time per clip that the source does not have, in the main process and through a worker."""
    Path("missing.py").write_text(MISSING)
    each = {}
    for way in ("at once", "by a worker"):
        spent = [
            float(
                subprocess.run([sys.executable, "missing.py", str(rows), way], capture_output=True, check=True).stdout
            )
            for rows in MISSING_ROWS
        ]
        each[way] = (spent[1] - spent[0]) / (MISSING_ROWS[1] - MISSING_ROWS[0]) * 1e6
    ours, theirs = each["at once"], each["by a worker"]
    print(f"  missing clip: {ours:.0f} µs, by a worker {theirs:.0f} µs, ratio {theirs / ours:.0f} (at least 10)")


def main() -> None:
    """Print all figures."""
    sys.path.insert(0, str(Path(__file__).parents[1]))  # the site is the tests'
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        video = write_video(Path(folder) / "video.mp4")
        print("acquire + normalise of a 10 s section, CPU seconds per clip")
        measure_clips(video)
        print(f"the books of {ROWS:,} clips")
        measure_books()
        measure_missing()
        os.chdir("/")
    print(f"({time.perf_counter() - begin:.0f} s)")


if __name__ == "__main__":
    main()
