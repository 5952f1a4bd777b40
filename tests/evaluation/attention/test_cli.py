"""The command as a person types it: real clips, a tiny checkpoint, interruptions and mistakes."""

import gc
import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest
import torch
from click.testing import CliRunner, Result

from mma_bench.commands import ReportingGroup
from mma_bench.evaluation.attention.cli import COMMANDS
from mma_bench.evaluation.attention.run import Study, drawn
from mma_bench.evaluation.attention.schema import ATTENTION
from mma_bench.executor.ledger import Ledger
from mma_bench.models import open_engine
from tests.browser import CHROMIUM, faults
from tests.evaluation.packaged import hashes, packaged_row, write
from tests.mma_bench.models.omni.omni_plain import checkpoint, clip

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BASES = ("a", "b", "c", "d", "e")
STEPS = 3
TABLES = ("attention.parquet", "tokens.parquet", "knockout.parquet", "answers.parquet", "donors.parquet")


@click.group(cls=ReportingGroup)
def main() -> None:
    """Stands in for the whole command line."""


for command in COMMANDS:
    main.add_command(command)


def row(number: int, condition: str) -> dict[str, Any]:
    classes = {"visual": "Cat", "audio": "Bird" if condition == "misaligned" else "Cat"}
    made = packaged_row(BASES[number], condition)
    if condition == "misaligned":
        made["donor_id"] = BASES[number - 1]
    made |= {"video": {"bytes": clip(number), "path": None}, **hashes(clip(number))}
    for question, name in classes.items():
        made[f"{question}_class"] = made[f"{question}_answer"] = name
    return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("mma_bench.evaluation.protocols._SHORT_ANSWER_TOKENS", STEPS)
    monkeypatch.chdir(tmp_path)
    rows = {name: [row(number, name) for number in range(len(BASES))] for name in ("aligned", "misaligned")}
    write(tmp_path / "mma-bench", **rows)
    settings = {"checkpoint": str(checkpoint()), "max_pixels": 56 * 56, "device_map": "cpu"}
    Path("tiny.yaml").write_text(
        json.dumps({"name": "tiny", "engine": "transformers", "needs": "nothing", "settings": settings})
    )
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["attend", *arguments])


