"""A project whose clips come from a `bad_site`: its parameters, its candidates, and runs of the stage."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mma_bench import layout
from mma_bench.schema import CANDIDATES
from mma_bench.tables import from_rows, write_table
from tests.clips import make

ROOT = Path(__file__).parents[3]
START_S, END_S = 2.0, 3.0


def small_video(path: Path) -> bytes:
    """Four seconds of 64×48 pixels with a key frame every second, a few tens of kilobytes."""
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=4")
    sound = ("-f", "lavfi", "-i", "sine=frequency=440:duration=4:sample_rate=16000")
    codecs = ("-c:v", "libx264", "-preset", "veryfast", "-g", "10", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac")
    return make(path, *picture, *sound, *codecs, "-movflags", "+faststart").read_bytes()


def site_settings(address: str, **changes: Any) -> dict[str, Any]:
    """Limits for a site on the loopback that no slow machine exceeds."""
    return {
        **{"url": address, "extractors": ["generic"], "min_height": 48, "interval_s": 0.0, "jitter": 0.5},
        **{"bytes_per_s": None, "block_after": 1000, "pause_s": 7200.0, "attempts": 2, "backoff_s": 0.01},
        **{"retry_budget_s": 3600.0, "timeout_s": 600.0, "min_bytes_per_s": 0.0},
        **changes,
    }


def video_ids(counts: Mapping[str, int]) -> list[str]:
    """Ids of 11 characters that begin with their fault; the letters after it spread them over the list."""
    return [f"{fault}{number:04d}aaaa" for fault, count in counts.items() for number in range(count)]


def write_project(root: Path, address: str, ids: Sequence[str], workers: int = 2, **changes: Any) -> Path:
    """Write parameters, an empty list of tombstones and the candidates."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["workers"] = workers
    params["acquire"] |= {"source": "youtube", "splits": {"test": ["eval"]}, "max_bytes": 10_000_000}
    params["acquire"]["youtube"] = site_settings(address, **changes)
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (root / "tombstones.csv").write_text("id,reason,date\n", encoding="utf-8")
    rows = [
        {"subset": "eval", "clip_id": f"{video_id}_2000", "video_id": video_id, "start_s": START_S, "end_s": END_S}
        | {"label_ids": ["/m/01yrx"], "class_name": "Cat"}
        for video_id in ids
    ]
    write_table(from_rows(rows, CANDIDATES), root / layout.CANDIDATES, CANDIDATES, ["clip_id"])
    return root


def command(root: Path) -> list[str]:
    """The stage's command line."""
    return [sys.executable, "-m", "mma_bench.cli", "--root", str(root), "build", "acquire"]


def build(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the stage to its end."""
    import os

    return subprocess.run(command(root), capture_output=True, text=True, check=False, env={**os.environ, **environment})


def attempts(root: Path) -> list[dict[str, Any]]:
    """The ledger's whole lines."""
    path = root / layout.ledger("acquire")
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def outcomes(root: Path) -> Counter[tuple[str, str]]:
    """How many clips ended last with which status and reason."""
    latest = {entry["key"]: (entry["status"], entry["reason"]) for entry in attempts(root)}
    return Counter(latest.values())
