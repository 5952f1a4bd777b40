"""The real SDK against a local server that also misbehaves."""

import base64
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from mma_bench.errors import ConfigError, MmaBenchError
from mma_bench.models.contracts import Answer, ClipTask, Prompt, Stopped
from mma_bench.models.gemini import GeminiEngine, GeminiSettings
from tests.mma_bench.models.servers import Reply, Request, Server, clip, has_audio_track, serving, task

KEY = "AIza-very-secret-0123456789"
SEE = Prompt("visual.forced_choice.0", "What is seen?", options=("Bird", "Cat"))
HEAR = Prompt("audio.forced_choice.0", "What is heard?", options=("Bird", "Cat"))


def reply(*texts: str, finish: str = "STOP", **candidate: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": text} for text in texts]}
    counts = {"promptTokenCount": 30, "candidatesTokenCount": 2, "thoughtsTokenCount": 5, "totalTokenCount": 37}
    return {
        "candidates": [{"content": content, "finishReason": finish, **candidate}],
        "usageMetadata": counts,
        "modelVersion": "m-001",
    }


def fault(code: int, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": "SAID", "details": list(details)}}


OK = Reply(reply("Bird"))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)


@contextmanager
def asked(server: Server, waits: list[float] | None = None, **settings: Any) -> Iterator[GeminiEngine]:
    """An engine that does not sleep; the seconds that it would have waited are added to `waits`."""
    fast = {"max_retries": 2, "timeout_s": 600.0, "concurrency": 1}
    sleep = (waits if waits is not None else []).append
    config = GeminiSettings(**{"model": "m", "base_url": server.url, **fast, **settings})
    engine = GeminiEngine(config, name="mine", sleep=sleep)
    try:
        yield engine
    finally:
        engine.close()


def one(server: Server, prompt: Prompt = SEE, on: ClipTask | None = None, **settings: Any) -> Answer:
    with asked(server, **settings) as engine:
        ((answer,),) = engine.answer([on or task(prompt)])
    return answer


def parts(request: Request) -> list[dict[str, Any]]:
    (content,) = request.body["contents"]
    found: list[dict[str, Any]] = content["parts"]
    return found


@pytest.mark.slow
def test_an_answer_with_its_usage() -> None:
    with serving(OK) as server:
        answer = one(server)
    usage = {
        "finish_reason": "STOP",
        "served_model": "m-001",
        "prompt_tokens": 30,
        "new_tokens": 7,
        "thought_tokens": 5,
    }
    assert answer == Answer(SEE.key, text="Bird", usage=usage)
    (request,) = server.requests
    assert request.path.endswith("/models/m:generateContent")
    assert request.headers["x-goog-api-key"] == KEY


def test_media_come_before_the_text_and_settings_reach_the_server() -> None:
    prompt = Prompt("visual.forced_choice.3", "Which?", max_new_tokens=7, temperature=0.5, seed=3)
    with serving(OK) as server:
        one(server, prompt, thinking_budget=128)
    (request,) = server.requests
    video, text = parts(request)
    assert "video/mp4" in video["inlineData"].values()
    assert base64.urlsafe_b64decode(video["inlineData"]["data"]) == clip()
    assert text == {"text": "Which?"}
    config = request.body["generationConfig"]
    assert {key: config[key] for key in ("temperature", "seed", "maxOutputTokens")} == {
        "temperature": 0.5,
        "seed": 3,
        "maxOutputTokens": 7 + 128,
    }
    assert list(config["thinkingConfig"].values()) == [128]


@pytest.mark.parametrize(("condition", "track"), [("aligned", True), ("frames_zeroed", True), ("audio_dropped", False)])
def test_sound_goes_out_exactly_where_the_condition_has_it(condition: str, track: bool) -> None:
    with serving(OK) as server:
        one(server, on=task(SEE, condition=condition))
    video = base64.urlsafe_b64decode(parts(server.requests[0])[0]["inlineData"]["data"])
    assert has_audio_track(video) is track


def test_thoughts_are_no_part_of_the_answer() -> None:
    thinking = reply("Cat? No.", "Bi", "rd")
    thinking["candidates"][0]["content"]["parts"][0]["thought"] = True
    with serving(Reply(thinking)) as server:
        assert one(server).text == "Bird"


@pytest.mark.parametrize(
    "busy",
    [
        Reply(fault(429, "slow down"), 429, {"Retry-After": "3"}),
        Reply(fault(429, "slow down", {"@type": "type.googleapis.com/RetryInfo", "retryDelay": "3.0s"}), 429),
    ],
)
def test_a_busy_server_is_asked_again_as_late_as_it_wishes(busy: Reply) -> None:
    waits: list[float] = []
    with serving(busy, OK) as server, asked(server, waits) as engine:
        ((answer,),) = engine.answer([task(SEE)])
    assert answer.text == "Bird"
    assert waits == [3.0]


_PER_DAY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
}


