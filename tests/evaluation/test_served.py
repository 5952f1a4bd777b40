"""The command against a local server: what identifies a run, what is recorded, and how it ends."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from mma_bench.cli import main
from tests.evaluation.packaged import BASES, packaged_row, write
from tests.mma_bench.models.servers import Reply, Request, Server, serving

SECRET = "hunter2-of-the-gateway"  # noqa: S105 - of no account
PROMPTS = 2 * len(BASES)  # of one condition
NO_RETRY = "max_retries=0"


@pytest.fixture(autouse=True)
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "mma-bench", aligned=[packaged_row(base, "aligned") for base in BASES])


def completion(text: str = "Cat", prompt_tokens: int = 30) -> dict[str, Any]:
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 1, "total_tokens": prompt_tokens + 1},
    }


def parts(request: Request) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = request.body["messages"][0]["content"]
    return content


def hearing(request: Request) -> Reply:
    """A server that counts the tokens of all media."""
    return Reply(completion(prompt_tokens=10 * len(parts(request))))


def command(server: Server, *arguments: str, query: str = "", what: str = "infer", **settings: Any) -> Result:
    Path("m.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "mine",
                "engine": "openai",
                "needs": "a server",
                "settings": {"model": "m", "api_key_env": None, "max_retries": 0, **settings},
            }
        )
    )
    url = f"{server.url}/v1{query}"
    words = [what, "--model", "m.yaml", "--out", "run", "--set", f"base_url={url}", *arguments]
    return CliRunner().invoke(main, words)


def predictions() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("run/predictions.jsonl").read_text().splitlines()]


def run_json() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(Path("run/run.json").read_text())
    return read


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 400])
def test_a_key_in_the_query_is_sent_and_is_in_no_file_or_message(status: int) -> None:
    def echo(request: Request) -> Reply:
        if status != 200:
            return Reply({"error": {"message": f"no {request.path} for {SECRET}"}}, status)
        return hearing(request)

    with serving(echo) as server:
        done = command(server, query=f"?subscription={SECRET}", what="evaluate")
        assert server.requests
        assert all(f"subscription={SECRET}" in request.path for request in server.requests)
        assert all(request.path.startswith("/v1/chat/completions?") for request in server.requests)
    assert SECRET not in done.output
    files = [path for path in Path("run").rglob("*") if path.is_file()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    if status == 200:
        assert run_json()["operation"]["base_url"] == f"{server.url}/v1?***"


def test_a_spent_budget_is_raised_and_the_same_run_goes_on_elsewhere() -> None:
    with serving(hearing) as server:
        first = command(server, max_requests=2, timeout_s=50.0)
    assert first.exit_code == 1
    assert "raise max_requests and run the same command again" in first.output
    assert len(predictions()) == 2
    with serving(hearing) as other:
        second = command(other, "--batch", "2", max_requests=100, timeout_s=60.0, concurrency=3, max_failures=5)
    assert second.exit_code == 0, second.output
    assert [line["status"] for line in predictions()] == ["ok"] * PROMPTS
    assert {line["key"] for line in predictions()} == {line["key"] for line in predictions()[:2]} | {
        line["key"] for line in predictions()[2:]
    }
    run = run_json()
    assert run["operation"]["base_url"] == f"{other.url}/v1"
    assert (run["operation"]["max_requests"], run["operation"]["timeout_s"]) == (100, 60.0)
    assert not run["settings"].keys() & run["operation"].keys()


def test_what_changes_answers_is_another_run() -> None:
    with serving(hearing) as server:
        assert command(server).exit_code == 0
        other = command(server, sound="in_video")
    assert other.exit_code == 2
    assert "holds another run: settings was" in other.output


def test_the_folder_of_an_earlier_release_goes_on() -> None:
    with serving(hearing) as server:
        assert command(server, max_requests=100).exit_code == 0
        run = run_json()
        run["settings"] |= run.pop("operation")
        run.pop("probe", None)
        Path("run/run.json").write_text(json.dumps(run))
        lines = Path("run/predictions.jsonl").read_text().splitlines(keepends=True)
        Path("run/predictions.jsonl").write_text("".join(lines[:3]))
        done = command(server, max_requests=200)
    assert done.exit_code == 0, done.output
    assert len(predictions()) == PROMPTS


@pytest.mark.parametrize("batch", [(), ("--batch", "2")])
def test_as_many_requests_are_in_flight_as_the_server_may_get_whatever_the_batch(batch: tuple[str, ...]) -> None:
    together = threading.Barrier(PROMPTS // 2)

    def when_all_are_there(request: Request) -> Reply:
        together.wait(timeout=60)
        return hearing(request)

    with serving(when_all_are_there) as server:
        done = command(server, *batch, concurrency=PROMPTS // 2)
    assert done.exit_code == 0, done.output
    assert server.most_at_once == PROMPTS // 2
    assert [line["status"] for line in predictions()] == ["ok"] * PROMPTS


def test_the_batch_is_the_command_line_s_else_the_model_file_s_else_one(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []
    monkeypatch.setattr("mma_bench.evaluation.infer.ask_all", lambda *_, batch, **__: batches.append(batch))
    for file, line in (("", ()), ("batch: 8\n", ()), ("batch: 8\n", ("--batch", "2"))):
        Path("m.yaml").write_text(f"name: mine\nengine: random\nneeds: nothing\n{file}")
        assert CliRunner().invoke(main, ["infer", "--model", "m.yaml", "--out", "run", *line]).exit_code == 0
    assert batches == [1, 8, 2]


@pytest.mark.slow
def test_a_slow_answer_holds_up_no_other() -> None:
    first, rest = threading.Lock(), threading.Event()
    answered = []

    def slow(request: Request) -> Reply:
        if first.acquire(blocking=False):
            rest.wait(timeout=60)
        else:
            answered.append(request)
            if len(answered) == PROMPTS - 1:
                rest.set()
        return hearing(request)

    with serving(slow) as server:
        done = command(server, concurrency=2)
    assert done.exit_code == 0, done.output
    assert len(predictions()) == PROMPTS
    assert rest.is_set()
