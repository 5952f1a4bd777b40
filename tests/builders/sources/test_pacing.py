"""One pace and one breaker for all processes; a pause outlasts the run."""

import json
import multiprocessing
from itertools import pairwise
from pathlib import Path

import pytest

from mma_bench.builders.sources.pacing import Pacer, RateLimits
from mma_bench.errors import Blocked, InvalidInput, Permanent, Retryable


class Clock:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def pacer(path: Path, clock: Clock, **changes: float | None) -> Pacer:
    limits = {"interval_s": 2.0, "jitter": 0.5, "bytes_per_s": None, "block_after": 3, "pause_s": 100.0} | changes
    return Pacer(path / "pace.json", RateLimits(**limits), clock=clock, sleep=clock.sleep)  # type: ignore[arg-type]


def test_turns_are_apart_on_average_and_vary(tmp_path: Path) -> None:
    clock = Clock()
    two = [pacer(tmp_path, clock), pacer(tmp_path, clock)]  # as two workers
    times = []
    for turn in range(200):
        two[turn % 2].wait_for_turn()
        times.append(clock.now)
    steps = [after - before for before, after in pairwise(times)]
    assert min(steps) >= 1 - 1e-6
    assert max(steps) <= 3 + 1e-6
    assert 1.8 < sum(steps) / len(steps) < 2.2
    assert len({round(step, 3) for step in steps}) > 50


def test_bytes_are_limited_over_all(tmp_path: Path) -> None:
    clock = Clock()
    two = [pacer(tmp_path, clock, bytes_per_s=1000), pacer(tmp_path, clock, bytes_per_s=1000)]
    begin = clock.now
    for turn in range(100):
        two[turn % 2].count_bytes(500)
    assert clock.now - begin == pytest.approx(49.5)


def _turns(path: Path, count: int) -> None:
    """Take turns at a moment that does not pass, and note how long each had to be waited for."""
    limits = RateLimits(interval_s=2.0, jitter=0.0, bytes_per_s=None, block_after=3, pause_s=1)

    def note(seconds: float) -> None:
        with (path / "waits").open("a") as log:
            log.write(f"{seconds}\n")

    for _ in range(count):
        Pacer(path / "pace.json", limits, clock=lambda: 1000.0, sleep=note).wait_for_turn()


