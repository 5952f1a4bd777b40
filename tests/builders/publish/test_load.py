"""The released versions as a user has them: `datasets` by tag, streaming, and both versions side by side."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.publish import project
from tests.builders.publish.conftest import TOKEN
from tests.hub import Hub as StandIn

pytestmark = pytest.mark.slow

LOAD = """
import json
from datasets import Audio, Video, get_dataset_config_names, load_dataset
seen = {"configs": get_dataset_config_names("org/mma", revision="1.0.0")}
for version in ("1.0.0", "1.0.1"):
    rows = load_dataset("org/mma", "misaligned", revision=version, split="test")
    raw = rows.cast_column("video", Video(decode=False))
    stream = load_dataset("org/mma", "misaligned", revision=version, split="test", streaming=True)
    assert [row["id"] for row in stream.cast_column("video", Video(decode=False))] == rows["id"][:]
    frames = next(iter(stream))["video"].get_frames_in_range(0, 5).data.shape[0]
    sound = rows.cast_column("video", Audio(sampling_rate=16000))[0]["video"].get_all_samples().data.shape[1]
    seen[version] = [rows["id"][:], [len(row["video"]["bytes"]) for row in raw], frames, sound]
seen["newest"] = load_dataset("org/mma", "misaligned", split="test")["id"][:]
index = load_dataset("org/index", "misaligned", revision="1.0.1", split="test")
seen["index"] = [index["id"][:], "video" in index.column_names]
from mma_bench.evaluation.dataset import Benchmark
benchmark = Benchmark("org/mma", revision="1.0.1")
seen["benchmark"] = [benchmark.conditions(), sum(1 for _ in benchmark.rows("aligned", ["id", "base_id"]))]
print(json.dumps(seen))
"""


def test_versions_load_by_their_tag(publish: Callable[..., None], hub: StandIn, root: Path) -> None:
    from mma_bench.builders.publish.dataset import publish as call
    from mma_bench.hub.client import Hub

    publish()
    project.renew(root, "1.0.1", without=["cat-test1_30000"])
    publish("1.0.1")
    call(Hub(TOKEN), Path("mma-bench"), "org/index", "1.0.1", set(), index_only=True)
    hub.requests.clear()

    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(root / "home"), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_DOWNLOAD_TIMEOUT": "600", "HF_HUB_ETAG_TIMEOUT": "600"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    elsewhere = root / "elsewhere"  # no folder mma-bench here that could be taken instead
    elsewhere.mkdir()
    done = subprocess.run([sys.executable, "-c", LOAD], env=environment, cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])

    assert seen["configs"][:2] == ["aligned", "misaligned"]
    assert len(seen["configs"]) == 6
    first, second = seen["1.0.0"], seen["1.0.1"]
    assert "cat-test1_30000.misaligned.cattle-test1_30000" in first[0]
    assert not [name for name in second[0] if "cat-test1" in name]
    assert (len(first[0]), len(second[0])) == (8, 7)
    assert min(first[1]) > 1000
    assert first[2] == 5
    assert first[3] >= 16000
    assert seen["newest"] == second[0]
    assert seen["index"] == [second[0], False]
    assert seen["benchmark"] == [seen["configs"], 7]
