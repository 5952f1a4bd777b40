"""`benchmarks/gpu.py` at tiny shapes: every part runs, and one that fails or takes too long leaves a row."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from benchmarks import gpu
from benchmarks.gpu_parts.models import _CLASSES, true_config
from mma_bench.training.miniature.checkpoint import Sizes, make_config
from mma_bench.training.miniature.tokenizer import Family, make_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("qwen2_5_omni", 7_615_616_512),  # Qwen2.5-7B's
        ("qwen3_omni", 30_532_122_624 + 2 * 128 * 2048),  # Qwen3-30B-A3B's, and 128 tokens more
    ],
)
def test_the_language_models_have_the_published_size(family: Family, parameters: int) -> None:
    config = true_config(family, make_config(family, Sizes(), make_tokenizer(family, 4096)))
    with torch.device("meta"):
        thinker: Any = getattr(transformers, _CLASSES[family])._from_config(config)
    parts = (thinker.model.language_model, thinker.lm_head)
    assert sum(tensor.numel() for part in parts for tensor in part.parameters()) == parameters


def sent(part: gpu.Part) -> list[dict[str, Any]]:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    gpu.work(part, True, sender)
    sender.close()
    rows = []
    while receiver.poll():
        try:
            rows.append(receiver.recv())
        except EOFError:
            break
    return rows


def test_an_error_is_a_row() -> None:
    assert [(row["measure"], row["note"]) for row in sent(gpu.Part("nothing", "qwen2_5_omni", 1))] == [
        ("failed", "ModuleNotFoundError: No module named 'benchmarks.gpu_parts.nothing'")
    ]


def test_missing_packages_are_named_before_anything_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "NEEDS", ("torch", "no-such-package"))
    with pytest.raises(SystemExit, match="missing: no-such-package"):
        gpu.main(["--small"])


def test_the_box_is_at_most_eight_minutes() -> None:
    assert sum(part.seconds for part in gpu.PARTS) <= gpu.BOX_S <= 480


@pytest.mark.slow
def test_a_part_that_takes_too_long_is_ended() -> None:
    rows = list(gpu.rows_of(gpu.Part("asking", "qwen2_5_omni", 1), True, 0.01))
    assert [(row["measure"], row["value"]) for row in rows] == [("out of time", None)]


@pytest.mark.slow
def test_every_part_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--small", "--seconds", "3600", "--out", str(tmp_path)])
    run = json.loads((tmp_path / "gpu.json").read_text())
    assert {row["part"] for row in run["rows"]} == {part.name for part in gpu.PARTS}
    wrong = [row for row in run["rows"] if row["measure"] in ("failed", "out of time", "not run")]
    assert not wrong
    # On the CPU only what is not there may be without a figure.
    bare = {row["measure"] for row in run["rows"] if row["value"] is None and row["note"] != "GPU only"}
    assert bare == {"cached towers", "evaluate: attention kernels", "plain generate, flash_attention_2"}
    assert "CPU, tiny shapes" in (tmp_path / "gpu.md").read_text()
    assert "| asking |" in capsys.readouterr().out
