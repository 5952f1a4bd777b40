"""Replies as servers send them, and what a run makes of each: the real clients, a local server, the run's own files."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from google.genai.types import FinishReason

from mma_bench.evaluation.infer import Plan, infer
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.protocols import Protocol, Sampling
from mma_bench.models.contracts import Engine
from mma_bench.models.gemini import GeminiEngine, GeminiSettings
from mma_bench.models.gemini_reply import _ENDINGS
from mma_bench.models.openai import OpenaiEngine, OpenaiSettings
from tests.evaluation.doubles import Rows, row
from tests.mma_bench.models.servers import Reply, Server, clip, serving

BEFORE: Final = 4  # requests before the run's own: a short prompt, and the probe's three
SURROGATE: Final = "\ud83d"
COUNTS: Final = {"prompt_tokens": 30, "completion_tokens": 2, "total_tokens": 32}


class Case(NamedTuple):
    """A reply, as it is or as JSON, and what is expected of the prediction.

    Attributes:
        usage: Keys that the prediction's `usage` has; a value of None says that the key is absent.
        error: Part of the prediction's error.
        requests: Times that the prompt is sent.
    """

    body: Any
    status: str
    answer: str | None = None
    usage: dict[str, Any] = {}  # noqa: RUF012 - never changed
    error: str = ""
    requests: int = 1


def chat(content: Any = None, finish: Any = "stop", **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice], "usage": COUNTS}


def changed(reply: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {**reply, **keys}


def without(reply: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in reply.items() if name != key}


def with_choice(**keys: Any) -> dict[str, Any]:
    reply = chat("Bird")
    return {**reply, "choices": [{**reply["choices"][0], **keys}]}


FLAG: Final = {"truncated": True}
MORE: Final = "raise max_new_tokens"
CALL: Final = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
SPOKEN: Final = {"id": "a", "data": "UklGRg==", "transcript": "Bird", "expires_at": 1}

CHAT: Final = {
    # What the answer is.
    "text": Case(chat("Bird"), "ok", "Bird", {"finish_reason": "stop", "prompt_tokens": 30, "truncated": None}),
    "text that names no class": Case(chat("I cannot tell."), "unparseable"),
    "parts": Case(chat([{"type": "text", "text": "Bi"}, {"type": "text", "text": "rd"}]), "ok", "Bird"),
    "output_text part": Case(chat([{"type": "output_text", "text": "Bird"}]), "ok", "Bird"),
    "no parts": Case(chat([]), "failed", error="no text", requests=3),
    "thinking part": Case(
        chat([{"type": "thinking", "thinking": [{"type": "text", "text": "Cat?"}]}, {"type": "text", "text": "Bird"}]),
        "ok",
        "Bird",
        {"thoughts": "Cat?"},
    ),
    "refusal part": Case(chat([{"type": "refusal", "refusal": "I can't help"}]), "refused", error="I can't help"),
    "unknown part beside text": Case(chat([{"type": "image_url"}, {"type": "text", "text": "Bird"}]), "failed"),
    "parts that are strings": Case(chat(["Bird"]), "failed", error="content"),
    "number": Case(chat(7), "failed", error="content"),
    "object": Case(chat({"text": "Bird"}), "failed", error="content"),
    "empty": Case(chat(""), "failed", error="no text", requests=3),
    "blank": Case(chat(" \n"), "failed", error="no text", requests=3),
    "null": Case(chat(None), "failed", error="no text", requests=3),
    "content missing": Case(with_choice(message={"role": "assistant"}), "failed", error="no text", requests=3),
    "audio beside the text": Case(chat("Bird", audio=SPOKEN), "ok", "Bird"),
    "audio instead of the text": Case(chat(None, audio=SPOKEN), "failed", error="speech"),
    "audio is null": Case(chat("Bird", audio=None), "ok", "Bird"),
    "audio in a second choice": Case(
        changed(chat("Bird"), choices=[*chat("Bird")["choices"], *chat(None, audio=SPOKEN)["choices"]]), "ok", "Bird"
    ),
    "audio in the first choice, text in the second": Case(
        changed(chat("Bird"), choices=[*chat(None, audio=SPOKEN)["choices"], *chat("Bird")["choices"]]), "ok", "Bird"
    ),
    "lone surrogate": Case(chat(f"Bird {SURROGATE}"), "ok", "Bird"),
    "nothing but a lone surrogate": Case(chat(SURROGATE), "unparseable"),
    "surrogate pair": Case(
        '{"choices": [{"finish_reason": "stop", "message": {"content": "Bird \\ud83d\\udc26"}}]}', "ok", "Bird"
    ),
    "NUL": Case(chat("Bird\x00"), "ok", "Bird"),
    "huge text": Case(chat("Bird " * 200_000), "failed", error="1,000,000 characters"),
    # Thoughts.
    "thoughts in tags": Case(chat("<think>Cat? No.</think>\n\nBird"), "ok", "Bird", {"thoughts": "Cat? No."}),
    "thinking tags": Case(chat("<thinking>Cat?</thinking>Bird"), "ok", "Bird", {"thoughts": "Cat?"}),
    "upper case tags": Case(chat("<THINK>Cat?</THINK>Bird"), "ok", "Bird"),
    "bracketed tags": Case(chat("[THINK]Cat?[/THINK]Bird"), "ok", "Bird"),
    "no thoughts in tags": Case(chat("<think>\n\n</think>\n\nBird"), "ok", "Bird", {"thoughts": None}),
    "nested tags": Case(chat("<think>Cat <think>or</think> Rain?</think>Bird"), "ok", "Bird"),
    "nested tags, closed once": Case(chat("<think>Cat <think>or Rain?</think>Bird"), "ok", "Bird"),
    "several thoughts": Case(chat("<think>Cat?</think>Bird<think>Rain?</think>"), "ok", "Bird"),
    **{
        f"thoughts as {who} writes them": Case(chat(text), "ok", "Bird", {"thoughts": "Cat?"})
        for who, text in {
            "gpt-oss": "<|channel|>analysis<|message|>Cat?<|end|><|start|>assistant<|channel|>final<|message|>Bird",
            "gpt-oss, with an end": "<|channel|>analysis<|message|>Cat?<|end|><|channel|>final <|constrain|>json"
            "<|message|>Bird<|return|>",
            "gpt-oss, without its special tokens": "analysisCat?assistantfinalBird",
            "gemma-4": "<|channel>thought\nCat?\n<channel|>Bird",
            "command-a": "<|START_THINKING|>Cat?<|END_THINKING|><|START_RESPONSE|>Bird<|END_RESPONSE|>",
            "kimi": "◁think▷Cat?◁/think▷Bird",
            "seed-oss": "<seed:think>Cat?</seed:think>Bird",
        }.items()
    },
    "a final channel alone": Case(chat("<|channel|>final<|message|>Bird"), "ok", "Bird", {"thoughts": None}),
    "an analysis channel at the limit": Case(
        chat("<|channel|>analysis<|message|>It is a Bird", "length"), "failed", error=MORE
    ),
    "an analysis that is an answer": Case(chat("analysis of the sound: Bird"), "ok", "Bird", {"thoughts": None}),
    "a closing tag only": Case(chat("Cat? No.</think>Bird"), "ok", "Bird", {"thoughts": "Cat? No."}),
    "thoughts and no answer": Case(chat("<think>Bird.</think>"), "failed", error="no text", requests=3),
    "thoughts never closed, stopped": Case(chat("<think>Bird."), "failed", error="no text", requests=3),
    "thoughts never closed, at the limit": Case(
        chat("<think>It is a Bird", "length"), "failed", error=MORE, usage={"thoughts": "It is a Bird"}
    ),
    "answer, then thoughts at the limit": Case(chat("Bird <think>or a Cat", "length"), "failed", error=MORE),
    "reasoning_content": Case(chat("Bird", reasoning_content="Cat?"), "ok", "Bird", {"thoughts": "Cat?"}),
    "reasoning": Case(chat("Bird", reasoning="Cat?"), "ok", "Bird", {"thoughts": "Cat?"}),
    "reasoning of another type": Case(chat("Bird", reasoning={"effort": "low"}), "ok", "Bird"),
    "reasoning_content alone, at the limit": Case(
        chat(None, "length", reasoning_content="It is a Bird"), "failed", error=MORE, usage={"thoughts": "It is a Bird"}
    ),
    "reasoning_content alone, stopped": Case(chat("", reasoning_content="Bird"), "failed", error="no text", requests=3),
    "hidden thoughts, at the limit": Case(chat("", "length"), "failed", error=MORE),
    # Why it ended.
    "length": Case(chat("Bird and", "length"), "ok", "Bird", FLAG),
    "length, unreadable": Case(chat("In this clip", "length"), "unparseable", None, FLAG),
    "content_filter": Case(chat("Bi", "content_filter"), "refused", error="content_filter"),
    "content_filter, empty": Case(chat(None, "content_filter"), "refused", error="content_filter"),
    "refusal": Case(chat(None, refusal="I can't help with that."), "refused", error="I can't help with that."),
    "refusal beside text": Case(chat("Bird", refusal="I can't."), "refused", error="I can't."),
    "refusal is empty": Case(chat("Bird", refusal=""), "ok", "Bird"),
    "tool_calls": Case(chat(None, "tool_calls", tool_calls=[CALL]), "failed", error="tool"),
    "tool_calls beside text": Case(chat("Bird", "tool_calls", tool_calls=[CALL]), "failed", error="tool"),
    "tool_calls, stopped": Case(chat(None, tool_calls=[CALL]), "failed", error="tool"),
    "tool_calls is empty": Case(chat("Bird", tool_calls=[]), "ok", "Bird"),
    "error": Case(chat("Bi", "error"), "failed", error="error", requests=3),
    "abort": Case(chat("Bi", "abort"), "failed", error="abort", requests=3),
    "finish_reason null": Case(chat("Bird", None), "failed", error="finish_reason"),
    "finish_reason missing": Case({"choices": [{"message": {"content": "Bird"}}]}, "failed", error="finish_reason"),
    "finish_reason unknown": Case(chat("Bird", "tired"), "failed", error="'tired'"),
    "finish_reason a number": Case(chat("Bird", 1), "failed", error="finish_reason"),
    "the choice's error": Case(
        with_choice(finish_reason="error", error={"code": 502, "message": "upstream died"}),
        "failed",
        error="upstream died",
        requests=3,
    ),
    # Counts.
    "usage null": Case(changed(chat("Bird"), usage=None), "ok", "Bird", {"prompt_tokens": None}),
    "usage missing": Case(without(chat("Bird"), "usage"), "ok", "Bird", {"prompt_tokens": None}),
    "counts null": Case(
        changed(chat("Bird"), usage={"prompt_tokens": None, "completion_tokens": 2}),
        "ok",
        "Bird",
        {"prompt_tokens": None, "new_tokens": 2},
    ),
    "counts missing": Case(changed(chat("Bird"), usage={}), "ok", "Bird", {"new_tokens": None}),
    "counts of other types": Case(
        changed(chat("Bird"), usage={"prompt_tokens": "many", "completion_tokens": -1}), "ok", "Bird"
    ),
    "counts of 5,000 digits": Case(
        json.dumps(chat("Bird")).replace('"prompt_tokens": 30', f'"prompt_tokens": {"3" * 5_000}'),
        "ok",
        "Bird",
        {"prompt_tokens": None, "new_tokens": 2},
    ),
    "usage a list": Case(changed(chat("Bird"), usage=[1, 2]), "ok", "Bird"),
    "thoughts counted": Case(
        changed(chat("Bird"), usage={**COUNTS, "completion_tokens_details": {"reasoning_tokens": 1}}),
        "ok",
        "Bird",
        {"thought_tokens": 1},
    ),
    "model null": Case(changed(chat("Bird"), model=None), "ok", "Bird"),
    "model a number": Case(changed(chat("Bird"), model=4), "ok", "Bird"),
    # No completion at all.
    "choices empty": Case(changed(chat(), choices=[]), "failed", error="choices"),
    "choices missing": Case(without(chat(), "choices"), "failed", error="choices"),
    "choices null": Case(changed(chat(), choices=None), "failed", error="choices"),
    "choices an object": Case(changed(chat(), choices={"0": 1}), "failed", error="choices"),
    "choice null": Case(changed(chat(), choices=[None]), "failed", error="choices"),
    "message null": Case(with_choice(message=None), "failed", error="message"),
    "message missing": Case(changed(chat(), choices=[{"text": "Bird", "finish_reason": "stop"}]), "failed"),
    "error with status 200": Case({"error": {"message": "no video", "code": 400}}, "failed", error="no video"),
    "error is text": Case({"error": "no video here"}, "failed", error="no video here"),
    "error as an object": Case({"object": "error", "message": "no video here"}, "failed", error="no video here"),
    "error is null": Case(changed(chat("Bird"), error=None), "ok", "Bird"),
    "HTML": Case("<html><body>Bird</body></html>", "failed", error="not valid JSON", requests=3),
    "empty body": Case("", "failed", error="not valid JSON", requests=3),
    "half of it": Case(json.dumps(chat("Bird"))[:90], "failed", error="not valid JSON", requests=3),
    "text reply": Case('"Bird"', "failed", error="not a chat completion"),
    "list": Case([chat("Bird")], "failed", error="not a chat completion"),
    "null reply": Case("null", "failed", error="not a chat completion"),
    "deep nesting": Case("[" * 100_000, "failed", error="not valid JSON", requests=3),
    "no UTF-8": Case(b'{"choices": "\xff\xfe"}', "failed", error="choices"),
}


def made(*parts: Any, finish: Any = "STOP", **more: Any) -> dict[str, Any]:
    counts = {"promptTokenCount": 30, "candidatesTokenCount": 2, "thoughtsTokenCount": 5, "totalTokenCount": 37}
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}
    return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "m-001", **more}


def candidate(**keys: Any) -> dict[str, Any]:
    return {**made(), "candidates": [keys]}


TEXT: Final = {"text": "Bird"}
REFUSING: Final = (
    *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION"),
    *("IMAGE_SAFETY", "IMAGE_RECITATION", "IMAGE_PROHIBITED_CONTENT", "PUP_LIMITED_DISABLED"),
)

GENERATED: Final = {
    "text": Case(made(TEXT), "ok", "Bird", {"finish_reason": "STOP", "prompt_tokens": 30, "new_tokens": 7}),
    "several parts": Case(made({"text": "Bi"}, {"text": "rd"}), "ok", "Bird"),
    "thought part": Case(made({"text": "Cat?", "thought": True}, TEXT), "ok", "Bird", {"thoughts": "Cat?"}),
    "thoughts in tags": Case(made({"text": "<think>Cat?</think>Bird"}), "ok", "Bird", {"thoughts": "Cat?"}),
    "thought is null": Case(made({"text": "Bird", "thought": None}), "ok", "Bird"),
    "thoughts alone, at the limit": Case(
        made({"text": "Bird", "thought": True}, finish="MAX_TOKENS"), "failed", error=MORE, usage={"thoughts": "Bird"}
    ),
    "thoughts alone, stopped": Case(made({"text": "Bird", "thought": True}), "failed", error="no text", requests=3),
    "empty STOP": Case(made(), "failed", error="no text", requests=3),
    "empty text": Case(made({"text": ""}), "failed", error="no text", requests=3),
    "no parts": Case(candidate(content={"role": "model"}, finishReason="STOP"), "failed", error="no text", requests=3),
    "no content": Case(candidate(finishReason="STOP"), "failed", error="no text", requests=3),
    "content null": Case(candidate(content=None, finishReason="STOP"), "failed", error="no text", requests=3),
    "no text at the limit": Case(made(finish="MAX_TOKENS"), "failed", error=MORE),
    "MAX_TOKENS": Case(made({"text": "Bird and"}, finish="MAX_TOKENS"), "ok", "Bird", FLAG),
    "signature only": Case(made(TEXT, {"thoughtSignature": "YQ=="}), "ok", "Bird"),
    "function call": Case(made({"functionCall": {"name": "look"}}), "failed", error="tool"),
    "picture": Case(made({"inlineData": {"mimeType": "image/png", "data": "YQ=="}}), "failed", requests=3),
    **{
        f"{reason}{', with text' * bool(parts)}": Case(made(*parts, finish=reason), "refused", error=reason)
        for reason in REFUSING
        for parts in ([], [{"text": "Bi"}])
    },
    "OTHER": Case(made({"text": "Bi"}, finish="OTHER"), "failed", error="OTHER", requests=3),
    **{
        reason: Case(made({"text": "Bi"}, finish=reason), "failed", error=reason, requests=3)
        for reason in ("IMAGE_OTHER", "NO_IMAGE", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE")
    },
    "CONTINUATION": Case(made({"text": "Bird and"}, finish="CONTINUATION"), "ok", "Bird", FLAG),
    "a block that is not specified": Case(
        made(TEXT, promptFeedback={"blockReason": "BLOCK_REASON_UNSPECIFIED"}), "ok", "Bird"
    ),
    "LANGUAGE": Case(made({"text": "Bi"}, finish="LANGUAGE"), "failed", error="LANGUAGE"),
    "MALFORMED_FUNCTION_CALL": Case(made(finish="MALFORMED_FUNCTION_CALL"), "failed", error="tool"),
    "finishReason unknown": Case(made(TEXT, finish="TIRED"), "failed", error="'TIRED'"),
    "finishReason null": Case(made(TEXT, finish=None), "failed", error="finish_reason None"),
    "finishReason a number": Case(made(TEXT, finish=1), "failed", error="finishReason"),
    **{
        f"blocked: {reason}": Case({"promptFeedback": {"blockReason": reason}}, "refused", error=reason)
        for reason in ("SAFETY", "OTHER", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "JAILBREAK", "A_NEW_ONE")
    },
    "blocked, candidates empty": Case(
        {"promptFeedback": {"blockReason": "SAFETY"}, "candidates": []}, "refused", error="SAFETY"
    ),
    "feedback without a block": Case(made(TEXT, promptFeedback={"safetyRatings": []}), "ok", "Bird"),
    "candidates empty": Case({"candidates": []}, "failed", error="candidates", requests=3),
    "nothing": Case({}, "failed", error="candidates", requests=3),
    "candidates null": Case({"candidates": None}, "failed", error="candidates", requests=3),
    "candidates an object": Case({"candidates": {}}, "failed", error="candidates"),
    "candidate null": Case({"candidates": [None]}, "failed", error="candidates"),
    "text a number": Case(made({"text": 7}), "failed", error="text"),
    "parts an object": Case(candidate(content={"parts": TEXT}, finishReason="STOP"), "failed", error="parts"),
    "usage missing": Case(without(made(TEXT), "usageMetadata"), "ok", "Bird", {"prompt_tokens": None}),
    "usage null": Case(made(TEXT, usageMetadata=None), "ok", "Bird", {"prompt_tokens": None}),
    "counts partial": Case(
        made(TEXT, usageMetadata={"promptTokenCount": 30}), "ok", "Bird", {"prompt_tokens": 30, "new_tokens": None}
    ),
    "counts null": Case(made(TEXT, usageMetadata={"promptTokenCount": None}), "ok", "Bird"),
    "counts of 5,000 digits": Case(
        json.dumps(made(TEXT)).replace('"promptTokenCount": 30', f'"promptTokenCount": {"3" * 5_000}'),
        "ok",
        "Bird",
        {"prompt_tokens": None, "thought_tokens": 5},
    ),
    "counts of other types": Case(made(TEXT, usageMetadata={"promptTokenCount": "many"}), "ok", "Bird"),
    "modelVersion null": Case(made(TEXT, modelVersion=None), "ok", "Bird"),
    "lone surrogate": Case(made({"text": f"Bird {SURROGATE}"}), "ok", "Bird"),
    "NUL": Case(made({"text": "Bird\x00"}), "ok", "Bird"),
    "error with status 200": Case({"error": {"code": 400, "message": "no video"}}, "failed", error="no video"),
    "HTML": Case("<html>Bird</html>", "failed", error="not valid JSON", requests=3),
    "text reply": Case('"Bird"', "failed", error="not a generateContent reply"),
    "list": Case([made(TEXT)], "failed", error="not a generateContent reply"),
}


def run(engine: Engine, server: Server, out: Path) -> Prediction:
    """The first of the predictions of a run over one clip, read from the run's file."""
    rows: Any = Rows([{**row("a", "aligned"), "video": {"bytes": clip(), "path": None}}])
    plan = Plan(conditions=("aligned",), protocols=(Protocol.FORCED_CHOICE,), sampling=Sampling())
    try:
        path = infer(engine, rows, plan, out, settings={})
    finally:
        engine.close()
    first, second = read_predictions(path)
    assert (first.status, first.answer, first.raw) == (second.status, second.answer, second.raw)
    return first


