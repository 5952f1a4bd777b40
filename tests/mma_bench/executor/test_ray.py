"""On Ray: the same tables as on one machine; a worker or a machine that dies costs only what it had not finished."""

import json
import os
import shutil
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mma_bench import layout
from mma_bench.builders import acquire, conflicts, judge, normalise, package
from mma_bench.config import Params, RayParams, load_params
from mma_bench.errors import ConfigError, DataError, StageError
from mma_bench.executor import run
from mma_bench.executor.ledger import Entry
from mma_bench.executor.ray import WorkerContext, outcomes
from mma_bench.executor.results import results
from mma_bench.executor.task import Task
from mma_bench.schema import ALIGNED, CANDIDATES, NORMALISED, PAIRS, PAPERS_CONDITIONS, VARIANTS
from mma_bench.tables import from_rows, read_table, write_table
from mma_bench.validation.accounts import file_states
from mma_bench.validation.package_rows import read_shards
from tests.builders.publish import project
from tests.clips import AAC, H264, cut_off, make, picture, tone
from tests.faults.kill import snapshot
from tests.mma_bench.executor.test_local import calls, tasks_for, work
from tests.mma_bench.executor.test_results import parts
from tests.mma_bench.executor.test_results import work as of_a_part
from tests.waiting import wait_until

ray = pytest.importorskip("ray")

_ALL = load_params(Path(__file__).parents[3] / "params.yaml")
_OF_THE_PAPER = {**_ALL.conflicts.conditions, "test": list(PAPERS_CONDITIONS)}
PARAMS = _ALL.model_copy(update={"conflicts": _ALL.conflicts.model_copy(update={"conditions": _OF_THE_PAPER})})
HERE = RayParams(address=None, judge_cpus=1.0, judge_gpus=0.0)
NAMES = ("Bird", "Cat", "Dog", "Train")


def add_machine(cluster: Any, **arguments: Any) -> Any:
    """A machine of the cluster. Ray gives its own processes 15 s to start; a busy computer needs more than one try."""
    while True:
        try:
            return cluster.add_node(wait=False, object_store_memory=100 << 20, num_cpus=2, **arguments)
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of one machine with two cores that notices soon if another is gone, but not if it is slow."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    # Of a dead machine the connection is refused at once.
    patient = {"health_check_timeout_ms": 600_000, "worker_register_timeout_seconds": 600, "worker_niceness": 0}
    started = Cluster()
    add_machine(started, include_dashboard=False, _system_config=soon | patient)
    ray.init(address=started.address, log_to_driver=False)
    yield started
    ray.shutdown()
    started.shutdown()


def on_ray(tmp_path: Path, tasks: list[Task], function: Any = work, *, stateful: bool = False, workers: int = 2) -> Any:
    ledger = tmp_path / "ledger.jsonl"
    return run(tasks, function, ledger, workers=workers, title="test", ray=HERE, stateful=stateful)


