"""The tasks in the harnesses themselves, each in an environment of its own; they are installed from PyPI.

    MMA_BENCH_HARNESS_TESTS=1 python -m pytest tests/evaluation/tasks/test_harnesses.py

The first run takes about two minutes for each; the environments lie in pytest's cache
folder and serve later runs. inspect-ai counts tokens with tiktoken, which downloads its vocabulary once; without a
network, set TIKTOKEN_CACHE_DIR to a folder that has o200k_base.
"""

import json
import os
import site
import subprocess
import venv
from pathlib import Path

import pytest
from click.testing import CliRunner

from mma_bench.evaluation.tasks.cli import tasks_path
from mma_bench.evaluation.tasks.questions import DATASET_VARIABLE
from mma_bench.schema import PAPERS_CONDITIONS, Condition
from tests.evaluation.tasks.built import rows, write

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("MMA_BENCH_HARNESS_TESTS") != "1", reason="MMA_BENCH_HARNESS_TESTS is not 1"),
]

# What is heard under each condition: a cat where the sound is another clip's, else the bird that is seen.
HEARD = {condition: "Cat" if condition == Condition.MISALIGNED else "Bird" for condition in PAPERS_CONDITIONS}

# Runs the task under each condition with a model that always says the same, and prints the metrics by condition.
INSPECT = """
import json, sys
from inspect_ai import eval
from inspect_ai.model import ModelOutput, get_model
spec, said, *conditions = sys.argv[1:]
found = {}
for condition in conditions:
    outputs = [ModelOutput.from_content("mockllm/model", said) for _ in range(2)]
    model = get_model("mockllm/model", custom_outputs=outputs)
    (log,) = eval(spec, model=model, task_args={"condition": condition}, display="none", log_images=False)
    assert log.status == "success", log.error
    found[condition] = {s.name: {n: m.value for n, m in s.metrics.items()} for s in log.results.scores}
    for sample in log.samples:
        video, text = sample.input[0].content
        assert (video.type, video.format, text.type) == ("video", "mp4", "text")
print("FOUND " + json.dumps(found))
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("built") / "mma-bench")


def _environment(requirement: str, config: pytest.Config) -> Path:
    """The folder of programs of an environment that has the requirement, and this one's packages below its own."""
    folder = config.cache.mkdir(requirement)
    done = folder / "installed"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        (own,) = folder.glob("lib/python*/site-packages")
        lines = [f"import site; site.addsitedir({packages!r})" for packages in site.getsitepackages()]
        (own / "below.pth").write_text("\n".join(lines) + "\n")
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", requirement], folder)
        done.touch()
    return folder / "bin"


def _run(command: list[str], folder: Path, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def _path(harness: str) -> str:
    return CliRunner().invoke(tasks_path, [harness]).output.strip()


@pytest.mark.parametrize("said", ["a bird", "who knows"])
def test_lmms_eval(said: str, dataset: Path, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    programs = _environment("lmms-eval==0.7.3", pytestconfig)
    arguments = ["--include_path", _path("lmms-eval"), "--tasks", "mma_bench", "--model", "dummy"]
    # The model reads and decodes each clip, with lmms-eval's own reader.
    model = f"response={said},read_bytes=1024,decode_num_frames=2"
    written = ["--batch_size", "1", "--output_path", "out", "--log_samples"]
    _run(
        [str(programs / "lmms-eval"), *arguments, "--model_args", model, *written],
        tmp_path,
        **{DATASET_VARIABLE: str(dataset), "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
    )
    (file,) = tmp_path.glob("out/**/*results.json")
    results = json.loads(file.read_text("utf-8"))["results"]
    for condition in PAPERS_CONDITIONS:
        found = results[f"mma_bench_{condition}"]
        for question, right in (("visual", "Bird"), ("audio", HEARD[condition])):
            parsed = said == "a bird"
            assert found[f"{question}_unparseable,none"] == (not parsed)
            assert found[f"{question}_accuracy,none"] == (parsed and right == "Bird")
    for log in tmp_path.glob("out/**/*.jsonl"):
        lines = log.read_text("utf-8").splitlines()
        assert len(lines) == 2
        assert "input_media" not in log.read_text("utf-8")


def test_lmms_evals_cache_has_no_answers_on_a_rebuilt_dataset(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    programs = _environment("lmms-eval==0.7.3", pytestconfig)
    folder = write(tmp_path / "mma-bench")
    arguments = ["--include_path", _path("lmms-eval"), "--tasks", "mma_bench_aligned", "--model", "dummy"]
    command = [str(programs / "lmms-eval"), *arguments, "--model_args", "response=a bird", "--use_cache", "cache"]
    variables = {DATASET_VARIABLE: str(folder), "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}

    def log() -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **variables}, capture_output=True, text=True, check=True
        )
        return done.stdout + done.stderr

    assert "0 hits, 2 misses" in log()
    assert "2 hits" in log()
    # The same classes, another clip.
    rows("aligned", 2).select([1]).to_parquet(folder / "data/aligned/test-00000-of-00001.parquet")
    assert "0 hits, 2 misses" in log()


@pytest.mark.parametrize("said", ["a bird", "who knows"])
def test_inspect_ai(said: str, dataset: Path, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    programs = _environment("inspect-ai==0.3.285", pytestconfig)
    (tmp_path / "run.py").write_text(INSPECT, encoding="utf-8")
    printed = _run(
        [str(programs / "python"), "run.py", _path("inspect-ai"), said, *Condition],
        tmp_path,
        **{DATASET_VARIABLE: str(dataset), "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
    )
    results = json.loads(printed.partition("FOUND ")[2])
    for condition in PAPERS_CONDITIONS:
        found = results[condition]
        for question, right in (("visual", "Bird"), ("audio", HEARD[condition])):
            parsed = said == "a bird"
            assert found[f"{question}_unparseable"]["mean"] == (not parsed)
            assert found[f"{question}_accuracy"]["accuracy"] == (parsed and right == "Bird")
