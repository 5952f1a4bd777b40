"""What the pages promise without an extra works with the packages of constraints-base.txt alone, from the wheel.

The environment is made without a network: it has the installed files of exactly these packages.
"""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from typing import Final

import pytest
from packaging.utils import canonicalize_name

from tests.checkout import ROOT
from tests.e2e.environment import Environment, closure, make
from tests.evaluation.packaged import BASES, packaged_row, write
from tests.mma_bench.models.servers import Reply, serving

pytestmark = pytest.mark.slow

LOCK: Final = ROOT / "constraints-base.txt"
HELP: Final = """
import click
from click.testing import CliRunner
from mma_bench.cli import main

def leaves(command, words=()):
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from leaves(below, (*words, name))

for words in leaves(main):
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0, (words, result.output, result.exception)
"""
ROWS: Final = """
import io, av
from datasets import Video, load_dataset
clips = load_dataset("mma-bench", "aligned", split="test").cast_column("video", Video(decode=False))
with av.open(io.BytesIO(clips[0]["video"]["bytes"])) as container:
    assert next(container.decode(video=0)).to_ndarray(format="rgb24").ndim == 3
assert clips[0]["audio_answer"] == "Cat"
"""
NEED_MORE: Final = {
    "evaluate --model qwen2.5-omni-7b --out results/q": "local",
    "evaluate --model specialist --out results/s": "specialist",
    "evaluate --model gemini-2.5-pro --out results/g": "gemini",
    "attend --model qwen2.5-omni-7b --out results/a": "local",
    "train --config tiny --out results/t": "train",
    "adapter check run --base ORG/name": "local",
    "review serve": "review",
    "build judge": "build",
    "validate aligned": "build",
    "judge compare params.yaml": "build",
    "publish dataset --repo ORG/name --version 1.0.0": "publish",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The base alone, and a project's folder with a dataset in it."""
    made = make(tmp_path_factory.mktemp("base"), locked())
    write(
        made.project / "mma-bench",
        **{name: [packaged_row(base, name) for base in BASES] for name in ("aligned", "misaligned")},
    )
    return made


def locked() -> Iterator[str]:
    """The packages of the lock that this platform needs."""
    for line in LOCK.read_text().splitlines():
        if "==" in line:
            name = line.partition("==")[0]
            try:
                distribution(name)
            except PackageNotFoundError:
                assert ";" in line, f"{name} is not installed here"  # another platform's
            else:
                yield name


def test_the_base_requires_nothing_that_its_lock_lacks() -> None:
    assert closure() <= set(map(canonicalize_name, locked()))


def test_every_help_is_shown(base: Environment) -> None:
    done = base.run("-c", HELP)
    assert done.returncode == 0, done.stderr


def test_the_doctor_says_what_can_be_done(base: Environment) -> None:
    printed = base.mma_bench("doctor")
    assert "you can: evaluate through a server, score and report\n" in printed
    assert "you cannot: train, because train is missing: pip install 'mma-bench[train]'" in printed


def test_a_server_is_evaluated_and_compared(base: Environment) -> None:
    choice = {"message": {"role": "assistant", "content": "Cat"}, "finish_reason": "stop", "index": 0}
    reply = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    with serving(Reply(body=reply)) as server:
        base.mma_bench(
            f"evaluate --model openai-server --set model=m --set base_url={server.url}/v1 --out results/server"
        )
    base.mma_bench("evaluate --model random --out results/random")
    base.mma_bench("score results/server")
    base.mma_bench("results results/server --dataset mma-bench")
    base.mma_bench("leaderboard results")
    base.mma_bench("compare results/random results/server --out pairs.html")
    assert (base.project / "results/server/report.html").is_file()
    assert (base.project / "results/leaderboard.html").is_file()
    assert "openai-server" in base.mma_bench("models")
    assert base.mma_bench("tasks-path lmms-eval").strip()


def test_a_row_is_loaded_and_its_clip_decoded(base: Environment) -> None:
    done = base.run("-c", ROWS)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", NEED_MORE)
def test_other_jobs_name_their_extra(base: Environment, command: str) -> None:
    done = base.run("-m", "mma_bench.cli", *command.split())
    assert done.returncode == 2, done.stderr
    assert f"needs `pip install 'mma-bench[{NEED_MORE[command]}]'`" in done.stderr
    assert "Traceback" not in done.stderr
