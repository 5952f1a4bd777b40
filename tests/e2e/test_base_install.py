"""What the pages promise without an extra works with the packages of constraints-base.txt alone, from the wheel.

The environment is made without a network: it has the installed files of exactly these packages.
"""

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import pytest

from tests.checkout import ROOT, copy_checkout
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


class Base:
    """An environment with the base alone, and a project's folder with a dataset in it."""

    def __init__(self, python: Path, project: Path) -> None:
        self.python, self.project = python, project

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"HF_HOME": str(self.project / "home"), "HF_HUB_OFFLINE": "1"}
        return subprocess.run(
            [str(self.python), *words], cwd=self.project, env=environment, capture_output=True, text=True, check=False
        )

    def mma_bench(self, command: str) -> str:
        """The output of a command that must succeed."""
        done = self.run("-m", "mma_bench.cli", *command.split())
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    folder = tmp_path_factory.mktemp("base")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv/bin/python"
    scheme = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    packages = Path(sysconfig.get_path("purelib", "venv", scheme))
    for entry in locked():
        for top in tops(entry):
            (packages / top.name).symlink_to(top)
    source = copy_checkout(folder / "source")
    code = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    built = subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True, text=True)
    with zipfile.ZipFile(source / built.stdout.split()[-1]) as wheel:
        wheel.extractall(packages)
    project = folder / "project"
    write(
        project / "mma-bench",
        **{name: [packaged_row(base, name) for base in BASES] for name in ("aligned", "misaligned")},
    )
    return Base(python, project)


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


def tops(name: str) -> set[Path]:
    """The files and folders of a distribution, at the top of site-packages."""
    found = distribution(name)
    parts = {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}
    return {Path(str(found.locate_file(part))) for part in parts}


def test_every_help_is_shown(base: Base) -> None:
    done = base.run("-c", HELP)
    assert done.returncode == 0, done.stderr


def test_the_doctor_says_what_can_be_done(base: Base) -> None:
    printed = base.mma_bench("doctor")
    assert "you can: evaluate through a server, score and report\n" in printed
    assert "you cannot: train, because train is missing: pip install 'mma-bench[train]'" in printed


def test_a_server_is_evaluated_and_compared(base: Base) -> None:
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
    base.mma_bench("compare results/random results/server --out pairs")
    assert (base.project / "results/server/report.html").is_file()
    assert (base.project / "results/leaderboard.html").is_file()
    assert "openai-server" in base.mma_bench("models")
    assert base.mma_bench("tasks-path lmms-eval").strip()


def test_a_row_is_loaded_and_its_clip_decoded(base: Base) -> None:
    done = base.run("-c", ROWS)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", NEED_MORE)
def test_other_jobs_name_their_extra(base: Base, command: str) -> None:
    done = base.run("-m", "mma_bench.cli", *command.split())
    assert done.returncode == 2, done.stderr
    assert f"needs `pip install 'mma-bench[{NEED_MORE[command]}]'`" in done.stderr
    assert "Traceback" not in done.stderr
