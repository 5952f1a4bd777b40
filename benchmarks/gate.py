"""The gate `package` over more and more rows: peak memory and CPU time, and what each grows by per row.

Run with `python benchmarks/gate.py`. The dataset is written by the stage's own code: 60 classes, and an irrelevant text
of 10,000 words in every fifteenth row. The clips are placeholders whose packets are not read, which takes longer than
all else, and the memory of one clip. The rival is the same gate with all rows in one frame, as it is
simplest to write. Each run is a process of its own; rows of both take turns. The base is a run over 15 rows.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
ROWS = (1_000, 4_000, 16_000)
WAYS = ("in parts", "one frame")
CLASSES = [f"Sounding object no. {number}" for number in range(60)]
PER_CLIP = 15  # rows
PER_SHARD = 1_000  # rows; what clips of 0.5 MB give, by the default size of a shard
HASH = "0123456789abcdef" * 4
BOUND = 8_000  # bytes per row, most of it noise of the allocators; one frame takes about 28,000


def write_dataset(folder: Path, rows: int) -> None:
    """A dataset of `rows` sound rows, and the tables that it is made from."""
    from mma_bench import layout
    from mma_bench.builders.dataset.columns import packaged_row
    from mma_bench.builders.dataset.shards import write_shard
    from mma_bench.files import file_sha256
    from mma_bench.irrelevant_text import irrelevant_text
    from mma_bench.schema import ALIGNED, VARIANTS
    from mma_bench.tables import from_rows, write_table

    os.chdir(folder)
    hashes = {f"{kind}_sha256": HASH for kind in ("video", "audio")}
    text = irrelevant_text(7, 10_000)
    bases, variants = [], []
    for number in range(rows // PER_CLIP + 1):
        name = CLASSES[number % len(CLASSES)]
        base: dict[str, Any] = {
            **{"clip_id": f"{number:011d}_30000", "split": "train", "class_name": name, "video_id": f"{number:011d}"},
            **{
                "start_s": 30.0,
                "end_s": 40.0,
                "label_ids": ["/m/0abcd"],
                "human_verified": False,
                "judge": "specialist",
            },
            **{"source": "https://www.youtube.com/watch?v=" + f"{number:011d}", "licence": "its uploader's terms"},
            **hashes,
        }
        bases.append(base)
        for place in range(PER_CLIP):
            condition = "long_context" if place == 0 else "aligned"
            made = {"id": f"{base['clip_id']}.{place:02d}", "base_id": base["clip_id"], "condition": condition}
            context = {"context_seed": 7, "context": text} if place == 0 else {}
            classes = {"visual_class": name, "audio_class": name, "status": "ok", "reason": "", "detail": ""}
            variants.append({**base, **made, **context, **classes})
    variants = variants[:rows]
    write_table(from_rows(bases, ALIGNED), layout.ALIGNED, ALIGNED, ["split", "clip_id"])
    write_table(from_rows(variants, VARIANTS), layout.VARIANTS, VARIANTS, ["id"])
    splits: dict[str, Any] = {}
    options = sorted({base["class_name"] for base in bases})
    for condition in ("aligned", "long_context"):
        found = [row for row in variants if row["condition"] == condition]
        for number, start in enumerate(range(0, len(found), PER_SHARD)):
            path = layout.PACKAGE / "data" / condition / f"train-{number:05}.parquet"
            shard = (dict.fromkeys(VARIANTS) | row for row in found[start : start + PER_SHARD])
            write_shard(path, (packaged_row(row, options, b"clip") for row in shard))
        splits[condition] = {"split": "train", "path": f"data/{condition}/train-*.parquet", "num_examples": len(found)}
    head = {
        "configs": [
            {"config_name": name, "data_files": [{"split": split["split"], "path": split["path"]}]}
            for name, split in splits.items()
        ],
        "dataset_info": [
            {"config_name": name, "splits": [{"name": split["split"], "num_examples": split["num_examples"]}]}
            for name, split in splits.items()
        ],
    }
    (layout.PACKAGE / "README.md").write_text(f"---\n{json.dumps(head)}\n---\n")  # JSON is YAML
    files = sorted(path for path in layout.PACKAGE.rglob("*") if path.is_file())
    sums = "".join(f"{file_sha256(path)}  {path.relative_to(layout.PACKAGE)}\n" for path in files)
    (layout.PACKAGE / "checksums.sha256").write_text(sums)


def check(way: str) -> None:
    """Check the dataset in the current folder and print the CPU seconds and the peak memory in bytes."""
    import polars as pl

    from mma_bench.config import load_params
    from mma_bench.media import packets
    from mma_bench.validation import evaluate, package
    from mma_bench.validation.inputs import Inputs

    packets.packet_sha256 = lambda *_: HASH
    # In this process, since workers would neither be counted nor know of the hash.
    params = load_params(PROJECT / "params.yaml").model_copy(update={"workers": 1})
    promises = package.promises(params)
    begin = time.process_time()
    frames = dict(package.frames(Inputs(), params))
    if way == "one frame":
        evaluate.PART = sys.maxsize
        frames["rows"] = pl.concat(frames["rows"])
    outcomes = evaluate.evaluate(promises, frames)
    seconds = time.process_time() - begin
    broken = {outcome.promise.name for outcome in outcomes if not outcome.passed}
    if broken - {"config_has_rows"}:  # not every condition is there
        raise SystemExit(f"broken promises: {broken}")
    # Not `ru_maxrss`, which a process takes over from the one that started it.
    peak_kb = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak_kb is not None
    print(json.dumps({"s": seconds, "bytes": 1024 * int(peak_kb[1])}))


def measure(folder: Path, way: str) -> dict[str, float]:
    """CPU seconds (`s`) and peak memory (`bytes`) of the gate in a process of its own."""
    command = [sys.executable, str(Path(__file__).absolute()), way]
    environment = {**os.environ, "GX_ANALYTICS_ENABLED": "false", "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def main() -> None:
    """Print bytes and microseconds per row of both ways; exits with an error if ours grows by more than the bound."""
    with tempfile.TemporaryDirectory() as scratch:
        found: dict[int, dict[str, dict[str, float]]] = {}
        for rows in (PER_CLIP, *ROWS):
            folder = Path(scratch) / str(rows)
            folder.mkdir()
            write_dataset(folder, rows)
            found[rows] = {way: measure(folder, way) for way in WAYS}
    print(f"{'rows':>8}" + "".join(f"{way:>14}: MB  bytes/row  µs/row" for way in WAYS))
    for rows in ROWS:
        line = f"{rows:8,}"
        for way in WAYS:
            more = {key: found[rows][way][key] - found[PER_CLIP][way][key] for key in ("s", "bytes")}
            line += (
                f"{found[rows][way]['bytes'] / 1e6:18.0f} {more['bytes'] / rows:10.0f} {more['s'] / rows * 1e6:7.0f}"
            )
        print(line)
    last = [(found[ROWS[-1]][way]["bytes"] - found[ROWS[-2]][way]["bytes"]) / (ROWS[-1] - ROWS[-2]) for way in WAYS]
    print(f"from {ROWS[-2]:,} to {ROWS[-1]:,} rows, bytes per row: {last[0]:.0f} (at most {BOUND}) and {last[1]:.0f}")
    if last[0] > BOUND:
        raise SystemExit("the gate's memory grows with the rows")


if __name__ == "__main__":
    check(sys.argv[1]) if len(sys.argv) > 1 else main()
