"""The engine against programs that misbehave."""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mma_bench.errors import ConfigError, MmaBenchError
from mma_bench.models.contracts import Answer, ClipTask, Prompt, Stopped
from mma_bench.models.process import ProcessEngine, ProcessSettings
from tests.mma_bench.models.servers import clip, has_audio_track, task
from tests.waiting import wait_until

SEE = Prompt("visual.forced_choice.0", "What is seen?", options=("Bird", "Cat"))
HEAR = Prompt("audio.forced_choice.0", "What is heard?", options=("Bird", "Cat"))
SCORE = Prompt("visual.loglikelihood.0", "Which?", mode="score", options=("Bird", "Cat"))

# A program that counts its starts and requests in files, keeps the requests and the clips, and does `bad` when told.
PROGRAM = """
import json, os, shutil, signal, sys
folder = os.path.dirname(os.path.abspath(__file__))
def count(name):
    with open(os.path.join(folder, name), "a") as file:
        file.write("x")
    return os.path.getsize(os.path.join(folder, name))
def say(value):
    print(value if isinstance(value, str) else json.dumps(value), flush=True)
starts = count("starts")
HELLO = {"protocol": 1, "name": "toy", "revision": "r1"}
def good(request):
    return [{"key": p["key"], "text": p["key"].split(".")[0]} for p in request["prompts"]]
print("loading weights", file=sys.stderr, flush=True)
START
for line in sys.stdin:
    request = json.loads(line)
    asked = count("asked")
    with open(os.path.join(folder, "requests"), "a") as file:
        file.write(line)
    shutil.copy(request["video"], os.path.join(folder, f"clip{asked}.mp4"))
    REPLY
"""
GOOD = 'say({"answers": good(request)})'
BAD = {
    "dead": "sys.exit(3)",
    "dead in a line": "sys.stdout.write('{\"answers\": '); sys.stdout.flush(); os._exit(4)",
    "no JSON": "say('Loading checkpoint shards: 100%')",
    "no object": "say([1])",
    "no answers": "say({'result': 1})",
    "wrong key": "say({'answers': [{'key': 'other', 'text': 'Bird'}] + good(request)[1:]})",
    "missing key": "say({'answers': good(request)[1:]})",
    "key twice": "say({'answers': good(request) + good(request)})",
    "no text": "say({'answers': [{'key': a['key']} for a in good(request)]})",
    "text is a number": "say({'answers': [{'key': a['key'], 'text': 1} for a in good(request)]})",
    "silent": "count('silences'); signal.pause()",
}
SAYS = {
    "dead": "died (exit code 3)",
    "dead in a line": "died (exit code 4)",
    "no JSON": "not JSON: 'Loading checkpoint shards",
    "no object": "its reply contains no valid answers ((top): Input should be an object): [1]",
    "no answers": "no valid answers (answers: Field required)",
    "wrong key": "answered 'other', which was not requested",
    "missing key": "gave 0 answers to visual.forced_choice.0",
    "key twice": "gave 2 answers to visual.forced_choice.0",
    "no text": "gave no text for visual.forced_choice.0",
    "text is a number": "answers.0.text: Input should be a valid string",
    "silent": "was silent for 0.4 s",
}


@pytest.fixture(autouse=True)
def _time_is_up_when_the_program_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's timers go off when the program says that it falls silent, and not by the clock."""

    class Timer(threading.Thread):
        def __init__(self, _seconds: float, function: Callable[[], None]) -> None:
            super().__init__(daemon=True)
            self.function, self.cancelled, self.before = function, threading.Event(), count(tmp_path, "silences")

        def run(self) -> None:
            wait_until(lambda: self.cancelled.is_set() or count(tmp_path, "silences") > self.before)
            if not self.cancelled.is_set():
                self.function()

        def cancel(self) -> None:
            self.cancelled.set()

    monkeypatch.setattr(threading, "Timer", Timer)


@contextmanager
def running(folder: Path, reply: str = GOOD, start: str = "say(HELLO)", **settings: Any) -> Iterator[ProcessEngine]:
    program = folder / "toy.py"
    program.write_text(PROGRAM.replace("START", start).replace("REPLY", reply))
    bounds = {"start_timeout_s": 600.0, "timeout_s": 600.0, **settings}
    engine = ProcessEngine(ProcessSettings(command=[sys.executable, "-S", str(program)], **bounds), name="mine")
    try:
        yield engine
    finally:
        engine.close()