@pytest.mark.parametrize(
    "spent",
    [
        Reply(fault(429, "quota"), 429, {"Retry-After": "86400"}),
        Reply(fault(429, "quota", _PER_DAY), 429, {"Retry-After": "3"}),
        Reply(fault(402, "quota"), 402),
    ],
)
def test_a_quota_that_is_used_up_stops_the_run_at_once(spent: Reply) -> None:
    with serving(spent) as server, asked(server) as engine, pytest.raises(Stopped, match="quota") as stop:
        engine.answer([task(SEE, HEAR)])
    assert "same command again" in str(stop.value.hint)
    assert len(server.requests) == 1
    assert ("it asks to wait for 24 h" in str(stop.value)) == (spent.headers.get("Retry-After") == "86400")


def test_a_retired_model_is_named_with_the_closest_that_are_offered() -> None:
    retired = "This model models/gemini-2.0-flash is no longer available."
    with serving(Reply(fault(404, retired), 404)) as server:
        server.listing = {"models": [{"name": f"models/{name}"} for name in ("aqa", "gemini-3.6-flash")]}
        with asked(server, model="gemini-2.0-flash") as engine, pytest.raises(MmaBenchError) as error:
            engine.check()
    assert "no longer available" in error.value.message
    assert "the server lists gemini-3.6-flash, aqa, not gemini-2.0-flash" in error.value.message


def test_a_dead_service_fails_its_check_at_once() -> None:
    with serving(OK) as server:
        pass
    with asked(server) as engine, pytest.raises(MmaBenchError, match="no server answers at"):
        engine.check()


def test_a_quota_per_minute_is_waited_for() -> None:
    minute = {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}
    with serving(Reply(fault(429, "quota", minute), 429), OK) as server:
        assert one(server).text == "Bird"


def test_a_level_of_thought_is_sent_with_room_for_it() -> None:
    with pytest.raises(ValidationError, match="max_new_tokens"):
        GeminiSettings(model="m", reasoning="low")
    with pytest.raises(ValidationError, match="exclude"):
        GeminiSettings(model="m", reasoning="low", thinking_budget=1, max_new_tokens=9)
    with serving(OK) as server:
        one(server, reasoning="low", max_new_tokens=500)
        one(server, thinking_budget=-1, max_new_tokens=600)
    level, free = (request.body["generationConfig"] for request in server.requests)
    assert (level["maxOutputTokens"], list(level["thinkingConfig"].values())) == (500, ["LOW"])
    assert (free["maxOutputTokens"], list(free["thinkingConfig"].values())) == (600, [-1])


@pytest.mark.parametrize("details", ["a proxy's page", [{"retryDelay": 3}], {"retryDelay": "3s"}])
def test_an_error_of_another_form_is_retried_with_backoff(details: Any) -> None:
    waits: list[float] = []
    odd = Reply({"error": {"code": 503, "message": "no", "status": "SAID", "details": details}}, 503)
    with serving(odd, OK) as server, asked(server, waits) as engine:
        ((answer,),) = engine.answer([task(SEE)])
    assert answer.text == "Bird"
    assert 0.5 <= waits[0] <= 1.0


def test_waits_double_with_jitter() -> None:
    waits: list[float] = []
    with serving(Reply("oops", 500)) as server, asked(server, waits, max_retries=9) as engine:
        engine.answer([task(SEE)])
    longest = [1, 2, 4, 8, 16, 32, 64, 120, 120]
    assert len(waits) == len(longest)
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, longest, strict=True))
    assert len(set(waits)) == len(waits)


def test_a_passing_fault_is_no_error() -> None:
    with serving(Reply("oops", 500), Reply("oops", 503), OK) as server:
        assert one(server).text == "Bird"
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 500])
def test_a_lasting_fault_is_the_prompts_error(status: int) -> None:
    with serving(Reply(fault(status, "no room"), status)) as server:
        answer = one(server)
    assert len(server.requests) == 3
    assert answer.text is None
    assert f"clip a.aligned: {status} SAID: no room" in (answer.error or "")


def test_silence_is_the_prompts_error_after_all_attempts() -> None:
    with serving(Reply(silent=True)) as server:
        answer = one(server, timeout_s=0.05, max_retries=1)
    assert "Timeout" in (answer.error or "")
    assert "tried 2 times" in (answer.error or "")


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (Reply(json.dumps(reply("Bird"))[:40]), "not valid JSON"),
        (Reply(json.dumps(reply("Bird")), cut=True), "tried 1 times"),
        (Reply({}), "no candidate"),
        (Reply(reply(finish="MAX_TOKENS")), "cut off before the answer (finish_reason MAX_TOKENS)"),
        (Reply({"candidates": [{"finishReason": "STOP"}]}), "no text besides thoughts (finish_reason STOP)"),
        (Reply(fault(400, "too long"), 400), "400 SAID: too long"),
    ],
)
def test_half_an_answer_is_no_answer(bad: Reply, error: str) -> None:
    with serving(bad) as server:
        answer = one(server, max_retries=0)
    assert answer.text is None
    assert error in (answer.error or "")


