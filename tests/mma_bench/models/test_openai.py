"""The real client against a local server that also misbehaves."""

import base64
import gzip
import io
import json
import logging
import math
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from mma_bench.errors import ConfigError
from mma_bench.models.contracts import Answer, ClipTask, Prompt, Stopped
from mma_bench.models.openai import OpenaiEngine, OpenaiSettings
from tests.mma_bench.models.servers import Reply, Request, Server, clip, has_audio_track, serving, task

KEY = "sk-very-secret-0123456789"
SEE = Prompt("visual.forced_choice.0", "What is seen?", options=("Bird", "Cat"))
HEAR = Prompt("audio.forced_choice.0", "What is heard?", options=("Bird", "Cat"))
SOON = {"retry-after-ms": "10"}  # what the client takes in place of its own half a second


def completion(text: Any = "Bird", **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message, **choice}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 2, "total_tokens": 32},
    }


OK = Reply(completion())


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@contextmanager
def asked(server: Server, **settings: Any) -> Iterator[OpenaiEngine]:
    fast = {"max_retries": 2, "timeout_s": 600.0, "concurrency": 1}
    engine = OpenaiEngine(OpenaiSettings(model="m", base_url=f"{server.url}/v1", **{**fast, **settings}), name="mine")
    try:
        yield engine
    finally:
        engine.close()


def one(server: Server, prompt: Prompt = SEE, on: ClipTask | None = None, **settings: Any) -> Answer:
    with asked(server, **settings) as engine:
        ((answer,),) = engine.answer([on or task(prompt)])
    return answer


def parts(request: Request) -> list[dict[str, Any]]:
    (message,) = request.body["messages"]
    content: list[dict[str, Any]] = message["content"]
    return content


def video_of(request: Request) -> bytes:
    return base64.b64decode(parts(request)[0]["video_url"]["url"].removeprefix("data:video/mp4;base64,"))


def test_an_answer_with_its_usage() -> None:
    with serving(OK) as server:
        answer = one(server)
    usage = {"finish_reason": "stop", "served_model": "served", "prompt_tokens": 30, "new_tokens": 2}
    assert answer == Answer(SEE.key, text="Bird", usage=usage)
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"


def test_media_come_before_the_text_and_settings_reach_the_server() -> None:
    prompt = Prompt("visual.forced_choice.3", "Which?", max_new_tokens=7, temperature=0.5, seed=3)
    with serving(OK) as server:
        one(server, prompt, extra_body={"mm_processor_kwargs": {"fps": 2}})
    (request,) = server.requests
    assert [part["type"] for part in parts(request)] == ["video_url", "input_audio", "text"]
    assert parts(request)[2]["text"] == "Which?"
    sent = {key: request.body[key] for key in ("model", "max_tokens", "temperature", "seed", "mm_processor_kwargs")}
    assert sent == {"model": "m", "max_tokens": 7, "temperature": 0.5, "seed": 3, "mm_processor_kwargs": {"fps": 2}}


def test_the_likeliest_first_tokens_come_with_the_answer_where_the_prompt_asks_for_them() -> None:
    tops = [[("Bird", -0.25), (" bird", -2.0)], [("s", -1.0)]]
    positions = [
        {"token": top[0][0], "logprob": top[0][1], "bytes": None, "top_logprobs": [
            {"token": token, "logprob": logprob, "bytes": None} for token, logprob in top]}
        for top in tops
    ]  # fmt: skip
    with serving(Reply(completion(logprobs={"content": positions}))) as server:
        answer = one(server, replace(SEE, top_logprobs=2))
        plain = one(server)
    assert answer.first_token_logprobs == {"Bird": -0.25, " bird": -2.0}
    assert answer.logprobs is None
    asked, unasked = (request.body for request in server.requests)
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 2)
    assert not {"logprobs", "top_logprobs"} & unasked.keys()
    assert plain.text == "Bird"


def test_a_server_without_log_probabilities_gives_none() -> None:
    with serving(OK, Reply(completion(logprobs={"content": []}))) as server:
        for _ in range(2):
            answer = one(server, replace(SEE, top_logprobs=2))
            assert (answer.text, answer.first_token_logprobs) == ("Bird", None)