def ask(out: str, *more: str, clips: int = 2) -> Result:
    return run("--model", "tiny.yaml", "--clips", str(clips), "--ranges", "1", "--out", out, *more)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A LoRA adapter with random weights."""
    peft = pytest.importorskip("peft")
    import transformers

    base = transformers.Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(checkpoint())
    modules = r".*language_model\.layers\.\d+\.self_attn\.(q|v)_proj"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = peft.LoraConfig(r=4, target_modules=modules, init_lora_weights=False)
        peft.get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.slow
def test_tables_figures_and_page_before_and_after_an_adapter(project: Path, adapter: Path) -> None:
    result = ask("run", "--conditions", "aligned,misaligned", "--adapter", str(adapter), clips=5)
    assert result.exit_code == 0, result.output
    assert "page: run/attention.html\nnext: mma-bench evaluate --model " in result.output
    assert "misaligned" in result.output
    table = pl.read_parquet("run/attention.parquet")
    assert table.columns == list(ATTENTION)
    cells = table.select("state", "condition", "question", "layer", "head", "group").unique()
    assert cells.height == 2 * 2 * 2 * 3 * 4 * 3
    sums = table.group_by("state", "clip", "question", "step", "layer", "head").agg(pl.col("mass").sum())
    assert sums["mass"].to_list() == pytest.approx([1.0] * sums.height, abs=1e-5)
    before, after = (table.filter(state=state)["mass"].mean() for state in ("before", "after"))
    assert before != after
    answers = pl.read_parquet("run/answers.parquet")
    assert answers.height == 2 * 2 * 2 * len(BASES)
    steps = table.group_by("state", "clip", "question").agg(pl.col("step").n_unique())
    assert steps["step"].unique().to_list() == [STEPS]  # random weights do not end an answer
    tokens = pl.read_parquet("run/tokens.parquet")
    assert tokens["base"].n_unique() == 1
    rows = tokens.group_by("state", "clip", "question", "step").agg(pl.col("weight").sum())
    assert rows["weight"].to_list() == pytest.approx([1.0] * rows.height, abs=1e-5)
    losses = pl.read_parquet("run/knockout.parquet")
    assert set(losses.filter(condition="misaligned")["target"]) == {"answer", "expected", "other"}
    assert set(losses.filter(condition="aligned")["target"]) == {"answer", "expected"}

    summary = json.loads(Path("run/summary.json").read_text())
    assert {(row["state"], row["group"]) for row in summary["by_layer"]} == {
        (state, group) for state in ("before", "after") for group in ("video", "audio")
    }
    assert all(row["d"] is not None for row in summary["by_layer"])
    assert {row["verdict"] for row in summary["agreement"]} <= {
        *("agree", "opposite", "attention only", "cause only", "neither")
    }
    differences = pl.read_csv("run/differences.csv")
    assert differences.rows(named=True) == summary["differences"]
    assert set(differences["contrast"]) == {"conflict", "tuning", "conflict_by_tuning"}
    assert set(differences["clips"]) == {5}
    page = Path("run/attention.html").read_text()
    assert "after − before, of misaligned − aligned" in page
    for said in ("81.29", "56.29", "layer 17 of 28", "layer 22 of 28", "d 0.6", "d 1.6", "arxiv.org/abs/2304.14767"):
        assert said in page
    assert "parameters in 3 layers" in page
    assert "at chance level" in page
    assert "<script" not in page
    assert page.count("<svg") >= 12
    if CHROMIUM is not None:
        assert faults(project / "run/attention.html") == []


@pytest.mark.slow
def test_one_model_at_a_time_is_in_memory(project: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[weakref.ref[Any]] = []
    alive: list[int] = []

    def opening(*arguments: Any, **named: Any) -> Any:
        gc.collect()
        alive.append(sum(thinker() is not None for thinker in opened))
        engine: Any = open_engine(*arguments, **named)
        opened.append(weakref.ref(engine._reader._thinker))
        return engine

    monkeypatch.setattr("mma_bench.models.open_engine", opening)
    result = ask("run", "--conditions", "aligned", "--adapter", str(adapter), clips=1)
    assert result.exit_code == 0, result.output
    assert alive == [0, 0]


@pytest.mark.slow
def test_a_run_that_is_stopped_ends_as_one_that_is_not(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("whole").exit_code == 0
    append = Ledger.append

    def stop_at(count: int) -> Callable[[Ledger, dict[str, Any]], None]:
        left = iter(range(count))

        def appends(self: Ledger, entry: dict[str, Any]) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            append(self, entry)

        return appends

    monkeypatch.setattr(Ledger, "append", stop_at(2))  # the third clip's tables are there, its line is not
    assert ask("cut").exit_code == 130
    assert len(Path("cut/clips.jsonl").read_text().splitlines()) == 2
    assert not Path("cut/attention.parquet").exists()
    monkeypatch.setattr(Ledger, "append", append)
    assert ask("cut").exit_code == 0
    for name in (*TABLES, "summary.json", "differences.csv", "attention.html", "run.json", "clips.jsonl"):
        assert Path("cut", name).read_bytes() == Path("whole", name).read_bytes(), name

    monkeypatch.setattr("mma_bench.models.omni.engine.OmniEngine.prepare", None)  # nothing is left to ask
    assert ask("cut").exit_code == 0
    assert Path("cut/clips.jsonl").read_bytes() == Path("whole/clips.jsonl").read_bytes()


KILLED = """
import os, signal
from mma_bench.executor.ledger import Ledger
from mma_bench.evaluation.attention.cli import attend
append = Ledger.append
def once(self, entry):
    append(self, entry)
    os.kill(os.getpid(), signal.SIGKILL)