def crash(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A clip's work that ends its process, always or the first time only."""
    with Path(payload["log"]).open("a") as log:
        log.write(payload["key"] + "\n")
    mark = Path(f"{payload['out']}.crashed")
    if payload["fate"] == "crash" or (payload["fate"] == "crash once" and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    if payload["fate"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"process": os.getpid(), "loads": count_loads()}


@cache
def _loaded() -> list[int]:
    return [0]


def count_loads() -> int:
    """How often this process has been asked: what a stateful worker keeps."""
    _loaded()[0] += 1
    return _loaded()[0]


@pytest.mark.slow
@pytest.mark.parametrize("stateful", [False, True], ids=["tasks", "actors"])
def test_a_worker_that_dies_costs_only_its_clip(cluster: Any, tmp_path: Path, stateful: bool) -> None:
    fates = ["ok", "ok", "crash", "ok", "crash once", "ok", "ok", "ok"]
    entries = on_ray(tmp_path, tasks_for(tmp_path, fates), crash, stateful=stateful)
    assert [entry["reason"] for entry in entries] == ["", "", "decoder_crashed", *[""] * 5]
    assert [entry["status"] for entry in entries] == ["ok", "ok", "refused", *["ok"] * 5]
    begun = Counter(calls(tmp_path))
    assert begun["clip4"] == 2
    assert all(begun[f"clip{i}"] == 1 for i in (0, 1, 3, 5, 6, 7)), begun
    assert len((tmp_path / "ledger.jsonl").read_text().splitlines()) == 8, "a line per clip"
    if stateful:
        assert max(entry["result"]["loads"] for entry in entries if entry["status"] == "ok") >= 2
    assert list(on_ray(tmp_path, tasks_for(tmp_path, fates), crash, stateful=stateful)) == list(entries)
    assert Counter(calls(tmp_path)) == begun, "the ledger had it all"
    assert not (tmp_path / "ledger.running").exists()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_no_verdict_on_its_clip(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="1 of 3 clips are not settled; first clip1: worker_killed"):
        on_ray(tmp_path, tasks_for(tmp_path, ["ok", "killed", "ok"]), crash)
    entries = on_ray(tmp_path, tasks_for(tmp_path, ["ok"] * 3), crash)
    assert [entry["status"] for entry in entries] == ["ok"] * 3


def held_but_three(payload: Mapping[str, Any]) -> dict[str, Any]:
    """`work`, which all clips but the first three begin when the run's stop file says stop."""
    stop_file = Path(payload["log"]).with_name("ledger.running")
    wait_until(lambda: payload["key"] in ("clip0", "clip1", "clip2") or stop_file.read_text().startswith("stop"))
    return work(payload)


@pytest.mark.slow
def test_a_block_ends_the_run_and_the_next_goes_on(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="stopped, bot_check: come back after noon"):
        on_ray(tmp_path, tasks_for(tmp_path, ["blocked", *["ok"] * 40]), held_but_three)
    before = len(calls(tmp_path))
    assert before < 30, "little is begun after a block"
    entries = on_ray(tmp_path, tasks_for(tmp_path, ["ok", *["refused"] * 2, *["ok"] * 38]))
    assert Counter(entry["status"] for entry in entries)["ok"] >= 39
    assert len(calls(tmp_path)) == 42, "every clip once, the blocked one twice"


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(cluster: Any, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    tasks = tasks_for(tmp_path, ["ok"] * 60)

    def interrupt() -> None:
        wait_until(lambda: ledger.exists() and ledger.read_text().count("\n") >= 3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        on_ray(tmp_path, tasks, held_but_three)
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    kept = [json.loads(line)["key"] for line in ledger.read_text().splitlines()]
    assert 3 <= len(kept) < 60
    on_ray(tmp_path, tasks)
    keys = [json.loads(line)["key"] for line in ledger.read_text().splitlines()]
    assert sorted(keys) == sorted(task.key for task in tasks), "each clip once"


def on_a_machine_that_dies(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A clip on the second machine ends the machine: the worker's parent is the machine's raylet."""
    machine = ray.get_runtime_context().get_node_id()
    if machine != payload["head"]:
        Path(payload["log"]).touch()
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(1)
    return {"machine": machine}


def occupied_until(log: Path) -> bool:
    """Runs on the first machine and leaves no room for clips there until one began on the second."""
    wait_until(log.exists)
    return True


@pytest.mark.slow
def test_a_machine_that_dies_costs_only_its_clips(cluster: Any, tmp_path: Path) -> None:
    log, head = tmp_path / "log", cluster.head_node.node_id
    there = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(head, soft=False)
    occupied = ray.remote(num_cpus=2, scheduling_strategy=there)(occupied_until).remote(log)
    second = add_machine(cluster)
    tasks = [Task(f"clip{i}", "f", {"head": head, "log": str(log)}) for i in range(30)]
    entries = on_ray(tmp_path, tasks, on_a_machine_that_dies, workers=4)
    assert ray.get(occupied), "the second machine was used"
    assert [entry["status"] for entry in entries] == ["ok"] * 30
    assert len((tmp_path / "ledger.jsonl").read_text().splitlines()) == 30
    cluster.remove_node(second, allow_graceful=False)


class Unimportable:
    """A function that no worker can receive."""

    def __reduce__(self) -> Any:
        return exec, ("raise ImportError('no such module')",)

    def __call__(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {}


@pytest.mark.slow
def test_workers_that_lack_the_package_blame_no_clip(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"workers cannot run .*no such module"):
        on_ray(tmp_path, tasks_for(tmp_path, ["ok"] * 2), Unimportable())
    assert (tmp_path / "ledger.jsonl").read_text() == ""


@pytest.mark.parametrize("said", [None, "another run"])
def test_a_machine_without_the_projects_folder_blocks(tmp_path: Path, said: str | None) -> None:
    stop_file = tmp_path / "test.running"
    if said is not None:
        stop_file.write_text(said)
    context = WorkerContext(work, tmp_path, stop_file, "this run")
    entry = context.attempt(tasks_for(tmp_path, ["ok"])[0])
    assert entry is not None
    assert (entry["status"], entry["reason"]) == ("blocked", "folder_not_shared")
    assert str(tmp_path) in entry["detail"]
    assert calls(tmp_path) == [], "nothing is written to a folder that may be another"


def test_a_run_that_was_stopped_begins_nothing(tmp_path: Path) -> None:
    stop_file = tmp_path / "test.running"
    stop_file.write_text("stop this run")
    assert WorkerContext(work, tmp_path, stop_file, "this run").attempt(tasks_for(tmp_path, ["ok"])[0]) is None
    assert calls(tmp_path) == []


def test_without_ray_the_mend_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mma_bench.extras.absent", lambda extra: [extra])
    with pytest.raises(ConfigError, match=r"pip install 'mma-bench\[ray\]'"):
        on_ray(tmp_path, tasks_for(tmp_path, ["ok"]))


@pytest.mark.slow
def test_results_come_in_order_and_an_error_as_it_was(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended: list[str] = []

    def backwards(waiting: deque[Task], *arguments: Any, **others: Any) -> Iterator[Entry]:
        waiting.reverse()
        for entry in outcomes(waiting, *arguments, **others):
            ended.append(entry["key"])
            yield entry

    # The order is turned here: no part may wait for another, since Ray decides how many run at a time, at least one.
    with monkeypatch.context() as turned:
        turned.setattr(sys.modules["mma_bench.executor.ray"], "outcomes", backwards)
        found = results(parts(tmp_path, "zyxw"), of_a_part, workers=2, title="test", ray=HERE)
        assert list(found) == [ord(name) for name in "zyxw"]
    assert sorted(ended) == list("wxyz")
    assert ended != list("zyxw")
    with pytest.raises(DataError, match=r"a: a.mp4 is not the file\n  hint: make it again"):
        list(results(parts(tmp_path, "abc", fate="table"), of_a_part, workers=2, title="test", ray=HERE))
    assert list(layout.LEDGERS.iterdir()) == []


@pytest.mark.slow
def test_the_package_and_its_gate_are_those_of_one_process(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project.make(tmp_path)
    here = load_params(tmp_path / layout.PARAMS)
    there: Params = here.model_copy(update={"executor": "ray", "workers": 2})
    before, facts = snapshot(tmp_path), pl.concat(read_shards(layout.PACKAGE, here))
    variants = read_table(layout.VARIANTS, VARIANTS)
    used: list[str] = []

    def seen(tasks: Any, *arguments: Any, **others: Any) -> Any:
        used.extend(task.key for task in tasks)
        return outcomes(tasks, *arguments, **others)

    monkeypatch.setattr(sys.modules["mma_bench.executor.ray"], "outcomes", seen)
    package.main(there)
    shards = sorted(path.relative_to(layout.PACKAGE).as_posix() for path in layout.PACKAGE.glob("data/*/*"))
    assert sorted(used) == shards
    assert snapshot(tmp_path) == before
    assert pl.concat(read_shards(layout.PACKAGE, there)).equals(facts)
    assert len(used) == 2 * len(shards)
    states = file_states(variants, "validate_variants", 2, there.on_ray())
    assert len(used) > 2 * len(shards)
    assert states.equals(file_states(variants, "validate_variants", 2))
    assert set(states) == {"as recorded"}
    clip = Path(variants.filter(condition="audio_removed").item(0, "path"))
    clip.write_bytes(b"?")
    with pytest.raises(DataError, match=rf"{clip} is not the file that the table describes\n  hint: run `dvc repro`"):
        package.main(there)
    assert snapshot(layout.PACKAGE) == {
        name.removeprefix("mma-bench/"): sha256 for name, sha256 in before.items() if name.startswith("mma-bench/")
    }


def small_project(root: Path) -> None:
    """Five clips of a folder, one of them broken and one absent, and what conflicts needs of four others."""
    clips, rows = root / "clips", []
    for number, name in enumerate((*NAMES, "Clock", "Absent")):
        video_id = f"{name:_<11}"
        if name != "Absent":
            codec = ("-c:v", "mpeg4") if number % 2 else H264
            path = make(
                clips / f"{video_id}_0_2.mp4", *picture(2, "320x240", "15"), *tone(2, 300 + number), *codec, *AAC
            )
        if name == "Clock":
            cut_off(path, path, 0.4)
        rows.append(
            {"subset": "eval", "clip_id": f"{video_id}_0", "video_id": video_id, "start_s": 0.0, "end_s": 2.0}
            | {"label_ids": [name], "class_name": name}
        )
    write_table(from_rows(rows, CANDIDATES), root / layout.CANDIDATES, CANDIDATES, ["clip_id"])
    shutil.copy("tombstones.csv", root)


def build(root: Path, executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """acquire, normalise, judge and conflicts; conflicts on all clips, whatever the judge said of them."""
    source = PARAMS.acquire.model_copy(update={"source": "folder", "folder": "clips", "splits": {"test": ["eval"]}})
    params: Params = PARAMS.model_copy(update={"acquire": source, "executor": executor})
    monkeypatch.chdir(root)
    for stage in (acquire, normalise, judge):
        stage.main(params)
    good = read_table(layout.NORMALISED, NORMALISED).filter(pl.col("status") == "ok")
    rows = [row | {"judge": "specialist", "human_verified": False} for row in good.iter_rows(named=True)]
    write_table(from_rows(rows, ALIGNED), layout.ALIGNED, ALIGNED, ["split", "clip_id"])
    ids = good["clip_id"].to_list()
    pairs = [
        {"split": "test", "base_id": base, "donor_id": donor, "rank": 0, "class_distance": 2}
        for base, donor in zip(ids, [*ids[1:], ids[0]], strict=True)
    ]
    write_table(from_rows(pairs, PAIRS), layout.PAIRS, PAIRS, ["base_id", "donor_id"])
    conflicts.main(params)


@pytest.mark.slow
def test_the_tables_and_clips_are_those_of_the_local_executor(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_project(tmp_path / "local")
    shutil.copytree(tmp_path / "local", tmp_path / "ray")
    used: list[bool] = []

    def seen(*arguments: Any, stateful: bool) -> Any:
        used.append(stateful)
        return outcomes(*arguments, stateful=stateful)

    monkeypatch.setattr(sys.modules["mma_bench.executor.ray"], "outcomes", seen)
    build(tmp_path / "local", "local", monkeypatch)
    assert used == []
    build(tmp_path / "ray", "ray", monkeypatch)
    assert used == [False, False, True, False], "the judge in actors, media in tasks"
    ours, theirs = snapshot(tmp_path / "ray"), snapshot(tmp_path / "local")
    assert sum(name.startswith("data/variants/") for name in ours) == 12, "4 good clips, 3 media variants of each"
    assert ours == theirs
