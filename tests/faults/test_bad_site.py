"""Acquisition from a site that misbehaves: exact counts, no clip called dead, none fetched twice after a kill."""

import os
import random
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mma_bench import layout
from mma_bench.files import file_sha256
from mma_bench.schema import ACQUIRED
from mma_bench.tables import read_json, read_table
from tests.builders.sources.bad_site import Site, bad_site
from tests.builders.sources.site_project import (
    attempts,
    build,
    command,
    outcomes,
    small_video,
    video_ids,
    write_project,
)
from tests.faults.kill import is_over
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

# What the site does to how many videos, and how each ends. The faults that pass within a run end as ok.
FATES: dict[str, tuple[int, str, str]] = {
    "goo": (197, "ok", ""),
    "404": (60, "unavailable", "http_404"),
    "410": (60, "unavailable", "http_410"),
    "403": (20, "retry", "http_403"),
    "503": (20, "retry", "http_503"),
    "med": (20, "retry", "http_404"),
    "cut": (20, "retry", "connection_lost"),
    "big": (20, "refused", "too_many_bytes"),
    "txt": (20, "refused", "unreadable"),
    "emp": (10, "refused", "empty_file"),
    "o53": (16, "ok", ""),
    "o43": (10, "ok", ""),
    "ore": (10, "ok", ""),
    "ocu": (10, "ok", ""),
    "429": (2, "ok", ""),  # after the block
    "bot": (2, "ok", ""),
    "log": (2, "ok", ""),
    "loo": (1, "retry", "redirect_loop"),
}
BLOCKS = {"429", "bot", "log"}


def expected(counts: dict[str, int]) -> Counter[tuple[str, str]]:
    """How many clips end with which status and reason."""
    total: Counter[tuple[str, str]] = Counter()
    for fault, count in counts.items():
        total[FATES[fault][1:]] += count
    return total


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small_video(tmp_path_factory.mktemp("video") / "video.mp4")


@pytest.fixture
def site(video: bytes) -> Iterator[Site]:
    with bad_site(video) as found:
        yield found


def test_500_segments_end_as_they_must(site: Site, tmp_path: Path) -> None:
    counts = {fault: count for fault, (count, _, _) in FATES.items()}
    assert sum(counts.values()) == 500
    root = write_project(tmp_path / "project", site.address, video_ids(counts))

    first = build(root)
    assert first.returncode == 4, first.stderr
    assert "come back after" in first.stderr
    assert "Traceback" not in first.stderr
    blocked = {entry["key"][:3] for entry in attempts(root) if entry["status"] == "blocked"}
    assert blocked, "a block stops the run"
    dead = {entry["key"][:3] for entry in attempts(root) if entry["status"] in ("unavailable", "refused")}
    assert dead <= {"404", "410", "big", "txt", "emp"}, "a block kills nothing"

    asked = site.pages.total()
    early = build(root)
    assert early.returncode == 4
    assert site.pages.total() == asked, "during the pause, nobody is asked"
    assert "come back after" in early.stderr

    site.lenient = True
    (root / "data/ledgers/acquire.pace.json").unlink()  # as after another address
    second = build(root)
    assert second.returncode == 4, second.stderr
    assert outcomes(root) == expected(counts)
    good = {name for name, count in site.sent.items() if FATES[name[:3]][1] == "ok"}
    before = {name: site.sent[name] for name in good}
    assert len(good) == expected(counts)["ok", ""]

    site.healed = True
    third = build(root)
    assert third.returncode == 0, third.stderr
    settled = Counter({("ok", ""): 330, ("unavailable", "http_404"): 60, ("unavailable", "http_410"): 60})
    settled += Counter(
        {("refused", "too_many_bytes"): 20, ("refused", "unreadable"): 20, ("refused", "empty_file"): 10}
    )
    assert outcomes(root) == settled
    assert {name: site.sent[name] for name in good} == before, "what succeeded is not fetched again"
    table = read_table(root / layout.ACQUIRED, ACQUIRED)
    assert Counter(table.select("status", "reason").iter_rows()) == settled
    assert read_json(root / layout.metrics("subset"))["test"] == {"wanted": 500, "here": 330}
    assert not list((root / layout.PARTIAL_CLIPS).iterdir())


def test_an_answer_that_stalls_is_given_up_and_asked_for_again(site: Site, tmp_path: Path) -> None:
    root = write_project(tmp_path / "project", site.address, video_ids({"sta": 2, "ost": 2}), timeout_s=0.5)
    assert build(root).returncode == 4
    stalled = [entry for entry in attempts(root) if entry["key"].startswith("sta")]
    assert [(entry["status"], entry["reason"]) for entry in stalled] == [("retry", "timeout")] * 2
    site.healed = True
    while build(root).returncode != 0:  # on a busy machine, good answers exceed such a limit too
        assert {reason for _, reason in outcomes(root)} <= {"", "timeout"}
    assert outcomes(root) == Counter({("ok", ""): 4})