def test_a_reply_that_was_cut_is_asked_for_again() -> None:
    with serving(Reply(json.dumps(reply("Bird"))[:40]), Reply(json.dumps(reply("Bird")), cut=True), OK) as server:
        assert one(server).text == "Bird"


def test_an_answer_that_reached_its_bound_is_an_answer() -> None:
    with serving(Reply(reply("Bird and", finish="MAX_TOKENS"))) as server:
        answer = one(server)
    assert (answer.text, answer.usage["finish_reason"], answer.error) == ("Bird and", "MAX_TOKENS", None)


@pytest.mark.parametrize(
    ("refusal", "hint"),
    [
        (Reply(fault(401, f"bad {KEY}"), 401), "api_key_env"),
        (Reply(fault(403, f"bad {KEY}"), 403), "key"),
        (Reply(fault(404, f"bad {KEY}"), 404), "model"),
        (Reply(fault(400, f"bad {KEY}", {"reason": "API_KEY_INVALID"}), 400), "api_key_env"),
    ],
)
def test_a_refusal_stops_the_run_and_keeps_what_is_there(refusal: Reply, hint: str) -> None:
    with serving(OK, refusal) as server, asked(server) as engine:
        with pytest.raises(Stopped, match=r"bad \*\*\*") as stop:
            engine.answer([task(SEE, HEAR), task(SEE, id="b.aligned")])
        assert [[answer.text for answer in row] for row in stop.value.answers] == [["Bird"], []]
        assert hint in str(stop.value.hint)
    assert len(server.requests) == 2


def test_a_spent_budget_counts_thoughts_too() -> None:
    with serving(OK) as server, asked(server, max_tokens=60) as engine:
        with pytest.raises(Stopped, match=r"budget of 60 tokens is exhausted \(74 used\)") as stop:
            engine.answer([task(SEE, HEAR), task(SEE, id="b.aligned")])
        assert [len(row) for row in stop.value.answers] == [2, 0]


def test_log_likelihoods_are_not_answered() -> None:
    with serving(OK) as server:
        answer = one(server, Prompt("visual.loglikelihood.0", "Which?", mode="score", options=("Bird",)))
    assert "no log-likelihoods" in (answer.error or "")
    assert GeminiEngine.modes == {"generate"}


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    with pytest.raises(ConfigError, match="GEMINI_API_KEY"):
        GeminiEngine(GeminiSettings(model="m"))


@pytest.mark.parametrize("what", ["body", "headers"])
def test_a_reply_that_never_ends_is_given_up_in_time(what: str) -> None:
    with serving(Reply(trickle=what)) as server:
        answer = one(server, timeout_s=0.5, max_retries=0)
    assert answer.error is not None
    assert "Timeout" in answer.error


@pytest.mark.parametrize("packed", [False, True])
def test_a_reply_has_a_largest_size_counted_after_unpacking(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mma_bench.models.bounded.MAX_REPLY_BYTES", 100_000)
    body = json.dumps({**reply("Bird"), "more": "x" * 200_000}).encode()
    reply_ = Reply(gzip.compress(body), headers={"Content-Encoding": "gzip"}) if packed else Reply(body)
    with serving(reply_) as server:
        answer = one(server, max_retries=0)
    assert answer.error is not None
    assert "a reply of more than 100000 bytes" in answer.error
    small = gzip.compress(json.dumps(reply("Bird")).encode())
    with serving(Reply(small, headers={"Content-Encoding": "gzip"})) as server:
        assert one(server).text == "Bird"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_gets_the_key_or_the_clip(status: int) -> None:
    with serving(OK) as other:
        there = Reply("", status, {"Location": f"{other.url}/v1/chat/completions"})
        with serving(there) as server, asked(server) as engine, pytest.raises(Stopped) as stopped:
            engine.answer([task(SEE)])
    assert not other.requests
    assert "redirect" in str(stopped.value.hint)


def test_without_a_clip_the_text_goes_out_alone() -> None:
    alone = replace(task(SEE, condition="no_clip", video=b""), text_alone=True, hears=False)
    with serving(OK) as server:
        answer = one(server, on=alone)
    assert parts(server.requests[0]) == [{"text": SEE.text}]
    assert (answer.text, answer.error) == ("Bird", None)
