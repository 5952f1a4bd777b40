"""LLaMA-Factory itself on the export: it trains, evaluates and saves, and the adapter passes the checks here.

It needs an environment of its own (`pip install llamafactory`), whose Python is named by

    MMA_BENCH_LLAMA_FACTORY_PYTHON=/path/to/bin/python python -m pytest tests/training/test_llama_factory_itself.py
"""

import os
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner

from mma_bench import layout
from mma_bench.cli import main
from mma_bench.files import write_json
from mma_bench.schema import EXAMPLES
from mma_bench.tables import read_json, write_table
from mma_bench.training import llama_factory, sft
from mma_bench.training.miniature.checkpoint import make_checkpoint
from tests.clips import clip
from tests.training.test_llama_factory import PARAMS
from tests.training.train_split import clips_of, rows_of, write

PYTHON = "MMA_BENCH_LLAMA_FACTORY_PYTHON"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON not in os.environ, reason=f"{PYTHON} does not name LLaMA-Factory's environment"),
]


def test_the_export_trains_evaluates_and_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    rows = rows_of({"Bell": 2, "Cat": 2, "Dog": 2}, donors=2)
    write(tmp_path / "mma-bench", "train", rows, clip(tmp_path / "clip.mp4", 1, "32x32", "5").read_bytes())
    table, _ = sft.examples(clips_of(rows), PARAMS)
    write_table(table, layout.SFT / layout.SFT_EXAMPLES, EXAMPLES, sort_by=["example_id"])
    llama_factory.main(Path("out"))
    base = make_checkpoint(tmp_path / "base", layout="full")
    config = base / "config.json"
    # LLaMA-Factory builds the whole model, whose talker would have its published size here, and reads the voices.
    write_json(config, {**read_json(config), "enable_audio_output": False})
    torch.save({}, base / "spk_dict.pt")
    exported = Path("out", llama_factory.CONFIG)
    small = {
        "model_name_or_path": str(base),
        "fp16": False,
        "per_device_train_batch_size": 1,
        "max_steps": 2,
        "save_strategy": "steps",
        "save_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "video_max_pixels": 3136,
        "preprocessing_num_workers": 1,
    }
    exported.write_text(yaml.safe_dump({**yaml.safe_load(exported.read_text()), **small}))
    variables = {"PYTHONPATH": "", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "DISABLE_VERSION_CHECK": "1"}
    done = subprocess.run(
        [str(Path(os.environ[PYTHON]).with_name("llamafactory-cli")), "train", exported.name],
        cwd="out",
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    saved = Path("out", yaml.safe_load(exported.read_text())["output_dir"])
    assert "eval_loss" in read_json(saved / "all_results.json")
    assert (saved / "checkpoint-2").is_dir()
    checked = CliRunner().invoke(main, ["adapter", "check", str(saved), "--base", str(base), "--device-map", "cpu"])
    assert checked.exit_code == 0, checked.output
