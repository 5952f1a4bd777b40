"""Several processes, started by the real launcher: one file of predictions, the same as one process writes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mma_bench.errors import ConfigError
from mma_bench.evaluation.parts import Part, gather, part_of, parts_of
from mma_bench.evaluation.processes import Process, own_device, refuse_several, this_process
from mma_bench.executor.ledger import Ledger
from mma_bench.models import ModelConfig, load_config
from tests.evaluation.packaged import packaged_row, write

ROOT = Path(__file__).parents[2]
TINY = ["--set", "device_map=cpu", "--set", "min_pixels=3136", "--set", "max_pixels=3136", "--name", "tiny"]


def entry(key: str, status: str = "ok", **others: str) -> dict[str, str]:
    return {"key": key, "status": status, **others}


def append(path: Path, *entries: dict[str, str]) -> None:
    with Ledger(path) as ledger:
        ledger.append(*entries)


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_launchers_variables_say_which_process_this_is() -> None:
    assert this_process({}) == this_process({"LOCAL_RANK": "3"}) == Process()
    assert this_process({"RANK": "1", "WORLD_SIZE": "3", "LOCAL_RANK": "1"}) == Process(1, 3, 1)
    assert [Process(rank, 3).share(7) for rank in range(3)] == [3, 2, 2]
    for wrong in (
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "x", "WORLD_SIZE": "2"},
        {"RANK": "-1", "WORLD_SIZE": "2"},
    ):
        with pytest.raises(ConfigError, match="do not name one of several processes"):
            this_process(wrong)


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    config = ModelConfig(name="tiny", engine="transformers", needs="nothing")
    assert own_device(Process(1, 2, 1), config) == {}  # no GPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert own_device(Process(), config) == {}
    assert own_device(Process(1, 2, 1), config) == {"device_map": "cuda:1"}
    assert own_device(Process(1, 2, 1), config.model_copy(update={"settings": {"device_map": "cpu"}})) == {}
    with pytest.raises(ConfigError, match="process 2 has no GPU: there are 2"):
        own_device(Process(2, 3, 2), config)
    with pytest.raises(ConfigError, match="device_map is 'auto'"):
        own_device(Process(1, 2, 1), config.model_copy(update={"settings": {"device_map": "auto"}}))
    with pytest.raises(ConfigError, match="set `concurrency`"):
        own_device(Process(1, 2, 1), load_config("openai-server"))


def test_commands_that_share_nothing_refuse_a_second_process(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_several("attend")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="`mma-bench attend` runs in one process"):
        refuse_several("attend")


def test_parts_become_one_file_in_the_order_of_one_process(tmp_path: Path) -> None:
    whole = tmp_path / "predictions.jsonl"
    append(whole, entry("a"), entry("b", "failed"))
    append(part_of(whole, 1), entry("d"), entry("b"), entry("old"))
    append(part_of(whole, 0), entry("c", "failed", by="0"), entry("e"))
    part_of(whole, 10).write_text('{"key": "c", "status": "ok", "by": "10"}\n{"key": "f", "sta')
    assert list(parts_of(whole)) == [0, 1, 10]
    with Ledger(whole) as ledger:
        gather(ledger, [(number % 2, key) for number, key in enumerate("abcdef")])
    assert lines(whole)[2:] == [entry("b"), entry("c", by="10"), entry("d"), entry("e"), entry("old")]
    assert not parts_of(whole)


def test_what_a_killed_gathering_had_appended_is_not_appended_again(tmp_path: Path) -> None:
    whole = tmp_path / "predictions.jsonl"
    append(whole, entry("a"))
    append(part_of(whole, 0), entry("a"), entry("b"))
    with Ledger(whole) as ledger:
        gather(ledger, [(0, "a"), (0, "b")])
    assert lines(whole) == [entry("a"), entry("b")]


def test_a_part_knows_what_others_answered_and_asks_failures_again(tmp_path: Path) -> None:
    whole = tmp_path / "predictions.jsonl"
    append(whole, entry("a"), entry("b", "failed"))
    append(part_of(whole, 1), entry("c"), entry("b", "failed", by="1"))
    with Part(whole, 0) as part:
        found = [part.latest(key) for key in "abcd"]
        assert found == [entry("a"), entry("b", "failed", by="1"), entry("c"), None]
        part.append(entry("b"))
        assert part.latest("b") == entry("b")
    assert lines(part_of(whole, 0)) == [entry("b")]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint and a dataset of two clips under two conditions."""
    pytest.importorskip("torch")
    from tests.mma_bench.models.omni.omni_plain import checkpoint

    folder = tmp_path_factory.mktemp("processes")
    rows = {name: [packaged_row(base, name) for base in "ab"] for name in ("aligned", "misaligned")}
    write(folder / "mma-bench", **rows)
    shutil.copytree(checkpoint(), folder / "tiny")
    return folder


def start(bench: Path, *command: str, processes: int = 1) -> "subprocess.CompletedProcess[str]":
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, *launcher, *command],
        cwd=bench,
        env={**os.environ, **variables, "HF_DATASETS_CACHE": str(bench / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def evaluate(bench: Path, out: str, *, processes: int = 1) -> str:
    asked = ["evaluate", "--model", "tiny", *TINY, "--out", out]
    done = start(bench, "-m", "mma_bench.cli", *asked, processes=processes)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


FILES = ("predictions.jsonl", "run.json", "scores.json")


@pytest.fixture(scope="module")
def alone(bench: Path) -> dict[str, bytes]:
    evaluate(bench, "one")
    return {name: (bench / "one" / name).read_bytes() for name in FILES}


@pytest.mark.slow
def test_two_processes_write_what_one_writes(bench: Path, alone: dict[str, bytes]) -> None:
    printed = evaluate(bench, "two", processes=2)
    assert {name: (bench / "two" / name).read_bytes() for name in FILES} == alone
    assert not parts_of(bench / "two/predictions.jsonl")
    assert printed.count("next: ") == 1  # one process speaks


@pytest.mark.slow
def test_a_killed_process_is_noticed_and_one_process_resumes(bench: Path, alone: dict[str, bytes]) -> None:
    (bench / "killed.py").write_text(KILLED)
    out = bench / "killed"
    done = start(bench, "killed.py", "infer", "--model", "tiny", *TINY, "--out", "killed", processes=2)
    assert done.returncode != 0  # the launcher ended the first, which waited for the second
    assert not (out / "predictions.jsonl").read_bytes()
    kept = {rank: len(lines(path)) for rank, path in parts_of(out / "predictions.jsonl").items()}
    assert kept[1] == 2
    evaluate(bench, "killed")
    assert {name: (out / name).read_bytes() for name in FILES} == alone
    assert not parts_of(out / "predictions.jsonl")


# The second process kills itself after its first clip of two.
KILLED = """
import os, signal
from mma_bench.cli import main
from mma_bench.executor.ledger import Ledger

append = Ledger.append

def append_and_die(self, *entries):
    if os.environ["RANK"] == "1" and len(self._latest) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, *entries)

Ledger.append = append_and_die
main()
"""