def count(folder: Path, name: str) -> int:
    return (folder / name).stat().st_size if (folder / name).exists() else 0


def one(engine: ProcessEngine, on: ClipTask) -> list[Answer]:
    (answers,) = engine.answer([on])
    return answers


def test_questions_and_answers(tmp_path: Path) -> None:
    asked = ("É?", "generate", ("Bird",), 5, 0.5, 1)
    long = Prompt("audio.forced_choice.1", *asked, question="audio", protocol="forced_choice")
    with running(tmp_path) as engine:
        assert (engine.name, engine.revision, engine.modes) == ("mine", "r1", {"generate"})
        answers = engine.answer([task(SEE, HEAR), task(long, id="b.aligned")])
    assert answers == [
        [Answer(SEE.key, text="visual"), Answer(HEAR.key, text="audio")],
        [Answer(long.key, text="audio")],
    ]
    requests = [json.loads(line) for line in (tmp_path / "requests").read_text().splitlines()]
    assert requests[1] == {
        "id": "b.aligned",
        "video": requests[1]["video"],
        "hears": True,
        "prompts": [
            {
                "key": long.key,
                "text": "É?",
                "mode": "generate",
                "options": ["Bird"],
                "max_new_tokens": 5,
                "temperature": 0.5,
                "seed": 1,
            }
        ],
    }
    assert (tmp_path / "clip1.mp4").read_bytes() == clip()
    assert not Path(requests[1]["video"]).exists()
    assert not Path(requests[1]["video"]).parent.exists()
    assert count(tmp_path, "starts") == 1


@pytest.mark.parametrize(
    ("text", "answer", "thoughts"),
    [
        ("<think>Cat?</think>\n\nBird", "Bird", "Cat?"),
        ("Cat?</think>Bird", "Bird", "Cat?"),
        ("<think>\n\n</think>\n\nBird", "Bird", None),
        (" Bird\n", " Bird\n", None),
        ("<thing>Bird", "<thing>Bird", None),
        ("", "", None),
        ("<think>It is a Bird", None, "It is a Bird"),
        ("<think>It is a Bird</think>", None, "It is a Bird"),
    ],
)
def test_thoughts_are_no_part_of_an_answer(tmp_path: Path, text: str, answer: str | None, thoughts: str | None) -> None:
    reply = f"say({{'answers': [{{'key': p['key'], 'text': {text!r}}} for p in request['prompts']]}})"
    with running(tmp_path, reply) as engine:
        (given,) = one(engine, task(SEE))
    assert (given.text, given.usage.get("thoughts")) == (answer, thoughts)
    assert (given.error is None) == (answer is not None)
    assert "raise max_new_tokens" in (given.error or "raise max_new_tokens")


def test_a_models_file_may_give_room_for_thoughts(tmp_path: Path) -> None:
    with running(tmp_path, max_new_tokens=900) as engine:
        one(engine, task(SEE))
    (request,) = [json.loads(line) for line in (tmp_path / "requests").read_text().splitlines()]
    assert request["prompts"][0]["max_new_tokens"] == 900


def test_answers_in_any_order_find_their_prompts(tmp_path: Path) -> None:
    with running(tmp_path, "say({'answers': good(request)[::-1]})") as engine:
        assert [answer.text for answer in one(engine, task(SEE, HEAR))] == ["visual", "audio"]


def test_a_condition_without_sound_has_no_track(tmp_path: Path) -> None:
    with running(tmp_path) as engine:
        engine.answer([task(SEE), task(SEE, condition="audio_dropped")])
    assert has_audio_track((tmp_path / "clip1.mp4").read_bytes())
    assert not has_audio_track((tmp_path / "clip2.mp4").read_bytes())
    assert [json.loads(line)["hears"] for line in (tmp_path / "requests").read_text().splitlines()] == [True, False]


@pytest.mark.parametrize("what", list(BAD))
def test_a_lasting_fault_is_the_clips_error_after_one_restart(tmp_path: Path, what: str) -> None:
    bad = f"if request['id'] != 'bad': {GOOD}\n    else: {BAD[what]}"
    with running(tmp_path, bad, timeout_s=0.4) as engine:
        failed, fine = engine.answer([task(SEE, HEAR, id="bad"), task(SEE, id="fine")])
    for answer in failed:
        assert answer.text is None
        assert answer.error is not None
        assert answer.error.startswith("clip bad: ")
        assert SAYS[what] in answer.error
        assert "toy.py" in answer.error
        assert "loading weights" in answer.error
    assert [answer.text for answer in fine] == ["visual"]
    assert count(tmp_path, "starts") == 3  # at first, for the second try, for the next clip