Ledger.append = once
attend(["--model", "tiny.yaml", "--clips", "2", "--ranges", "1", "--out", "killed"])
"""


@pytest.mark.slow
def test_a_run_that_is_killed_repeats_no_finished_clip(project: Path) -> None:
    environment = {**os.environ, "HF_DATASETS_CACHE": str(project / "cache"), "OMP_NUM_THREADS": "1"}
    died = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    (first,) = Path("killed/clips.jsonl").read_text().splitlines()
    assert ask("killed").exit_code == 0
    lines = Path("killed/clips.jsonl").read_text().splitlines()
    assert lines[0] == first
    assert len({json.loads(line)["key"] for line in lines}) == len(lines) == 4


def test_more_clips_of_one_seed_hold_the_fewer() -> None:
    bases = {"aligned": {f"clip{i}" for i in range(50)}, "misaligned": {f"clip{i}" for i in range(10, 60)}}
    few, many, other = (drawn(bases, Study((), clips, seed)) for clips, seed in ((5, 0), (20, 0), (20, 1)))
    assert many[:5] == few
    assert set(many) <= bases["aligned"] & bases["misaligned"]
    assert set(many) != set(other)


@pytest.mark.slow
def test_a_clip_that_cannot_be_read_is_counted_and_tried_again(project: Path) -> None:
    rows = {name: [row(number, name) for number in range(3)] for name in ("aligned", "misaligned")}
    rows["misaligned"][1]["video"]["bytes"] = b"no media"
    write(project / "mma-bench", **rows)
    refused = ask("refused", clips=3)
    assert refused.exit_code == 1
    assert "b.misaligned is not the clip that its row describes" in refused.output
    result = ask("run", "--unchecked", clips=3)
    assert result.exit_code == 0, result.output
    answers = pl.read_parquet("run/answers.parquet")
    failed = answers.filter(status="failed")
    assert answers.height == 12
    assert failed["clip"].to_list() == ["b.misaligned"] * 2
    assert all(failed["error"])
    assert "2 of 12 questions failed" in Path("run/attention.html").read_text()
    assert ask("run", "--unchecked", clips=3).exit_code == 0
    assert Path("run/clips.jsonl").read_text().count('"failed"') == 2


MISTAKES = {
    "another engine": (["--model", "random"], 2, "does not expose attention"),
    "no such model": (["--model", "nobody"], 2, "there is no model"),
    "no such condition": (["--conditions", "aligned,asleep"], 2, "no condition 'asleep'"),
    "no condition": (["--conditions", ","], 2, "names no condition"),
    "no such adapter": (["--adapter", "."], 1, "no adapter_config.json"),
    "no such dataset": (["--dataset", "nowhere"], 2, "'nowhere' is not a directory"),
    "stray word": (["stray"], 2, "unexpected extra argument"),
    "stray word later": (["--conditions", "aligned", "--seed", "0", "stray"], 2, "unexpected extra argument"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named_and_leave_nothing_behind(project: Path, mistake: str) -> None:
    arguments, code, words = MISTAKES[mistake]
    result = run("--model", "tiny.yaml", "--out", "out", *arguments)
    assert result.exit_code == code
    assert words in result.output
    assert "Traceback" not in result.output
    assert not Path("out").exists()


def test_an_empty_dataset_and_ids_that_are_no_names_are_refused(project: Path) -> None:
    write(project / "mma-bench", aligned=[row(0, "aligned")], misaligned=[row(1, "misaligned")])
    result = ask("out")
    assert result.exit_code == 1
    assert "no base clip exists in all of: aligned, misaligned" in result.output
    wicked = {**row(0, "aligned"), "id": "../../aligned"}
    write(project / "mma-bench", aligned=[wicked], misaligned=[row(0, "misaligned")])
    result = ask("out")
    assert result.exit_code == 1
    assert "id is not a valid file name" in result.output


@pytest.mark.slow
def test_a_folder_of_another_run_is_refused(project: Path) -> None:
    assert ask("out", clips=1).exit_code == 0
    result = ask("out", "--set", "fps=1.0", clips=1)
    assert result.exit_code == 2
    assert "holds another run: settings" in result.output