@pytest.mark.parametrize(
    ("sound", "condition", "track", "part"),
    [
        ("input_audio", "aligned", False, True),
        ("input_audio", "audio_dropped", False, False),
        ("audio_url", "aligned", False, True),
        ("audio_url", "audio_dropped", False, False),
        ("in_video", "frames_zeroed", True, False),
        ("in_video", "audio_dropped", False, False),
        ("none", "aligned", False, False),
    ],
)
def test_sound_goes_out_exactly_where_the_condition_has_it(sound: str, condition: str, track: bool, part: bool) -> None:
    with serving(OK) as server:
        one(server, on=task(SEE, condition=condition), sound=sound)
    (request,) = server.requests
    assert has_audio_track(video_of(request)) is track
    heard = [item[sound] for item in parts(request) if item["type"] in ("input_audio", "audio_url")]
    assert bool(heard) is part
    for item in heard:
        data = item.get("data") or item["url"].removeprefix("data:audio/wav;base64,")
        with wave.open(io.BytesIO(base64.b64decode(data))) as file:
            assert (file.getnchannels(), file.getframerate(), item.get("format", "wav")) == (1, 16_000, "wav")
            assert file.getnframes() / file.getframerate() == pytest.approx(1, abs=0.1)
            assert max(file.readframes(8000)) > 0


def test_a_busy_server_is_asked_again_as_late_as_it_wishes() -> None:
    with serving(Reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.6"}), OK) as server:
        assert one(server).text == "Bird"
    first, second = server.requests
    assert second.at - first.at >= 0.6  # left to itself, the client waits half a second at most


def test_a_passing_fault_is_no_error() -> None:
    with serving(Reply("oops", 500, SOON), Reply("oops", 503, SOON), OK) as server:
        assert one(server).text == "Bird"
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 500])
def test_a_lasting_fault_is_the_prompts_error(status: int) -> None:
    with serving(Reply({"error": {"message": "no room"}}, status, SOON)) as server:
        answer = one(server)
    assert len(server.requests) == 3
    assert answer.text is None
    assert f"clip a.aligned: {status} from http" in (answer.error or "")
    assert "no room" in (answer.error or "")


def test_silence_is_the_prompts_error() -> None:
    with serving(Reply(silent=True)) as server:
        answer = one(server, timeout_s=0.05, max_retries=0)
    assert answer.error == "clip a.aligned: no reply within 0.05 s (tried 1 times)"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(json.dumps(completion())[:90]), "not valid JSON"),
        (Reply(json.dumps(completion()), cut=True), "tried 1 times"),
        (Reply({"error": "odd"}), "the server states an error: odd"),
        (Reply('"Bird"'), "not a chat completion"),
        (Reply(completion(["Bird"])), "not a chat completion (choices.0.message.content."),
        (Reply(completion(None)), "no text besides thoughts (finish_reason stop)"),
        (Reply({"error": {"message": "too long"}}, 400), "too long"),
    ],
)
def test_half_an_answer_is_no_answer(reply: Reply, error: str) -> None:
    with serving(reply) as server:
        answer = one(server, max_retries=0)
    assert answer.text is None
    assert error in (answer.error or "")


def test_an_answer_that_reached_its_bound_is_an_answer() -> None:
    with serving(Reply(completion("Bird and", finish_reason="length"))) as server:
        answer = one(server)
    assert (answer.text, answer.usage["finish_reason"], answer.error) == ("Bird and", "length", None)


@pytest.mark.parametrize(("status", "hint"), [(401, "api_key_env"), (403, "key"), (404, "base_url")])
def test_a_refusal_stops_the_run_and_keeps_what_is_there(status: int, hint: str) -> None:
    with serving(OK, Reply({"error": {"message": f"Incorrect key {KEY}"}}, status)) as server, asked(server) as engine:
        with pytest.raises(Stopped) as stop:
            engine.answer([task(SEE, HEAR), task(SEE, id="b.aligned")])
        assert [[answer.text for answer in row] for row in stop.value.answers] == [["Bird"], []]
        assert hint in str(stop.value.hint)
        assert len(server.requests) == 2
        with pytest.raises(Stopped):
            engine.answer([task(SEE)])
    assert len(server.requests) == 2