@pytest.mark.parametrize("what", list(BAD))
def test_a_passing_fault_is_no_error(tmp_path: Path, what: str) -> None:
    bad = f"if asked != 1: {GOOD}\n    else: {BAD[what]}"
    with running(tmp_path, bad, timeout_s=0.4) as engine:
        assert [answer.text for answer in one(engine, task(SEE, HEAR))] == ["visual", "audio"]
    assert (count(tmp_path, "starts"), count(tmp_path, "asked")) == (2, 2)


def test_an_error_of_one_prompt_is_that_prompts(tmp_path: Path) -> None:
    reply = "say({'answers': [{'key': request['prompts'][0]['key'], 'error': 'too long'}] + good(request)[1:]})"
    with running(tmp_path, reply) as engine:
        failed, fine = one(engine, task(SEE, HEAR))
    assert (failed.error, failed.text, fine.text) == ("too long", None, "audio")
    assert count(tmp_path, "starts") == 1


def test_a_program_that_fails_clip_after_clip_is_given_up(tmp_path: Path) -> None:
    tasks = [task(SEE, id=str(index)) for index in range(5)]
    fails = f"if asked == 1: {GOOD}\n    else: sys.exit(3)"
    in_a_row = pytest.raises(Stopped, match=r"2 clips in a row failed; .*exit code 3")
    with running(tmp_path, fails, max_failures=2) as engine, in_a_row as stop:
        engine.answer(tasks)
    answers = stop.value.answers
    assert [answer.text for row in answers for answer in row] == ["visual", None, None]
    assert len(answers) == 5


@pytest.mark.parametrize(
    ("start", "error"),
    [
        ("sys.exit('no such checkpoint')", "no such checkpoint"),
        ("say('Welcome')", "not JSON: 'Welcome"),
        ("say({'name': 'toy'})", "its first line is not"),
        ("say({**HELLO, 'revision': ''})", "revision: String should have at least 1 character"),
        ("say({**HELLO, 'modes': ['chat']})", "modes.0: Input should be 'generate' or 'score'"),
        ("count('silences'); signal.pause()", "was silent for 0.4 s"),
    ],
)
def test_a_program_that_does_not_become_ready_is_an_error_at_once(tmp_path: Path, start: str, error: str) -> None:
    unready = pytest.raises(MmaBenchError, match="did not become ready")
    with unready as caught, running(tmp_path, start=start, start_timeout_s=0.4):
        pass
    assert error in str(caught.value)
    assert "toy.py" in str(caught.value)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(MmaBenchError, match="no-such-program cannot be started"):
        ProcessEngine(ProcessSettings(command=["no-such-program"]))


def test_another_revision_after_a_restart_is_refused(tmp_path: Path) -> None:
    start = "say({**HELLO, 'revision': f'r{starts}'})"
    with running(tmp_path, f"if asked > 1: {GOOD}\n    else: sys.exit(3)", start) as engine:
        (answer,) = one(engine, task(SEE))
    assert "is now revision 'r2' and was 'r1'" in (answer.error or "")


def test_log_likelihoods_of_just_the_options(tmp_path: Path) -> None:
    start = "say({**HELLO, 'modes': ['generate', 'score']})"
    scores = "{option: -index for index, option in enumerate(p['options'])}"
    reply = f"say({{'answers': [{{'key': p['key'], 'logprobs': {scores}}} for p in request['prompts']]}})"
    with running(tmp_path, reply, start) as engine:
        assert engine.modes == {"generate", "score"}
        (answer,) = one(engine, task(SCORE))
    assert answer == Answer(SCORE.key, logprobs={"Bird": 0.0, "Cat": -1.0})


def test_token_counts_and_priors_may_be_added(tmp_path: Path) -> None:
    start = "say({**HELLO, 'modes': ['generate', 'score']})"
    scores = "'logprobs': {'Cat': -1, 'Bird': 0}, 'option_tokens': {'Bird': 2, 'Cat': 1}, 'prior_logprobs': PRIOR"
    reply = f"say({{'answers': [{{'key': p['key'], {scores}}} for p in request['prompts']]}})"
    with running(tmp_path, reply.replace("PRIOR", "{'Bird': -3, 'Cat': -4.5}"), start) as engine:
        (answer,) = one(engine, task(SCORE))
    assert answer.option_tokens == {"Bird": 2, "Cat": 1}
    assert answer.prior_logprobs == {"Bird": -3.0, "Cat": -4.5}
    with running(tmp_path, reply.replace("PRIOR", "{'Bird': -3}"), start) as engine:
        (answer,) = one(engine, task(SCORE))
    assert "must give the prior_logprobs of exactly the options" in (answer.error or "")


