"""A job that needs packages which are not installed says so in one sentence, and never with a traceback."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from mma_bench import extras
from mma_bench.cli import main
from mma_bench.errors import MmaBenchError

ROOT = Path(__file__).parents[2]
# A command → the extra without which it cannot work.
JOBS = {
    "build judge": "build",
    "validate aligned": "build",
    "candidates check m.csv": "build",
    "judge compare params.yaml --out reports/j": "build",
    "judge calibrate": "build",
    "publish rebuild . --out rebuilt": "build",
    "publish dataset --repo A/b --version 1.0.0": "publish",
    "publish adapter run --repo A/b --results results/x": "local",
    "review serve": "review",
    "review add-annotator somebody": "review",
    "review status": "review",
    "review export": "review",
    "review --task answer serve": "review",
    "review --task answer add-annotator somebody": "review",
    "review --task answer status": "review",
    "review --task answer export": "review",
    "attend --model qwen2.5-omni-7b --out results/x": "local",
    "adapter check run --base A/b": "local",
    "train --config tiny --out results/x": "train",
}
MODELS = {"qwen2.5-omni-7b": "local", "gemini-2.5-pro": "gemini", "specialist": "specialist"}


@pytest.fixture
def _nothing_but_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    base = {item.name for item in extras.requirements()}
    there = extras._installed
    monkeypatch.setattr(extras, "_installed", lambda name: there(name) if name in base else None)


@pytest.mark.usefixtures("_nothing_but_the_base")
@pytest.mark.parametrize("command", JOBS)
def test_a_job_names_its_extra(command: str) -> None:
    result = CliRunner().invoke(main, command.split())
    job = " ".join(command.replace("--task answer ", "").split()[:2])
    assert result.exit_code == 2, result.output
    assert f"`{job}` needs `pip install 'mma-bench[{JOBS[command]}]'`" in result.output or (
        f"`{job.split()[0]}` needs `pip install 'mma-bench[{JOBS[command]}]'`" in result.output
    )
    assert isinstance(result.exception, SystemExit)


@pytest.mark.usefixtures("_nothing_but_the_base")
@pytest.mark.parametrize("model", MODELS)
def test_a_model_names_its_extra(model: str) -> None:
    from mma_bench import open_engine

    with pytest.raises(MmaBenchError, match=rf"`{model}` needs `pip install 'mma-bench\[{MODELS[model]}\]'`"):
        open_engine(model)


@pytest.mark.parametrize(
    ("module", "extra"), [("sklearn.metrics", "build"), ("ray", "ray"), ("google.genai", "gemini")]
)
def test_a_module_that_is_missed_later_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    from mma_bench.evaluation import leaderboard

    def importing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(leaderboard, "main", importing)
    result = CliRunner().invoke(main, ["leaderboard", "results"])
    assert result.exit_code == 2, result.exception
    assert f"`leaderboard` needs `pip install 'mma-bench[{extra}]'`" in result.output


def test_a_module_of_no_extra_is_a_bug_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    from mma_bench.evaluation import leaderboard

    def importing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'mma_bench.gone'", name="mma_bench.gone")

    monkeypatch.setattr(leaderboard, "main", importing)
    assert isinstance(CliRunner().invoke(main, ["leaderboard", "results"]).exception, ModuleNotFoundError)


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras.EXTRAS) == set(project["optional-dependencies"])


def test_an_extra_includes_those_that_it_names() -> None:
    names = {item.name for item in extras.requirements("train")}
    assert {"dvclive", "transformers", "torch"} <= names
    assert not names & {item.name for item in extras.requirements()}, "the base is counted once"


HEAVY = ("torch", "transformers", "dvc", "great_expectations", "sklearn", "yt_dlp", "ray", "fastapi", "sqlalchemy")
LIGHT = {
    "the package": "import mma_bench",
    "the command line": "import mma_bench.cli",
    "all that a notebook uses": "import mma_bench; [getattr(mma_bench, name) for name in mma_bench.__all__]",
    "a server": """
import mma_bench.evaluation.infer
from mma_bench.models.openai import OpenaiEngine, OpenaiSettings
OpenaiEngine(OpenaiSettings(model="m", base_url="http://127.0.0.1:9", api_key_env=None)).close()
""",
    "reports": "from mma_bench.evaluation import leaderboard, report, score, side_by_side",
    "the doctor": "from mma_bench import doctor; doctor.check_base()",
    "the examples": "from mma_bench.training import llama_factory, sft",
}


@pytest.mark.parametrize("what", LIGHT)
def test_nothing_heavy_is_imported(what: str) -> None:
    code = f"import sys\n{LIGHT[what]}\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