def test_the_key_is_in_no_answer_log_or_setting(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    replies = (Reply({"error": {"message": f"bad {KEY}"}}, 400), Reply(f"{KEY}", 401))
    with serving(*replies) as server, asked(server) as engine:
        ((answer,),) = engine.answer([task(SEE)])
        with pytest.raises(Stopped) as stop:
            engine.answer([task(SEE)])
        settings = engine._settings.model_dump_json()
    assert "bad ***" in (answer.error or "")
    assert "***" in str(stop.value)
    assert caplog.text
    for text in (repr(answer), str(stop.value), settings, caplog.text):
        assert KEY not in text


@pytest.mark.parametrize(
    ("bound", "value", "unit"), [("max_requests", 2, "2 requests"), ("max_tokens", 64, "64 tokens")]
)
def test_a_spent_budget_stops_the_run_and_keeps_what_is_there(bound: str, value: int, unit: str) -> None:
    tasks = [task(SEE, HEAR), task(SEE, id="b.aligned")]
    with serving(OK) as server, asked(server, **{bound: value}) as engine:
        with pytest.raises(Stopped, match=f"the budget of {unit} is exhausted") as stop:
            engine.answer(tasks)
        assert [[answer.key for answer in row] for row in stop.value.answers] == [[SEE.key, HEAR.key], []]
        assert len(server.requests) == 2


def test_failures_in_a_row_stop_the_run() -> None:
    bad = Reply("", 400)
    with serving(bad, bad, OK, bad) as server, asked(server, max_failures=3) as engine:
        tasks = [task(SEE, id=f"{index}.aligned") for index in range(9)]
        with pytest.raises(Stopped, match="3 consecutive requests failed"):
            engine.answer(tasks)
    assert len(server.requests) == 6


TOO_LONG = "This model's maximum context length is 8192 tokens. However, you requested 61000 tokens."


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_text_over_the_models_context_is_unsupported_and_stops_no_run(status: int) -> None:
    refused = Reply({"error": {"message": TOO_LONG, "code": "context_length_exceeded"}}, status)
    long = replace(SEE, text="word " * 10_000)
    with serving(*[refused] * 5, OK) as server, asked(server, max_failures=2) as engine:
        answers = engine.answer([task(long, id=f"{index}.long") for index in range(5)] + [task(SEE)])
    for (answer,) in answers[:5]:
        assert TOO_LONG in (answer.unsupported or "")
        assert answer.error is None
    assert answers[5][0].text == "Bird"
    assert len(server.requests) == 6, "it is not asked again"


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("What is seen?", 400, TOO_LONG),  # the clip has no room, which the server's settings can change
        ("word " * 10_000, 400, "unknown field"),
        ("word " * 10_000, 429, "Too many input tokens per minute"),
        ("word " * 10_000, 500, TOO_LONG),
    ],
)
def test_any_other_refusal_of_a_prompt_fails_it_and_can_be_asked_again(text: str, status: int, words: str) -> None:
    with serving(Reply({"error": {"message": words}}, status)) as server:
        answer = one(server, replace(SEE, text=text), max_retries=0)
    assert words in (answer.error or "")
    assert answer.unsupported is None


def test_questions_go_out_at_once_and_answers_come_back_in_order() -> None:
    first, overtaken = threading.Lock(), threading.Event()

    def echo(request: Request) -> Reply:
        if first.acquire(blocking=False):
            overtaken.wait()
        else:
            overtaken.set()
        return Reply(completion(parts(request)[-1]["text"]))

    tasks = [
        task(*(Prompt(f"{name}.forced_choice.0", f"{name} {row}") for name in ("visual", "audio")), id=f"{row}.aligned")
        for row in range(4)
    ]
    with serving(echo) as server, asked(server, concurrency=4) as engine:
        answers = engine.answer(tasks)
    assert [[answer.text for answer in row] for row in answers] == [
        [f"visual {row}", f"audio {row}"] for row in range(4)
    ]
    assert 2 <= server.most_at_once <= 4


def test_media_are_made_once_per_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = OpenaiEngine._media

    def counted(self: OpenaiEngine, of: ClipTask) -> list[dict[str, Any]]:
        made.append(of.id)
        return real(self, of)

    monkeypatch.setattr(OpenaiEngine, "_media", counted)
    with serving(OK) as server, asked(server, concurrency=4) as engine:
        engine.answer([task(SEE, HEAR), task(SEE, HEAR, id="b.aligned")])
    assert sorted(made) == ["a.aligned", "b.aligned"]


def test_a_damaged_clip_is_its_prompts_error_alone() -> None:
    with serving(OK) as server, asked(server) as engine:
        broken, whole = engine.answer([task(SEE, video=b"no video"), task(SEE, video=clip(), id="b.aligned")])
    assert "clip a.aligned" in (broken[0].error or "")
    assert whole[0].text == "Bird"
    assert len(server.requests) == 1