@pytest.mark.parametrize(
    "logprobs", ['{"Bird": -1}', '{"Bird": -1, "Cat": NaN}', '{"Bird": -1, "Cat": "x"}', '{"Bird": -1, "Cat": true}']
)
def test_other_log_likelihoods_are_refused(tmp_path: Path, logprobs: str) -> None:
    reply = f"say('{{\"answers\": [{{\"key\": \"' + request['prompts'][0]['key'] + '\", \"logprobs\": {logprobs}}}]}}')"
    with running(tmp_path, reply) as engine:
        (answer,) = one(engine, task(SCORE))
    assert "logprob" in (answer.error or "")
    assert answer.logprobs is None


def test_much_on_stderr_does_not_stop_the_program(tmp_path: Path) -> None:
    with running(tmp_path, f"print('x' * 300_000, file=sys.stderr); {GOOD}") as engine:
        assert one(engine, task(SEE))[0].text == "visual"


def test_close_ends_the_program_and_its_children(tmp_path: Path) -> None:
    start = (
        "import subprocess; child = subprocess.Popen([sys.executable, '-S', '-c', 'import signal; signal.pause()'])\n"
        "say({**HELLO, 'revision': f'{os.getpid()} {child.pid}'})"
    )
    with running(tmp_path, start=start) as engine:
        pids = [int(pid) for pid in engine.revision.split()]
    wait_until(lambda: not any(map(_alive, pids)))


def _alive(pid: int) -> bool:
    """Neither gone nor waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_damaged_clip_is_its_prompts_error_and_no_fault_of_the_program(tmp_path: Path) -> None:
    with running(tmp_path) as engine:
        broken, fine = engine.answer([task(SEE, condition="audio_dropped", video=b"no video"), task(SEE)])
    assert "clip a.aligned" in (broken[0].error or "")
    assert fine[0].text == "visual"
    assert count(tmp_path, "starts") == 1


def test_a_variable_of_the_environment_stands_for_its_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    monkeypatch.setenv("TOY_PYTHON", sys.executable)
    monkeypatch.setenv("TOY_FOLDER", os.fspath(tmp_path))
    engine = ProcessEngine(ProcessSettings(command=["$TOY_PYTHON", "-S", "toy.py"], folder="$TOY_FOLDER"))
    engine.close()
    assert engine.name == "toy"
    monkeypatch.delenv("TOY_PYTHON")
    with pytest.raises(ConfigError, match="TOY_PYTHON"):
        ProcessEngine(ProcessSettings(command=["$TOY_PYTHON", "toy.py"]))


def test_a_key_in_the_command_is_not_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", "sk-0123456789")
    code = "import sys; print('bad key', sys.argv[1], file=sys.stderr); sys.exit(1)"
    with pytest.raises(MmaBenchError) as error:
        ProcessEngine(ProcessSettings(command=[sys.executable, "-c", code, "--key=$TOY_KEY"]))
    assert "sk-0123456789" not in str(error.value)
    assert "bad key --key=$TOY_KEY" in str(error.value)
    with pytest.raises(MmaBenchError) as error:
        ProcessEngine(ProcessSettings(command=["$TOY_KEY/python"]))
    assert "sk-0123456789" not in str(error.value)


def test_an_endless_line_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mma_bench.models.process._LONGEST_LINE", 1000)
    code = "import sys\nwhile True: sys.stdout.write('x' * 1000)"
    with pytest.raises(MmaBenchError, match="a line of 1000 characters or more"):
        ProcessEngine(ProcessSettings(command=[sys.executable, "-c", code]))


def test_without_a_clip_a_program_is_not_asked(tmp_path: Path) -> None:
    alone = replace(task(SEE, HEAR, video=b""), text_alone=True, hears=False)
    with running(tmp_path) as engine:
        first, second = engine.answer([alone, task(SEE)])
    assert [(answer.key, answer.text) for answer in first] == [(SEE.key, None), (HEAR.key, None)]
    assert all("given a clip" in (answer.unsupported or "") for answer in first)
    assert second == [Answer(SEE.key, text="visual")]
    assert len((tmp_path / "requests").read_text().splitlines()) == 1
