"""Several processes: the same steps as one, told once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mma_bench.errors import ConfigError
from mma_bench.training.curve import read_curve
from mma_bench.training.train import _share
from tests.mma_bench.models.omni.omni_plain import checkpoint
from tests.training import small as making

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def launch(small: Path, out: Path, cache: Path, **settings: Any) -> str:
    root = Path(__file__).parents[2]
    # On GPUs `accelerate launch` starts processes by this module.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *(str(root / "tests/training/launched.py"), str(small), str(out)),
            json.dumps({"checkpoint": str(checkpoint()), **settings}),
        ],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "HF_DATASETS_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


@pytest.mark.slow
def test_two_processes_take_the_steps_that_one_takes(small: Path, tmp_path: Path) -> None:
    launch(small, tmp_path / "two", tmp_path / "cache", max_steps=3, every=3)
    making.run(small, tmp_path / "one", max_steps=3, every=3)
    two, one = (read_curve(tmp_path / name / "log.jsonl") for name in ("two", "one"))
    assert [row["step"] for row in two] == [row["step"] for row in one] == [1, 2, 3, 3]
    for key in ("loss", "grad_norm", "eval_loss"):
        assert [row[key] for row in two if key in row] == pytest.approx([r[key] for r in one if key in r], rel=1e-4)
    assert [row.get("eval_accuracy") for row in two] == [row.get("eval_accuracy") for row in one]
    facts = json.loads((tmp_path / "two" / "run.json").read_text())
    assert facts["hardware"]["processes"] == 2
    assert facts["examples_per_step"] == 4
    weights = [load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("two", "one")]
    # Adam divides by the gradient's size, so a weight whose gradient is all but zero may go either way.
    far = [float((weights[0][name] - weights[1][name]).abs().mean()) for name in weights[1]]
    assert max(far) < 1e-3 < float(torch.cat([w.flatten() for w in weights[1].values()]).abs().mean())


def test_processes_that_cannot_share_a_step_evenly_are_refused() -> None:
    assert _share(4, 2) == 2
    with pytest.raises(ConfigError, match="accumulation is 4, which 3 processes cannot share evenly"):
        _share(4, 3)