def test_log_likelihoods_are_not_answered() -> None:
    with serving(OK) as server:
        answer = one(server, Prompt("visual.loglikelihood.0", "Which?", mode="score", options=("Bird",)))
    assert "no log-likelihoods" in (answer.error or "")
    assert OpenaiEngine.modes == {"generate"}


def test_a_missing_key_is_named_and_none_is_needed_for_a_server_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        OpenaiEngine(OpenaiSettings(model="m"))
    with serving(OK) as server:
        assert one(server, api_key_env=None).text == "Bird"


def test_a_url_with_a_password_is_refused() -> None:
    with pytest.raises(ValidationError, match="api_key_env"):
        OpenaiSettings(model="m", base_url="http://me:secret@host/v1")


@pytest.mark.parametrize("url", ["localhost:8000/v1", "host/v1", "ftp://host/v1", "http://", ""])
def test_an_address_without_http_is_refused_before_it_is_asked(url: str) -> None:
    with pytest.raises(ValidationError, match="no address of a server"):
        OpenaiSettings(model="m", base_url=url)


@pytest.mark.parametrize("what", ["body", "headers"])
def test_a_reply_that_never_ends_is_given_up_in_time(what: str) -> None:
    with serving(Reply(trickle=what)) as server:
        answer = one(server, timeout_s=0.5, max_retries=0)
    assert answer.error is not None
    assert "no reply within 0.5 s" in answer.error


