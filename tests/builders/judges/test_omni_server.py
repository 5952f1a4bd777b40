"""The omni judge behind a local server: what is sent, what is made of the replies, and a server that fails."""

import base64
import io
import math
import wave
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest
import yaml

from mma_bench.builders import judge as stage
from mma_bench.builders.judges import open_judge
from mma_bench.builders.judges.contracts import View
from mma_bench.builders.judges.omni_server import as_mp4
from mma_bench.config import OmniJudgeParams
from mma_bench.errors import Blocked, ConfigError, Retryable
from mma_bench.files import write_text
from tests.mma_bench.models.servers import Reply, Request, Server, serving

KEY = "sk-very-secret-0123456789"
VIEW = View(
    2.0,
    np.stack([np.add.outer(np.arange(57), np.arange(84))[..., None].repeat(3, 2) + 30 * n for n in range(4)]).astype(
        np.uint8
    ),
    np.sin(np.arange(32_000) / 9).astype(np.float32) / 2,
)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def completion(text: str = "Yes.", likeliest: dict[str, float] | None = None) -> dict[str, Any]:
    """A reply; `likeliest` are probabilities of the first token."""
    top = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in (likeliest or {}).items()]
    first = {"token": text[:3], "logprob": 0.0, "bytes": None, "top_logprobs": top}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    logprobs = {"content": [first]} if likeliest is not None else None
    return {
        **{"id": "1", "object": "chat.completion", "created": 1, "model": "served"},
        "choices": [{**choice, "logprobs": logprobs}],
    }


YES = Reply(completion("Yes.", {"Yes": 0.5, " yes": 0.25, "No": 0.125, "It": 0.125}))


@pytest.fixture
def params(tmp_path: Any) -> Iterator[Any]:
    def made(server: Server, **other: Any) -> OmniJudgeParams:
        settings = {"model": "m", "base_url": f"{server.url}/v1", "max_retries": 0, "timeout_s": 600.0}
        model = {"name": "served", "engine": "openai", "needs": "", "settings": settings}
        write_text(tmp_path / "served.yaml", yaml.safe_dump(model))
        values = {
            **{"name": "omni-server", "model": str(tmp_path / "served.yaml"), "settings": {}, "frames": 4},
            **{"decide_by": "answer", "visual_threshold": 0.5, "audio_threshold": 0.9, "processes": 1},
        }
        return OmniJudgeParams.model_validate(values | other)

    return made  # type: ignore[return-value]


def parts(request: Request) -> dict[str, Any]:
    ((message,),) = (request.body["messages"],)
    return {part["type"]: part for part in message["content"]}


def sent_frames(request: Request) -> np.ndarray[Any, Any]:
    video = base64.b64decode(parts(request)["video_url"]["video_url"]["url"].split(",")[1])
    with av.open(io.BytesIO(video)) as file:
        assert not file.streams.audio, "sound travels beside the video"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


@pytest.mark.slow
def test_the_four_checks_send_only_what_is_open(params: Any) -> None:
    with serving(YES) as server:
        judge = open_judge(params(server))
        result = stage.four_checks(judge, VIEW, "Bowed_string_instrument")
    sight, hearing, *both = server.requests
    visual, audio = (
        "Is the Bowed string instrument clearly visible in this video?",
        "Is the sound of Bowed string instrument clearly audible in this video?",
    )
    assert [parts(request)["text"]["text"] for request in server.requests] == [visual, audio, visual, audio]
    assert "input_audio" not in parts(sight)
    assert np.abs(sent_frames(sight).astype(int) - VIEW.frames[:, :56]).mean() < 3  # type: ignore[index]
    assert sent_frames(hearing).max() <= 1, "black, but for rounding"
    for request in (hearing, *both):
        with wave.open(io.BytesIO(base64.b64decode(parts(request)["input_audio"]["input_audio"]["data"]))) as file:
            heard = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
        assert np.abs(heard[:32_000] - VIEW.audio).max() < 1e-3
    assert sent_frames(both[0]).max() > 100
    assert parts(both[0])["video_url"] == parts(both[1])["video_url"]
    for request in server.requests:
        assert (request.body["temperature"], request.body["logprobs"], request.body["top_logprobs"]) == (0.0, True, 20)
    assert result["visual_unimodal_answer"] == "Yes."
    assert result["visual_unimodal_score"] == pytest.approx(0.75 / 0.875, abs=1e-6), "spellings count together"
    assert "status" not in result


@pytest.mark.parametrize(
    ("reply", "decide_by", "yes", "score"),
    [
        (completion("No.", {"No": 0.9, "Yes": 0.1}), "answer", False, 0.1),
        (completion("No.", {"No": 0.4, "Yes": 0.6}), "answer", False, 0.6),
        (completion("No.", {"No": 0.05, "Yes": 0.95}), "probability", True, 0.95),
        (completion("A cat.", {"A": 1.0}), "answer", False, 0.0),
    ],
)
def test_the_reply_decides(params: Any, reply: dict[str, Any], decide_by: str, yes: bool, score: float) -> None:
    with serving(Reply(reply)) as server:
        answer = open_judge(params(server, decide_by=decide_by)).ask(VIEW, "audio", "Cat")
    assert (answer.yes, answer.words) == (yes, reply["choices"][0]["message"]["content"])
    assert answer.score == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (Reply(completion("Yes.", None)), Retryable, "no_logprobs: m gave no logprobs"),
        (Reply({"error": "overloaded"}, status=503), Retryable, "no_answer: clip view: 503"),
        (Reply("{", 200), Retryable, "no_answer: .*not valid JSON"),
        (Reply({"error": KEY}, status=401), Blocked, r"server_refuses: .*401 .*\*\*\*"),
        (Reply({"error": "no such model"}, status=404), Blocked, "server_refuses: .*404"),
    ],
)
def test_a_server_that_fails_gives_no_verdict(params: Any, reply: Reply, error: Any, message: str) -> None:
    with serving(reply) as server, pytest.raises(error, match=message) as raised:
        open_judge(params(server)).ask(VIEW, "visual", "Cat")
    assert KEY not in str(raised.value)


def test_a_closed_sense_is_not_asked_about(params: Any) -> None:
    with serving(YES) as server:
        judge = open_judge(params(server))
        with pytest.raises(ValueError, match="no audio content"):
            judge.ask(VIEW.only("visual"), "audio", "Cat")
    assert not server.requests


def test_where_the_server_stands_is_no_part_of_the_revision(params: Any) -> None:
    with serving(YES) as one, serving(YES) as two:
        revisions = [open_judge(params(server)).revision for server in (one, two)]
        other = open_judge(params(one, settings={"revision": "2"})).revision
    assert revisions[0] == revisions[1] != other
    assert KEY not in "".join(revisions)


def test_a_key_that_is_missing_and_a_model_that_is_deaf_stop_before_any_question(
    params: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(YES) as server:
        with pytest.raises(ConfigError, match="a judge must hear"):
            open_judge(params(server, settings={"sound": "none"}))
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
            open_judge(params(server))
    assert not server.requests


def test_a_view_becomes_a_file_of_its_length() -> None:
    with av.open(io.BytesIO(as_mp4(VIEW, 4))) as file:
        assert float(file.streams.video[0].average_rate or 0) == 2.0
        assert (file.streams.video[0].width, file.streams.video[0].height) == (84, 56)
        assert file.streams.audio[0].codec_context.name == "flac"
        assert float(file.duration or 0) / av.time_base == pytest.approx(2.0, abs=0.05)
