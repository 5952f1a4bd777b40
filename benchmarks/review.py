"""The review under load and at size: 50 annotators vote at once for a minute, and how its costs grow with the clips.

Run with `python benchmarks/review.py`. The app of `mma-bench review serve` runs in a process and on a database
of its own; each annotator is a thread with a session and a connection, who votes as fast as the server
answers and sends every tenth vote twice. In the end what the server said it has kept is compared with what the database
holds; no vote may be lost. Clients and server share this machine's cores, so the rate is a lower bound. Then the
controls are planned, the queues are made and one is asked for at three sizes, each against the way that looks at all
clips again.
"""

import contextlib
import http.client
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from sqlalchemy import func, insert, select

from mma_bench.builders.review.guidelines import VERSION
from mma_bench.builders.review.queue import Queues, shuffled
from mma_bench.builders.review.review_set import CONTROL_SHARE, Item, plan_controls, put
from mma_bench.builders.review.store import Store, votes
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator
from mma_bench.web.gate import session_cookie

ANNOTATORS = 50
CLIPS = 1_207  # what is left after the paper's automated checks
SECONDS = 60.0
SIZES = (1_000, 4_000, 16_000)
_SERVE = """
import sys, uvicorn
from mma_bench.builders.review.app import create_app
from mma_bench.builders.review.review_set import active
from mma_bench.listen import listening_socket
from mma_bench.builders.review.store import Store
store, listening = Store(sys.argv[1]), listening_socket("127.0.0.1", 0)
listening.listen(128)
print(listening.getsockname()[1], flush=True)
app = create_app(store, active(store), 2)
uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])
"""


@dataclass(frozen=True)
class Load:
    """What came of it.

    Attributes:
        promised: Votes of which the server said that it has them, each counted once.
        kept: Votes in the database.
        seconds: From the first to the last.
        latencies: Of each request, in seconds, sorted.
    """

    promised: int
    kept: int
    seconds: float
    latencies: Sequence[float]


def simulate(database: str, annotators: int, clips: int, seconds: float) -> Load:
    """Let `annotators` people vote at once for `seconds` on an empty database."""
    store = Store(database)
    put(store, [Item(f"{n:032x}", f"clip-{n}", "Cat", f"{n}.mp4") for n in range(clips)])
    people = [accounts.add_annotator(store, f"p{number}", secrets.token_hex(8)) for number in range(annotators)]
    tokens = [accounts.open_session(store, who.id) for who in people]
    command = [sys.executable, "-c", _SERVE, database]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as run:
        try:
            assert run.stdout is not None
            port = int(run.stdout.readline())
            together = threading.Barrier(annotators)
            begin = time.perf_counter()
            with ThreadPoolExecutor(annotators) as pool:
                work = [
                    pool.submit(_judge, port, *who, clips, seconds, together)
                    for who in zip(people, tokens, strict=True)
                ]
                outcomes = [done.result() for done in work]
            taken = time.perf_counter() - begin
        finally:
            run.terminate()
    with store.reading() as connection:
        kept = connection.execute(select(func.count()).select_from(votes)).scalar_one()
    store.close()
    latencies = sorted(latency for _, own in outcomes for latency in own)
    return Load(sum(promised for promised, _ in outcomes), kept, taken, latencies)


def _judge(
    port: int, who: Annotator, token: str, clips: int, seconds: float, together: threading.Barrier
) -> tuple[int, list[float]]:
    """Vote until the time is over; returns how many votes were promised to be kept, and each request's seconds."""
    cookie = f"{session_cookie(f'127.0.0.1:{port}')}={token}"
    headers = {"Content-Type": "application/json", "X-Annotator": who.code, "Cookie": cookie}
    latencies: list[float] = []

    def send(body: str) -> None:
        begin = time.perf_counter()
        connection.request("POST", "/api/vote", body, headers)
        answer = connection.getresponse()
        said = answer.read()
        latencies.append(time.perf_counter() - begin)
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}: {said!r}")

    promised = 0
    answers = {"object_visible": True, "audio_pure": True, "action_dynamic": True, "passed": True}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        together.wait()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            vote = {"vote_id": secrets.token_hex(16), "item": f"{promised % clips:032x}", "guideline_version": VERSION}
            body = json.dumps(vote | answers)
            send(body)
            if promised % 10 == 0:
                send(body)
            promised += 1
    return promised, latencies


def grow(count: int) -> dict[str, float]:
    """Seconds that a review of `count` clips with a vote on every second one takes, by what takes them."""
    rows = [(f"c{number}", f"class{number % 49}", 10.0) for number in range(count)]
    clips = pl.DataFrame(rows, schema=["clip_id", "class_name", "duration_s"], orient="row")
    chosen = [Item(f"{number:032x}", name, kind, "") for number, (name, kind, _) in enumerate(rows)]
    found = {}
    begin = time.perf_counter()
    plan_controls(clips, CONTROL_SHARE)
    found["plan controls"] = time.perf_counter() - begin
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'review.db'}")
        put(store, chosen)
        who, other = (accounts.add_annotator(store, name, secrets.token_hex(8)) for name in ("anna", "ben"))
        cast = {"withdrawn": False, "guideline_version": VERSION, "at": 0.0, "passed": True, "annotator": other.id}
        with store.writing() as connection:
            connection.execute(insert(votes), [{**cast, "item": item.id, "vote_id": item.id} for item in chosen[::2]])
        queues = Queues(store, chosen, 1)
        for what in ("first request", "each further request"):
            begin = time.perf_counter()
            queues.of(who)
            found[what] = time.perf_counter() - begin
        begin = time.perf_counter()
        shuffled([item for item in chosen if item.id], who.code)
        found["rival: order all clips at each request"] = time.perf_counter() - begin
        store.close()
    return found


def main() -> None:
    """Print the rate and the slopes; exits with an error if a vote was lost."""
    with tempfile.TemporaryDirectory() as folder:
        load = simulate(f"sqlite:///{Path(folder) / 'review.db'}", ANNOTATORS, CLIPS, SECONDS)
    print(f"{ANNOTATORS} annotators at once, SQLite: {load.promised} votes promised, {load.kept} kept")
    print(f"{load.kept / load.seconds:.0f} votes/s over {load.seconds:.0f} s", end="; ")
    slowest = load.latencies[int(0.99 * len(load.latencies))]
    print(f"an answer takes {1000 * statistics.median(load.latencies):.0f} ms, 99 % under {1000 * slowest:.0f} ms")
    if load.promised != load.kept:
        raise SystemExit("votes were lost")
    grown = [grow(count) for count in SIZES]
    for what in grown[0]:
        taken = ", ".join(f"{1000 * each[what]:.1f} ms" for each in grown)
        print(f"{what}, {', '.join(f'{count:,}' for count in SIZES)} clips: {taken}")


if __name__ == "__main__":
    main()
