"""Files by content hash: right bytes or an error, whatever is killed, damaged or done twice at once."""

import gzip
import hashlib
import http.server
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_bench import fetch
from mma_bench.errors import DataError
from mma_bench.fetch import FetchError, Folder, Url, Wheel, cache_folder, file_by_hash, wheel_members

MEMBERS = {"demo/data/labels.csv": b"id,name\n1,cat\n", "demo/big.bin": bytes(range(256)) * 4096}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fetch.CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Serve the wheel of `demo==1.0` to pip from a folder, without any index; return its hash."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
        archive.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        archive.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return sha(path.read_bytes())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which a server on this machine serves it."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.slow
def test_members_of_a_wheel_have_their_bytes(wheel: str) -> None:
    folder = wheel_members("demo==1.0", wheel, list(MEMBERS))
    assert {name: (folder / name).read_bytes() for name in MEMBERS} == MEMBERS
    assert files_in(cache_folder()) == {f"wheels/{wheel}/{name}" for name in (*MEMBERS, "members.json")}


def test_a_cached_member_needs_no_pip(wheel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = wheel_members("demo==1.0", wheel, list(MEMBERS))
    monkeypatch.setenv("PIP_FIND_LINKS", "/nonexistent")
    assert wheel_members("demo==1.0", wheel, list(MEMBERS)) == folder


@pytest.mark.slow
def test_members_asked_for_later_join_the_earlier_ones(wheel: str) -> None:
    first, second = MEMBERS
    wheel_members("demo==1.0", wheel, [first])
    folder = wheel_members("demo==1.0", wheel, [second])
    assert {name: (folder / name).read_bytes() for name in MEMBERS} == MEMBERS


@pytest.mark.slow
def test_a_damaged_member_is_reported_and_made_anew(wheel: str, capfd: pytest.CaptureFixture[str]) -> None:
    name = "demo/data/labels.csv"
    path = wheel_members("demo==1.0", wheel, [name]) / name
    path.write_bytes(b"id,name\n1,dog\n")
    assert (wheel_members("demo==1.0", wheel, [name]) / name).read_bytes() == MEMBERS[name]
    assert f"{path} has the wrong content hash" in capfd.readouterr().err


def test_a_wheel_with_another_hash_is_named_and_nothing_of_it_kept(wheel: str) -> None:
    wrong = "0" * 64
    with pytest.raises(FetchError) as caught:
        wheel_members("demo==1.0", wrong, list(MEMBERS))
    for part in ("demo-1.0-py3-none-any.whl", f"expected sha256 {wrong}", f"found {wheel}", "hint:"):
        assert part in str(caught.value)
    assert files_in(cache_folder()) == set()


def test_no_such_version_says_what_pip_said(wheel: str) -> None:
    with pytest.raises(FetchError, match=r"demo==2\.0: pip cannot download .*No matching distribution(.|\n)*hint:"):
        wheel_members("demo==2.0", wheel, list(MEMBERS))


def test_a_member_that_the_wheel_lacks_is_named(wheel: str) -> None:
    with pytest.raises(FetchError, match="no member 'demo/absent'"):
        wheel_members("demo==1.0", wheel, ["demo/data/labels.csv", "demo/absent"])
    assert files_in(cache_folder()) == set()


@given(st.sampled_from(["../x", "/etc/x", "a/../../x", "", "a\\..\\x", ".."]))
def test_a_member_outside_the_folder_is_refused(member: str) -> None:
    with pytest.raises(FetchError, match="is not a path inside a wheel"):
        wheel_members("demo==1.0", "0" * 64, [member])


KILLED = """
import os, signal
from mma_bench import fetch
def half(source, target, size):
    target.write(source.read(1000)); target.flush(); os.kill(os.getpid(), signal.SIGKILL)
fetch.shutil.copyfileobj = half
fetch.wheel_members("demo==1.0", {wheel!r}, {members!r})
"""


@pytest.mark.slow
def test_a_kill_while_unpacking_leaves_nothing_that_passes_for_a_member(wheel: str) -> None:
    script = KILLED.format(wheel=wheel, members=list(MEMBERS))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    left = files_in(cache_folder())
    assert left
    assert not any(f"wheels/{wheel}/{name}" in left for name in MEMBERS)
    folder = wheel_members("demo==1.0", wheel, list(MEMBERS))
    assert {name: (folder / name).read_bytes() for name in MEMBERS} == MEMBERS
    assert not [path for path in folder.rglob("*") if path.name.startswith(".tmp-")]


@pytest.mark.slow
def test_two_processes_at_once_download_once(wheel: str) -> None:
    script = f"from mma_bench.fetch import wheel_members as w; print(w('demo==1.0', {wheel!r}, {list(MEMBERS)!r}))"
    started = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ended = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert ended[0][0] == ended[1][0]
    assert sum(err.count("fetching") for _, err in ended) == 1


def test_a_url_is_fetched_once(served: tuple[Path, str]) -> None:
    folder, address = served
    (folder / "a.csv").write_bytes(b"right")
    places = [Url(f"{address}/a.csv")]
    path = file_by_hash("a.csv", sha(b"right"), places)
    assert path.read_bytes() == b"right"
    (folder / "a.csv").unlink()
    assert file_by_hash("a.csv", sha(b"right"), places) == path


@pytest.mark.slow
def test_a_place_with_wrong_bytes_is_reported_and_the_next_one_taken(
    served: tuple[Path, str], wheel: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, address = served
    (folder / "labels.csv").write_bytes(b"wrong")
    content = MEMBERS["demo/data/labels.csv"]
    places = [Url(f"{address}/labels.csv"), Wheel("demo==1.0", wheel, tuple(MEMBERS))]
    assert file_by_hash("labels.csv", sha(content), places).read_bytes() == content
    err = capfd.readouterr().err
    assert f"{address}/labels.csv: " in err
    assert f"got {sha(b'wrong')}" in err
    assert not list(cache_folder().glob(f"files/{sha(content)}/*.csv"))


def test_what_is_at_hand_comes_before_the_network(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    (folder / "a.csv").write_bytes(b"right")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "a.csv").write_bytes(b"right")
    assert file_by_hash("a.csv", sha(b"right"), [Url(f"{address}/a.csv"), Folder(mine)]) == mine / "a.csv"


def test_wrong_bytes_in_a_folder_of_the_user_stop_before_anything_is_fetched(
    served: tuple[Path, str], tmp_path: Path
) -> None:
    folder, address = served
    (folder / "a.csv").write_bytes(b"right")
    (tmp_path / "a.csv").write_bytes(b"wrong")
    with pytest.raises(DataError) as caught:
        file_by_hash("a.csv", sha(b"right"), [Folder(tmp_path), Url(f"{address}/a.csv")])
    for part in (str(tmp_path / "a.csv"), f"expected sha256 {sha(b'right')}", f"found {sha(b'wrong')}", "hint:"):
        assert part in str(caught.value)
    assert not cache_folder().exists()


@pytest.mark.slow
def test_if_no_place_has_it_each_is_named(served: tuple[Path, str], wheel: str, tmp_path: Path) -> None:
    _, address = served
    tried = Wheel("absent==1.0", wheel, ("x/a.csv",))
    with pytest.raises(FetchError) as caught:
        file_by_hash("a.csv", sha(b"right"), [Folder(tmp_path), tried, Url(f"{address}/a.csv")])
    for part in (f"{tmp_path} has no a.csv", "absent==1.0: pip", f"{address}/a.csv: 404", "hint:"):
        assert part in str(caught.value)


def test_a_wheel_that_cannot_be_had_is_tried_once(wheel: str, capfd: pytest.CaptureFixture[str]) -> None:
    place = Wheel("absent==1.0", wheel, ("x/a.csv", "x/b.csv"))
    for name in ("a.csv", "b.csv"):
        with pytest.raises(FetchError, match=r"absent==1\.0: pip"):
            place.fetch(name, sha(b""))
    assert capfd.readouterr().err.count("fetching") == 1


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(fetch.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(FetchError, match=fetch.CACHE_VARIABLE):
        wheel_members("demo==1.0", "0" * 64, ["x"])


def test_the_cache_is_the_users_unless_another_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(fetch.CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "mma-bench" in cache_folder().parts
    assert cache_folder().is_relative_to(tmp_path)
    monkeypatch.setenv(fetch.CACHE_VARIABLE, "elsewhere")
    assert cache_folder() == Path.cwd() / "elsewhere"


@contextmanager
def answering(send: Callable[[http.server.BaseHTTPRequestHandler, threading.Event], None]) -> Iterator[str]:
    """The address of a server that answers so."""
    closing = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):
                send(self, closing)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/a"
        closing.set()
        server.shutdown()
        thread.join()


def test_a_body_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trickle(handler: http.server.BaseHTTPRequestHandler, closing: threading.Event) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not closing.wait(0.01):
            handler.wfile.write(b" ")

    monkeypatch.setattr("mma_bench.fetch._GRACE_S", 0.1)
    with answering(trickle) as url, pytest.raises(FetchError, match="too slow"):
        Url(url).fetch("a", "0" * 64)


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_has_a_largest_size_counted_after_unpacking(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(1_000_000)

    def send(handler: http.server.BaseHTTPRequestHandler, _: threading.Event) -> None:
        handler.send_response(200)
        if packed:
            handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        handler.wfile.write(gzip.compress(data) if packed else data)

    with answering(send) as url:
        assert Url(url).fetch("a", sha(data)).read_bytes() == data
        monkeypatch.setattr("mma_bench.fetch.MAX_BYTES", 500_000)
        with pytest.raises(FetchError, match="more than the 500000 bytes"):
            Url(url).fetch("a", "0" * 64)
