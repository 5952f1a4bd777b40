"""The pages' commands of each extra work with the packages of that extra alone, from the wheel.

No test here runs with an extra that its page does not name, so each fails where a command needs a package of another.
`dev` is these tests themselves.
"""

import json
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from mma_bench import extras
from mma_bench.files import write_json
from tests import hub
from tests.checkout import ROOT
from tests.e2e.environment import COMMAND, Environment, closure, make
from tests.evaluation.packaged import BASES, packaged_row, write
from tests.mma_bench.models.servers import Reply, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Environment:
    """The environment of the extras of the test's mark."""
    mark = request.node.get_closest_marker("parametrize")
    assert mark is not None
    return make(tmp_path, sorted(closure(*request.node.callspec.params["extra"].split(","))))


def only(extra: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("extra", [extra])


def with_dataset(project: Environment) -> None:
    rows = {name: [packaged_row(base, name) for base in BASES] for name in ("aligned", "misaligned")}
    write(project.project / "mma-bench", **rows)


@only("specialist")
def test_the_model_specialist(project: Environment, extra: str) -> None:
    with_dataset(project)
    project.mma_bench("evaluate --model specialist --out results/specialist")
    assert (project.project / "results/specialist/report.html").is_file()


@only("gemini")
def test_gemini(project: Environment, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_dataset(project)
    monkeypatch.setenv("GEMINI_API_KEY", "none")
    candidate = {"content": {"role": "model", "parts": [{"text": "Cat"}]}, "finishReason": "STOP"}
    with serving(Reply(body={"candidates": [candidate], "modelVersion": "m-001"})) as server:
        project.mma_bench(f"evaluate --model gemini-2.5-pro --set base_url={server.url} --out results/gemini")
    assert (project.project / "results/gemini/report.html").is_file()


@only("avhbench")
def test_the_captions_of_avhbench(project: Environment, extra: str) -> None:
    row = {"video_id": "00191", "task": "AV Captioning", "text": "Describe it.", "label": "A man snores."}
    (project.project / "QA.json").write_text(json.dumps([row]))
    (project.project / "clips").mkdir()
    (project.project / "clips/00191.mp4").write_bytes(packaged_row("a", "aligned")["video"]["bytes"])
    choice = {"message": {"role": "assistant", "content": "A man snores"}, "finish_reason": "stop", "index": 0}
    reply = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    with serving(Reply(body=reply)) as server:
        model = f"--model openai-server --set model=m --set base_url={server.url}/v1"
        project.mma_bench(f"avhbench --annotations QA.json --videos clips/ {model} --out results/avhbench")
    assert "meteor" in (project.project / "results/avhbench/avhbench_scores.json").read_text()


@only("publish")
def test_a_dataset_is_published(project: Environment, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.builders.publish import project as finished

    monkeypatch.chdir(project.project)
    finished.make(project.project)
    project.mma_bench("publish diff mma-bench mma-bench")
    with hub.serving("hf_noToken") as there:
        project.more = {"HF_ENDPOINT": there.url, "HF_HUB_OFFLINE": "0"}
        project.mma_bench("publish dataset --repo ORG/mma-bench --version 1.0.0 --dry-run")


@only("review")
def test_clips_are_reviewed(project: Environment, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.builders.conftest import small_build

    small_build(project.project)
    shutil.copy(ROOT / "params.yaml", project.project)
    command = [str(project.python), "-c", COMMAND, "review", "serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=project.project, env=project.variables(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = next((line.strip() for line in process.stdout if line.startswith("http://")), None)
        assert url is not None, "the server ended before it served"
        with urllib.request.urlopen(f"{url.split()[0].rstrip('/')}/login") as page:  # noqa: S310
            assert b"password" in page.read()
    finally:
        process.terminate()
        process.communicate()
    project.mma_bench("review status")
    exported = project.run("-m", "mma_bench.cli", "review", "export")
    assert "holds no vote" in exported.stderr


@pytest.fixture
def tiny(project: Environment) -> str:
    """A checkpoint of random weights, and a configuration that names it."""
    from tests.mma_bench.models.omni.omni_plain import checkpoint

    settings = {"checkpoint": str(checkpoint()), "max_pixels": 56 * 56, "device_map": "cpu"}
    config = {"name": "tiny", "engine": "transformers", "needs": "nothing", "settings": settings}
    write_json(project.project / "tiny.yaml", config)
    return str(checkpoint())


@only("local")
def test_a_checkpoint_is_evaluated_and_looked_into(project: Environment, extra: str, tiny: str) -> None:
    with_dataset(project)
    project.mma_bench("evaluate --model tiny.yaml --conditions misaligned --limit 1 --out results/tiny")
    project.mma_bench("attend --model tiny.yaml --clips 1 --ranges 1 --conditions aligned --out results/attention")
    assert (project.project / "results/attention/attention.html").is_file()


@only("train")
def test_an_adapter_is_trained_and_checked(project: Environment, extra: str, tiny: str) -> None:
    from tests.training import small

    small.write(project.project)
    settings = f"--set checkpoint={tiny} --set max_steps=4 --set every=4 --set learning_rate=0.05"
    project.mma_bench(f"train --config tiny --sft sft --dataset dataset --out results/tuned {settings}")
    project.mma_bench(f"adapter check results/tuned/adapter --base {tiny} --device-map cpu")


@only("docs")
def test_the_site_is_made(project: Environment, extra: str) -> None:
    shutil.copytree(project.project.parent / "source", project.project, dirs_exist_ok=True)
    done = project.run("-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", "site")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_extra_is_tried_alone() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    tried = {extra for extra in extras.EXTRAS if f'@only("{extra}")' in here}
    if 'closure("build")' in Path(__file__).with_name("test_build.py").read_text(encoding="utf-8"):
        tried.add("build")
    assert set(extras.EXTRAS) - tried == {"dev", "ray"}  # a build on Ray takes `build` too: tests/mma_bench/executor