@pytest.mark.parametrize("packed", [False, True])
def test_a_reply_has_a_largest_size_counted_after_unpacking(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mma_bench.models.bounded.MAX_REPLY_BYTES", 100_000)
    body = json.dumps({**completion(), "more": "x" * 200_000}).encode()
    reply_ = Reply(gzip.compress(body), headers={"Content-Encoding": "gzip"}) if packed else Reply(body)
    with serving(reply_) as server:
        answer = one(server, max_retries=0)
    assert answer.error is not None
    assert "a reply of more than 100000 bytes" in answer.error
    small = gzip.compress(json.dumps(completion()).encode())
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


@pytest.mark.parametrize(
    "spent",
    [
        Reply({"error": {"message": "quota", "code": "insufficient_quota", "type": "insufficient_quota"}}, 429, SOON),
        Reply({"error": {"message": "Limit: 200 requests per day (RPD)", "code": "rate_limit_exceeded"}}, 429, SOON),
        Reply({"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429}}, 429, SOON),
        Reply({"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429}}),
        Reply({"error": {"message": "Rate limit exceeded: free-models-per-day", "code": "429"}}),
        Reply({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}}),
        Reply({"error": {"message": "Limit reached on RPD", "status": 429}}),
        Reply({"error": {"message": "This request requires more credits", "code": 402}}),
        Reply({"object": "error", "message": "Daily request limit reached", "code": "rate_limit_exceeded"}),
        Reply({"error": {"message": "Limit 100000, Used 99336 of TPD", "code": "rate_limit_exceeded"}}, 429, SOON),
        Reply({"error": {"message": "x", "metadata": {"limit_source": "free_tier_daily"}}}, 429, SOON),
        Reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "86400"}),
        Reply({"error": {"message": "Insufficient Balance"}}, 402),
    ],
)
def test_a_quota_that_is_used_up_stops_the_run_at_once(spent: Reply) -> None:
    with serving(spent) as server, asked(server) as engine, pytest.raises(Stopped) as stop:
        engine.answer([task(SEE, HEAR)])
    assert "same command again" in str(stop.value.hint)
    assert len(server.requests) == 1
    assert ("it asks to wait for 24 h" in str(stop.value)) == (spent.headers.get("Retry-After") == "86400")


@pytest.mark.parametrize(
    "busy",
    [
        Reply({"error": {"message": "Rate limit reached on tokens per min (TPM): Limit 30000"}}, 429, SOON),
        Reply({"error": {"message": "Too many requests. Read the daily news on our status page"}}, 429, SOON),
        Reply({"error": {"message": "You exceeded your current quota", "code": 429}}, 429, SOON),
        Reply({"error": {"message": "a word of 400 characters per day", "code": 400}}),
    ],
)
def test_a_server_that_is_busy_for_a_moment_is_asked_again(busy: Reply) -> None:
    with serving(busy, OK) as server, asked(server) as engine:
        ((first,), (second,)) = engine.answer([task(SEE), task(HEAR, id="b.aligned")])
    assert (first.text is None) is (busy.status == 200)
    assert second.text == "Bird"


@pytest.mark.parametrize(
    "error",
    [
        {"code": "content_filter", "message": "The response was filtered", "param": "prompt"},
        {"code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}, "message": "filtered"},
        {"code": "content_policy_violation", "message": "Your request was rejected"},
        {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."},
    ],
)
@pytest.mark.parametrize("status", [400, 200])
def test_a_filter_that_is_an_error_is_a_refusal(error: dict[str, Any], status: int) -> None:
    with serving(Reply({"error": error}, status)) as server:
        answer = one(server)
    assert error["message"] in (answer.refused or "")
    assert (answer.text, answer.error) == (None, None)


def test_a_reasoning_models_settings_reach_the_server() -> None:
    with serving(OK) as server:
        one(
            server,
            reasoning="low",
            max_new_tokens=500,
            length_parameter="max_completion_tokens",
            omit=["temperature", "seed"],
        )
    body = server.requests[0].body
    assert (body["reasoning_effort"], body["max_completion_tokens"]) == ("low", 500)
    assert not {"temperature", "seed", "max_tokens"} & body.keys()


@pytest.mark.parametrize("settings", [{"reasoning": "low"}, {"opens_thoughts": True}])
def test_thoughts_need_room(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="max_new_tokens"):
        OpenaiSettings(model="m", **settings)


def test_where_the_template_opens_the_thoughts_a_text_without_a_closing_tag_is_no_answer() -> None:
    cut, whole = completion("a Bird", finish_reason="length"), completion("a Cat?</think>Bird")
    with serving(Reply(cut), Reply(whole)) as server:
        answers = [one(server, opens_thoughts=True, max_new_tokens=9) for _ in range(2)]
    assert [answer.text for answer in answers] == [None, "Bird"]
    assert "raise max_new_tokens" in (answers[0].error or "")


def test_a_reply_without_an_answer_is_asked_for_again() -> None:
    with serving(Reply(completion("")), OK) as server:
        assert one(server).text == "Bird"
    replies = (Reply(completion("")), OK)
    with serving(*replies) as server, asked(server, max_tokens=33) as engine, pytest.raises(Stopped, match="64 used"):
        engine.answer([task(SEE), task(HEAR, id="b.aligned")])


def test_another_model_behind_the_same_name_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(OK, Reply({**completion(), "model": "other"})) as server, asked(server) as engine:
        engine.answer([task(SEE, HEAR), task(SEE, HEAR, id="b.aligned")])
    said = capsys.readouterr().err
    assert said.count("mine: the server now answers as 'other', before as 'served'") == 1


@pytest.mark.parametrize(
    "logprob", [None, float("nan"), float("inf"), -float("inf"), "low", 3.0, pytest.param(..., id="missing")]
)
def test_a_log_probability_that_is_none_leaves_the_answer_without_them(logprob: Any) -> None:
    second = {"token": "Cat"} | ({} if logprob is ... else {"logprob": logprob})
    position = {"token": "Bird", "logprob": -0.25, "top_logprobs": [{"token": "Bird", "logprob": -0.25}, second]}
    with serving(Reply(completion(logprobs={"content": [position]}))) as server:
        answer = one(server, replace(SEE, top_logprobs=2))
    assert (answer.text, answer.first_token_logprobs) == ("Bird", None)


def test_tokens_with_the_same_text_are_added_up_and_the_first_of_thoughts_is_not_the_answers() -> None:
    tops = [("Bird", -1.0), ("Bird", -1.0), ("Bird", -2.0), ("Cat", -9999.0)]
    position = {"top_logprobs": [{"token": token, "logprob": logprob} for token, logprob in tops]}
    given = [Reply(completion(text, logprobs={"content": [position]})) for text in ("Bird", "<think>Hm</think>Bird")]
    with serving(*given) as server:
        plain, thought = (one(server, replace(SEE, top_logprobs=4)) for _ in range(2))
    assert plain.first_token_logprobs == pytest.approx({"Bird": math.log(math.exp(-1) + math.exp(-2)), "Cat": -9999.0})
    assert (thought.text, thought.first_token_logprobs) == ("Bird", None)


@pytest.mark.parametrize("tops", [[("Bird", -0.1), ("Cat", -0.1)], [("Bird", -0.3), ("Bird", -0.4), ("Cat", -2.0)]])
def test_log_probabilities_of_more_than_one_together_are_none(tops: list[tuple[str, float]]) -> None:
    position = {"top_logprobs": [{"token": token, "logprob": logprob} for token, logprob in tops]}
    with serving(Reply(completion(logprobs={"content": [position]}))) as server:
        answer = one(server, replace(SEE, top_logprobs=4))
    assert (answer.text, answer.first_token_logprobs) == ("Bird", None)


def streamed(*pieces: dict[str, Any], finish: str | None = "stop", done: bool = True) -> str:
    """The body of a stream with these deltas."""
    choices = [{"index": 0, "delta": piece, "finish_reason": None} for piece in pieces]
    choices += [{"index": 0, "delta": {}, "finish_reason": finish}]
    chunks: list[Any] = [{"model": "served", "choices": [choice]} for choice in choices]
    chunks.append({"model": "served", "choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 2}})
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n" * done


@pytest.mark.parametrize(
    ("body", "text", "error"),
    [
        (streamed({"role": "assistant", "content": ""}, {"content": "Bi"}, {"content": "rd"}), "Bird", None),
        (streamed({"reasoning_content": "Cat?"}, {"content": "Bird"}), "Bird", None),
        (streamed({"content": "<thi"}, {"content": "nk>Cat?</think>Bird"}), "Bird", None),
        (streamed({"content": "Bird"}, done=False), "Bird", None),
        (json.dumps(completion()), "Bird", None),
        (streamed({"content": "Bird"}, finish=None), None, "broke off"),
        (streamed({"content": "Bird"}, finish=None, done=False), None, "broke off"),
        (streamed({"content": "Bird"})[:90], None, "not valid JSON"),
        ('data: {"error": {"message": "out of memory"}}\n\n', None, "out of memory"),
        (streamed({"content": ["Bird"]}), None, "not of chat completions"),
        ("", None, "broke off"),
        (
            "<html><body>Sign in</body></html>",
            None,
            "not valid JSON (Expecting value: line 1 column 1 (char 0)): <html>",
        ),
        (streamed({"content": "Bird \ud83d"}, {"content": "\udc26"}), "Bird \U0001f426", None),
    ],
)
def test_a_stream_is_an_answer_only_as_a_whole(body: str, text: str | None, error: str | None) -> None:
    with serving(Reply(body, headers={"Content-Type": "text/event-stream"})) as server:
        answer = one(server, stream=True)
    assert server.requests[0].body["stream"] is True
    assert answer.text == text
    assert (error or "") in (answer.error or "")
    if text is not None:
        assert (answer.usage["prompt_tokens"], answer.usage["finish_reason"]) == (30, "stop")


def test_a_connection_that_breaks_off_within_a_stream_is_no_answer() -> None:
    with serving(Reply(streamed({"content": "Bird"}), cut=True)) as server:
        assert one(server, stream=True, max_retries=0).text is None


def test_a_condition_has_settings_of_its_own_and_no_track_is_used_where_there_is_none() -> None:
    body = {"mm_processor_kwargs": {"use_audio_in_video": True, "fps": 2}, "top_k": 1}
    own = {"frames_zeroed": {"mm_processor_kwargs": {"fps": 1}, "top_k": None}}
    with serving(OK) as server:
        for condition in ("aligned", "frames_zeroed", "audio_dropped"):
            on = task(SEE, condition=condition)
            one(server, on=on, sound="in_video", extra_body=body, extra_body_by_condition=own)
    sent = [(request.body["mm_processor_kwargs"], request.body.get("top_k")) for request in server.requests]
    assert sent == [
        ({"use_audio_in_video": True, "fps": 2}, 1),
        ({"use_audio_in_video": True, "fps": 1}, None),
        ({"use_audio_in_video": False, "fps": 2}, 1),
    ]


def test_without_a_clip_the_text_goes_out_alone() -> None:
    alone = replace(task(SEE, condition="no_clip", video=b""), text_alone=True, hears=False)
    with serving(OK) as server:
        answer = one(server, on=alone)
    (request,) = server.requests
    assert parts(request) == [{"type": "text", "text": SEE.text}]
    assert (answer.text, answer.error) == ("Bird", None)
