"""The command against a local server: what identifies a run, what is recorded, and how it ends."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from mma_bench.cli import main
from mma_bench.models import check as models_check
from tests.evaluation.packaged import BASES, packaged_row, write
from tests.mma_bench.models.omni import omni_plain
from tests.mma_bench.models.servers import Reply, Request, Server, serving

SECRET = "hunter2-of-the-gateway"  # noqa: S105 - of no account
PROMPTS = 2 * len(BASES)  # of one condition
BEFORE = 4  # requests before the run's own: a short prompt, and the probe's three


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
    assert "holds another run: settings.sound was" in other.output


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
        if len(server.requests) > BEFORE:
            together.wait(timeout=600)
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
        if len(server.requests) <= BEFORE:
            return hearing(request)
        if first.acquire(blocking=False):
            rest.wait(timeout=600)
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


def test_a_server_that_is_not_there_is_named_before_anything_is_asked() -> None:
    with serving(hearing) as server:
        pass
    done = command(server, max_retries=5, what="evaluate")
    assert done.exit_code == 1
    assert f"no server answers at {server.url}/v1: " in done.output
    assert "Connection refused" in done.output
    assert "hint: see that the server runs and that base_url is its address" in done.output
    assert Path("run/predictions.jsonl").read_text() == ""


WORDS = [
    (401, "Incorrect API key provided", "api_key_env"),
    (403, "Your country, region, or territory is not supported", "not offered where"),
    (400, "User location is not supported for the API use.", "not offered where"),
    (429, "You exceeded your current quota, please check your plan and billing details", "raise the quota"),
    (403, "insufficient_quota", "raise the quota"),
    (404, "The model `m` does not exist.", "correct `model`, which may have been retired, and `base_url`"),
    (404, "This model is no longer available to new users.", "has retired this model"),
    (410, "gpt-4o-audio was shut down", "has retired this model"),
    (400, "This model's maximum context length is 32768 tokens.", "--max-model-len"),
    (400, "Unsupported parameter: 'max_tokens' is not supported with this model.", "extra_body"),
    (422, "body.seed: Extra inputs are not permitted", "extra_body"),
    (400, "At most 0 audio(s) may be provided in one prompt.", "--limit-mm-per-prompt"),
    (413, "Request Entity Too Large", "largest request"),
    (503, "The model is loading", "server's log"),
]


@pytest.mark.parametrize(("status", "words", "hint"), WORDS)
def test_a_server_that_refuses_is_quoted_with_the_hint_that_fits(status: int, words: str, hint: str) -> None:
    with serving(Reply({"error": {"message": words}}, status)) as server:
        done = command(server)
        assert len(server.requests) == 1
    assert done.exit_code == 1
    assert words in done.output
    assert hint in done.output.partition("hint: ")[2]
    assert len(done.output) < 1000


@pytest.mark.slow
def test_prompts_that_failed_are_counted_by_reason_and_the_command_fails_after_its_report() -> None:
    def moody(request: Request) -> Reply:
        number = len(server.requests) - BEFORE
        if number in (1, 2, 3):
            return Reply({"error": {"message": f"maximum context length is 100, not {number}"}}, 400)
        return Reply({"error": {"message": "oops"}}, 500) if number == 4 else hearing(request)

    with serving(moody) as server:
        done = command(server, what="evaluate", concurrency=1)
        assert done.exit_code == 4, done.output
        assert "4 of 6 prompts failed:" in done.output
        assert "  3 x 400 from http" in done.output
        assert "  1 x 500 from http" in done.output
        assert "--max-model-len" in done.output
        assert Path("run/report.html").exists()
        again = command(server, what="evaluate")
    assert again.exit_code == 0, again.output
    assert {line["key"]: line["status"] for line in predictions()} == {line["key"]: "ok" for line in predictions()}


def test_failures_in_a_row_stop_the_run_with_the_servers_words() -> None:
    def dies(request: Request) -> Reply:
        alive = len(server.requests) <= BEFORE
        return hearing(request) if alive else Reply({"error": {"message": "CUDA out of memory"}}, 500)

    with serving(dies) as server:
        done = command(server, concurrency=1, max_failures=2)
        assert len(server.requests) == BEFORE + 2
    assert done.exit_code == 1
    assert "2 consecutive requests failed, the last with: " in done.output
    assert "CUDA out of memory" in done.output
    assert "see the server's log" in done.output


def test_a_finished_run_needs_no_server() -> None:
    with serving(hearing) as server:
        assert command(server).exit_code == 0
    assert command(server).exit_code == 0


def kinds(request: Request) -> list[str]:
    return [part["type"] for part in parts(request)]


def blind(request: Request) -> Reply:
    return Reply(completion(prompt_tokens=10 + 9 * kinds(request).count("input_audio")))


def deaf(request: Request) -> Reply:
    return Reply(completion(prompt_tokens=10 + 9 * kinds(request).count("video_url")))


def uncounted(request: Request) -> Reply:
    """Counts the text alone, and hears and sees."""
    return Reply(completion(",".join(kinds(request)), prompt_tokens=10))


def uncounted_deaf(request: Request) -> Reply:
    return Reply(completion("Cat" if "video_url" in kinds(request) else "I see no clip", prompt_tokens=10))


@pytest.mark.parametrize(
    ("server_is", "sees", "hears", "by"),
    [
        (hearing, True, True, "prompt tokens"),
        (deaf, True, False, "prompt tokens"),
        (blind, False, True, "prompt tokens"),
        (uncounted, True, True, "answers"),
        (uncounted_deaf, True, False, "answers"),
        (lambda _: Reply(completion()), False, False, "answers"),
    ],
)
def test_the_probe_says_what_the_server_gives_to_the_model(server_is: Any, sees: bool, hears: bool, by: str) -> None:
    with serving(server_is) as server:
        done = command(server)
        asked = [kinds(request) for request in server.requests[:BEFORE]]
        assert asked == [["text"], ["text"], ["video_url", "text"], ["video_url", "input_audio", "text"]]
        first = len(server.requests)
        assert first == BEFORE + PROMPTS
    assert done.exit_code == 0, done.output
    recorded = run_json()["probe"]
    assert (recorded["sees"], recorded["hears"], recorded["by"]) == (sees, hears, by)
    assert ("WARNING: mine does not hear" in done.output) is not hears
    assert ("WARNING: mine does not see" in done.output) is not sees


def test_the_probe_is_made_once_per_run() -> None:
    with serving(hearing) as server:
        assert command(server, max_requests=2).exit_code == 1
        found, sent = run_json()["probe"], len(server.requests)
        assert command(server, max_requests=9).exit_code == 0
        assert len(server.requests) == sent + 1 + PROMPTS - 2
    assert run_json()["probe"] == found


def test_a_server_that_lists_other_models_is_named_with_them() -> None:
    wrong = Reply({"error": {"message": "The model `m` does not exist."}}, 404)
    with serving(wrong) as server:
        server.models = ["a", "b"]
        done = command(server)
    assert done.exit_code == 1
    assert "the server lists b, a, not m" in done.output
    with serving(hearing) as server:
        server.models = ["a"]
        done = command(server)
    assert done.exit_code == 0, done.output
    assert "WARNING: the server lists a, not m" in done.output


def test_settings_of_an_unknown_condition_are_refused() -> None:
    with serving(hearing) as server:
        done = command(server, extra_body_by_condition={"frames_zerod": {}})
        assert not server.requests
    assert done.exit_code == 2
    assert "extra_body_by_condition: unknown condition 'frames_zerod'" in done.output


def check(server: Server, **settings: Any) -> Result:
    own = {"model": "m", "api_key_env": None, "base_url": f"{server.url}/v1", **settings}
    Path("m.yaml").write_text(yaml.safe_dump({"name": "mine", "engine": "openai", "needs": "it", "settings": own}))
    return CliRunner().invoke(main, ["models", "check", "m.yaml"])


@pytest.mark.parametrize(
    ("server_is", "code", "said"),
    [
        (hearing, 0, "sees: yes; hears: yes (prompt tokens"),
        (deaf, 1, "hint: set `sound`"),
        (blind, 1, "hint: start the server with video"),
        (uncounted, 0, "answers were compared"),
        (lambda _: Reply(completion()), 1, "hint: set `sound`"),
        (Reply(completion("")), 0, "WARNING: mine did not answer a short prompt: no text"),
        (Reply("<html>Sign in</html>"), 1, "not valid JSON"),
        (
            Reply({"error": {"message": "bad token"}}, 401),
            1,
            "hint: put a valid key into an environment variable, and name it: --set api_key_env=",
        ),
        (Reply({"error": {"message": "no such model"}}, 404), 1, "the server lists other, not m"),
    ],
)
def test_a_server_is_checked(server_is: Any, code: int, said: str) -> None:
    with serving(server_is) as server:
        server.models = ["other"] if code and isinstance(server_is, Reply) and server_is.status == 404 else None
        done = check(server)
    assert done.exit_code == code, done.output
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_slow_and_a_dead_server_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models_check._LIMITS, "openai", {"timeout_s": 0.2, "max_retries": 0})
    with serving(Reply(silent=True)) as server:
        slow = check(server)
    assert slow.exit_code == 1
    assert "no reply within 0.2 s" in slow.output
    dead = check(server)
    assert dead.exit_code == 1
    assert "no server answers at" in dead.output


def local(checkpoint: Path) -> Result:
    settings = {"checkpoint": str(checkpoint)}
    Path("local.yaml").write_text(
        yaml.safe_dump({"name": "mine", "engine": "transformers", "needs": "it", "settings": settings})
    )
    return CliRunner().invoke(main, ["models", "check", "local.yaml"])


def test_a_local_checkpoint_is_checked(tmp_path: Path) -> None:
    empty = local(tmp_path)
    assert empty.exit_code == 1
    assert f"{tmp_path} has no config.json" in empty.output
    done = local(omni_plain.checkpoint())
    assert done.exit_code == 0, done.output
    assert "checkpoint: the folder" in done.output
    assert "not loaded" in done.output


def test_what_a_model_says_to_no_clip_is_kept_as_evidence_even_without_an_answer() -> None:
    def cut(request: Request) -> Reply:
        finish = "length" if len(request.body["messages"][0]["content"]) == 1 else "stop"
        reply = completion("Cat", prompt_tokens=0)
        reply["choices"][0] |= {
            "finish_reason": finish,
            "message": {"content": "<think>Hm" if finish == "length" else "Cat"},
        }
        return Reply(reply)

    with serving(cut) as server:
        done = command(server)
    assert done.exit_code == 0, done.output
    probe = run_json()["probe"]
    assert (probe["sees"], probe["hears"], probe["by"]) == (None, False, "answers")
    assert "raise max_new_tokens" in probe["answers"][0]
    assert "did not answer a short prompt" in done.output
    assert "WARNING: mine does not see" not in done.output


def test_baselines_and_what_a_program_lacks_are_checked() -> None:
    done = CliRunner().invoke(main, ["models", "check", "oracle"])
    assert done.exit_code == 0, done.output
    assert "can be asked: it answered about a clip" in done.output
    done = CliRunner().invoke(main, ["models", "check", "pandagpt"], env={"PANDAGPT_PYTHON": None})
    assert done.exit_code == 2
    assert "PANDAGPT_PYTHON" in done.output
