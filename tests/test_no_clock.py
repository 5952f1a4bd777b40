"""No test is decided by a clock: a slow machine fails none. What hangs is ended by pytest's own timeout."""

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LEAST_S = 600  # a limit that is no judgement of a machine's speed
# file: call → why a clock may be used there
ALLOWED = {
    "builders/sources/bad_site.py: threading.Event().wait(0.05)": "how slowly a server trickles",
    "mma_bench/models/servers.py: server.closing.wait(0.02)": "how slowly a server trickles",
    "mma_bench/test_fetch.py: closing.wait(0.01)": "how slowly a server trickles",
    "waiting.py: time.sleep(0.005)": "between two looks at a condition; nothing depends on how long it takes",
}


def clocks(source: str) -> list[str]:
    """The calls in a module that sleep, or that give what they wait for less than LEAST_S."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        limits = [keyword.value for keyword in node.keywords if keyword.arg == "timeout"]
        if name.endswith((".wait", ".join", ".communicate")):
            limits += node.args
        seconds = [limit.value for limit in limits if isinstance(limit, ast.Constant)]
        short = any(isinstance(value, int | float) and 0 < value < LEAST_S for value in seconds)
        if name in ("time.sleep", "sleep") or short:
            found.append(ast.unparse(node))
    return found


@pytest.mark.slow
def test_no_test_sleeps_or_gives_up_early() -> None:
    found = {
        f"{path.relative_to(HERE).as_posix()}: {call}"
        for path in sorted(HERE.rglob("*.py"))
        for call in clocks(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "source",
    [
        "time.sleep(0.1)",
        "from time import sleep\nsleep(seconds)",
        "subprocess.run(command, timeout=200)",
        "process.communicate(timeout=30)",
        "process.wait(30)",
        "thread.join(2.5)",
        "@fixture\ndef server():\n    event.wait(timeout=1)",
    ],
)
def test_what_a_clock_decides_is_seen(source: str) -> None:
    assert len(clocks(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "process.wait()",
        "run(command, timeout=600)",
        "launch(timeout=0)",
        "', '.join(names)",
        "thread.join()",
        "pace(2)",
    ],
)
def test_what_no_clock_decides_is_not(source: str) -> None:
    assert clocks(source) == []