def test_an_answer_that_trickles_is_given_up(site: Site, tmp_path: Path) -> None:
    root = write_project(tmp_path / "project", site.address, video_ids({"tri": 1}), min_bytes_per_s=1000.0)
    assert build(root).returncode == 4
    assert outcomes(root) == Counter({("retry", "too_slow"): 1})


def test_a_burst_of_refusals_is_a_block_and_kills_nothing(site: Site, tmp_path: Path) -> None:
    ids = video_ids({"403": 40, "goo": 3})
    root = write_project(tmp_path / "project", site.address, ids, block_after=4, workers=1)
    ended = build(root)
    assert ended.returncode == 4
    assert "refusals: come back after" in ended.stderr
    assert {entry["status"] for entry in attempts(root)} <= {"ok", "retry", "blocked"}
    assert site.pages.total() <= 12, "the run stops at once"


LONG = pytest.mark.skipif("MMA_BENCH_LONG_TESTS" not in os.environ, reason="set MMA_BENCH_LONG_TESTS=1; some minutes")


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=LONG)])
def test_killed_at_random_moments(site: Site, video: bytes, tmp_path: Path, kills: int) -> None:
    ids = video_ids({"goo": 5 * kills, "404": 2, "o53": 3, "big": 2})
    with bad_site(video) as other:
        whole = write_project(tmp_path / "whole", other.address, ids)
        assert build(whole).returncode == 0
    root = write_project(tmp_path / "killed", site.address, ids)
    moments = random.Random(20)
    for _ in range(kills):
        _kill_after(root, site, moments.randint(1, 12))
    done = {entry["key"][:11] for entry in attempts(root) if entry["status"] == "ok"}
    held = {path.parent.name[:11] for path in root.glob("data/partial/*/section.json")} | done
    assert held, "the kills came too early to prove anything"
    assert len(done) < len(ids), "the kills came too late to prove anything"
    site.answers = None
    sent = {name: site.media[name] for name in held}
    last = build(root)
    assert last.returncode == 0, last.stderr
    assert {name: site.media[name] for name in held} == sent, "what was finished was fetched again"

    def told(project: Path) -> list[tuple[object, ...]]:
        table = read_table(project / layout.ACQUIRED, ACQUIRED).sort("clip_id")
        return list(table.select("clip_id", "status", "reason", "path", "sha256", "bytes").iter_rows())

    assert told(root) == told(whole)
    for _, status, _, path, sha256, _ in told(root):
        assert status != "ok" or file_sha256(root / str(path)) == sha256
    times = Counter(entry["key"] for entry in attempts(root) if entry["status"] == "ok")
    assert max(times.values()) == 1, "no clip succeeds twice"
    assert not list((root / layout.ACQUIRED_CLIPS).rglob(".tmp-*"))


def _kill_after(root: Path, site: Site, requests: int) -> None:
    """Start a run, and kill it with -9 when the site has had so many more requests; the next ones wait for the kill."""
    site.answers = threading.Semaphore(requests)
    begin = site.pages.total() + site.media.total()
    with (root.parent / "log").open("ab") as log:
        run = subprocess.Popen(command(root), stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: site.pages.total() + site.media.total() >= begin + requests or run.poll() is not None)
        finally:
            run.kill()
            run.wait()
    wait_until(lambda: is_over(run.pid))  # its workers notice and end by themselves


def test_no_secret_is_ever_written(site: Site, tmp_path: Path) -> None:
    root = write_project(tmp_path / "project", site.address, video_ids({"goo": 1, "404": 1, "503": 1}))
    cookies = tmp_path / "cookies.txt"
    row = "\t".join(["127.0.0.1", "FALSE", "/", "FALSE", "0", "SID", "cookie-of-a-person"])
    cookies.write_text(f"# Netscape HTTP Cookie File\n\n{row}\n")
    before = cookies.read_bytes()
    with_cookies = build(root, MMA_BENCH_COOKIES=str(cookies))
    assert with_cookies.returncode == 4, "503 is not settled"
    assert any("SID=cookie-of-a-person" in sent for sent in site.cookies), "the cookie was used"
    assert cookies.read_bytes() == before
    proxied = build(root, MMA_BENCH_PROXY="http://somebody:pass-word-9@127.0.0.1:1")
    assert proxied.returncode == 4
    written = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
    written += [text.encode() for run in (with_cookies, proxied) for text in (run.stdout, run.stderr)]
    for secret in (b"cookie-of-a-person", b"pass-word-9", b"somebody"):
        assert not any(secret in data for data in written)