def check(case: Case, prediction: Prediction, server: Server) -> None:
    assert (prediction.status, prediction.answer) == (case.status, case.answer), prediction
    assert {key: prediction.usage.get(key) for key in case.usage} == case.usage
    assert case.error in (prediction.error or "")
    assert len(server.requests) == BEFORE + 2 * case.requests
    assert (prediction.raw is None) == (prediction.error is not None) == (case.status in ("failed", "refused"))
    if case.status == "failed":
        assert len(prediction.usage["reply"]) <= 2_000, "what came is kept, up to a bound"
        assert prediction.usage["reply"] or not case.body


@pytest.mark.parametrize("name", CHAT)
def test_a_chat_completion(name: str, tmp_path: Path) -> None:
    with serving(*[Reply(chat("yes"))] * BEFORE, Reply(CHAT[name].body)) as server:
        settings = OpenaiSettings(
            model="m", base_url=f"{server.url}/v1", api_key_env=None, max_retries=2, concurrency=1, timeout_s=600.0
        )
        check(CHAT[name], run(OpenaiEngine(settings), server, tmp_path), server)


@pytest.mark.parametrize("name", GENERATED)
def test_a_reply_of_gemini(name: str, tmp_path: Path) -> None:
    with serving(*[Reply(made({"text": "yes"}))] * BEFORE, Reply(GENERATED[name].body)) as server:
        settings = GeminiSettings(
            model="m", base_url=server.url, api_key_env=None, max_retries=2, concurrency=1, timeout_s=600.0
        )
        engine = GeminiEngine(settings, sleep=lambda _: None)
        check(GENERATED[name], run(engine, server, tmp_path), server)


ODD: Final = [
    "",
    "<html>",
    "null",
    "7",
    "[]",
    '{"error": null}',
    '{"error": [1]}',
    '{"error": {"code": []}}',
    "[" * 9_999,
]


@pytest.mark.parametrize("body", ODD)
@pytest.mark.parametrize("family", ["openai", "gemini"])
def test_an_error_in_any_form_is_the_prompts_alone(family: str, body: str, tmp_path: Path) -> None:
    well = chat("yes") if family == "openai" else made({"text": "yes"})
    with serving(*[Reply(well)] * BEFORE, Reply(body, 400)) as server:
        common: dict[str, Any] = {"model": "m", "api_key_env": None, "max_retries": 0, "timeout_s": 600.0}
        engine: Engine = (
            OpenaiEngine(OpenaiSettings(base_url=f"{server.url}/v1", **common))
            if family == "openai"
            else GeminiEngine(GeminiSettings(base_url=server.url, **common))
        )
        assert run(engine, server, tmp_path).status == "failed"


def test_every_reason_that_the_sdk_knows_has_a_meaning() -> None:
    known = {str(reason.value) for reason in FinishReason} - {"FINISH_REASON_UNSPECIFIED", "LANGUAGE"}
    assert known - _ENDINGS.keys() == set()