def test_processes_share_the_pace(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_turns, args=(tmp_path, 10)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    waits = sorted(float(line) for line in (tmp_path / "waits").read_text().split())
    assert waits == [2.0 * turn for turn in range(1, 30)], "the first of 30 turns is not waited for"


def test_a_block_is_a_pause_for_all_and_doubles(tmp_path: Path) -> None:
    clock = Clock()
    one, other = pacer(tmp_path, clock), pacer(tmp_path, clock)
    told = one.failed(Blocked("bot_check", "not a bot?"), "v")
    assert "come back after 1970-01-12 13:48:20 UTC; not a bot?" in told.detail
    with pytest.raises(Blocked, match="bot_check"):
        other.wait_for_turn()
    other.failed(Blocked("bot_check", "the same block, seen by another worker"), "v")
    found = other.pause()
    assert found is not None
    assert found.until.timestamp() == clock.now + 100
    clock.now += 101
    other.begin_run()
    other.wait_for_turn()
    other.failed(Blocked("bot_check", "again"), "v")
    found = other.pause()
    assert found is not None
    assert found.until.timestamp() == pytest.approx(clock.now + 200)
    clock.now += 201
    one.succeeded()
    one.failed(Blocked("bot_check", "much later"), "v")
    found = one.pause()
    assert found is not None
    assert found.until.timestamp() == pytest.approx(clock.now + 100)


@pytest.mark.parametrize(("asked", "pause"), [(5.0, 100), (7200.0, 7200), (1e9, 86_400)])
def test_the_sites_own_wish_counts_if_it_is_longer(tmp_path: Path, asked: float, pause: float) -> None:
    clock = Clock()
    one = pacer(tmp_path, clock)
    one.failed(Blocked("too_many_requests"), "v", asked)
    found = one.pause()
    assert found is not None
    assert found.until.timestamp() == clock.now + pause


def test_the_same_answer_to_several_videos_is_a_block_and_one_success_forgives(tmp_path: Path) -> None:
    one = pacer(tmp_path, Clock())
    refusal = Retryable("http_403", "no")
    for forgiving in (
        one.succeeded,
        lambda: one.failed(Permanent("removed"), "v"),
        lambda: one.failed(InvalidInput("x"), "v"),
        lambda: one.failed(Retryable("age_restricted"), "v"),
    ):
        assert one.failed(refusal, "a") is refusal
        assert one.failed(refusal, "b") is refusal
        forgiving()
    assert one.failed(refusal, "a") is refusal
    assert one.failed(Retryable("http_503"), "b").status == "retry"
    assert one.failed(refusal, "c") is refusal
    told = one.failed(refusal, "d")
    assert (told.status, told.reason) == ("blocked", "refusals")
    assert "3 videos in a row failed with http_403: no" in told.detail


def test_one_video_and_different_answers_are_no_block(tmp_path: Path) -> None:
    one = pacer(tmp_path, Clock())
    for _ in range(5):
        assert one.failed(Retryable("try_again_later"), "a").status == "retry"
    for turn in range(6):
        assert one.failed(Retryable(("login_demanded", "unavailable")[turn % 2]), f"v{turn}").status == "retry"
    assert one.failed(Retryable("network_restricted"), "a").status == "retry"
    assert one.failed(Retryable("timeout"), "b").status == "retry"
    assert one.failed(Retryable("network_restricted"), "c").status == "retry"
    assert one.failed(Retryable("network_restricted"), "d").status == "blocked"


def test_no_way_to_the_site_ends_a_run_but_asks_for_no_pause(tmp_path: Path) -> None:
    clock = Clock()
    one = pacer(tmp_path, clock)
    lost = Retryable("unreachable", "Name or service not known")
    assert [one.failed(lost, "v").status for _ in range(3)] == ["retry", "retry", "blocked"]
    with pytest.raises(Blocked, match="the site cannot be reached from here"):
        one.wait_for_turn()
    one.begin_run()
    one.wait_for_turn()
    assert one.failed(lost, "v") is lost


def test_the_state_of_an_older_version_keeps_its_pause(tmp_path: Path) -> None:
    clock = Clock()
    old = {"refusals": 2, "paused_until": clock.now + 50, "reason": "bot_check", "detail": "not a bot?"}
    (tmp_path / "pace.json").write_text(json.dumps(old))
    with pytest.raises(Blocked, match="bot_check"):
        pacer(tmp_path, clock).wait_for_turn()


@pytest.mark.parametrize("damage", ["{", "[]", '{"next_clip_at": "soon"}', '{"next_clip_at": 1e999}', "\udcff"])
def test_a_damaged_state_is_named_and_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    (tmp_path / "pace.json").write_bytes(damage.encode(errors="surrogateescape"))
    pacer(tmp_path, Clock()).wait_for_turn()
    assert "pace.json is damaged and was renamed to pace.json.damaged" in capsys.readouterr().err
    assert (tmp_path / "pace.json.damaged").read_bytes() == damage.encode(errors="surrogateescape")
    assert (tmp_path / "pace.json").is_file()


def test_a_clock_that_was_ahead_makes_no_longer_waits(tmp_path: Path) -> None:
    clock = Clock()
    right = clock.now
    clock.now += 3 * 86_400
    pacer(tmp_path, clock, bytes_per_s=1000).count_bytes(500)
    pacer(tmp_path, clock).wait_for_turn()
    pacer(tmp_path, clock).failed(Blocked("bot_check"), "a")
    clock.now = right
    one = pacer(tmp_path, clock, bytes_per_s=1000)
    found = one.pause()
    assert found is not None
    assert found.until.timestamp() <= right + 100
    clock.now = begin = right + 101
    one.wait_for_turn()
    one.count_bytes(500)
    assert clock.now - begin <= 2 * 3 + 1


def test_a_long_wait_is_bounded_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    begin = clock.now
    (tmp_path / "pace.json").write_text(json.dumps({"next_clip_at": 1e12}))  # as an earlier version wrote it
    pacer(tmp_path, clock).wait_for_turn()
    assert clock.now - begin <= 3
    begin = clock.now
    (tmp_path / "pace.json").write_text(json.dumps({"at": 1.0, "next_clip_at": 1e12}))
    pacer(tmp_path, clock).wait_for_turn()
    assert clock.now - begin <= 86_400
    assert "acquire: waiting 86400 s for the shared request rate" in capsys.readouterr().err
