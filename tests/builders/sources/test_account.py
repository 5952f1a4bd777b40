"""Every file of a source ends in exactly one way, and so in one group of the page."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_bench.builders.pages.files import groups, sentence
from mma_bench.builders.sources.account import NOT_A_VIDEO, UNKNOWN_NAME, FileAccount
from mma_bench.builders.sources.composed import FirstThatHas
from mma_bench.builders.sources.contracts import Fetched, Refusal, Segment
from mma_bench.builders.sources.folder import FolderSource
from mma_bench.errors import InvalidInput, Permanent
from mma_bench.executor.task import Task, attempt
from mma_bench.schema import FILES
from mma_bench.tables import from_rows


def entry(status: str = "ok", reason: str = "", **result: Any) -> dict[str, Any]:
    return {"status": status, "reason": reason, "result": result}


def test_each_way_to_end() -> None:
    account = FileAccount("'clips'")
    for path in ("best", "worse", "spare", "idle", "away", "both", "old"):
        account.add(path)
    account.add("odd.mp4", UNKNOWN_NAME)
    account.add("a.txt", NOT_A_VIDEO)
    account.claim(["worse", "best", "spare"], "one")
    account.claim(["away"], "two")
    account.claim(["both"], "three")
    account.claim(["both"], "four")
    account.claim(["old"], "five")
    entries = {
        "one": entry(origin="'best'", refused={"worse": "empty_file"}),
        "two": entry("given_up", "not_copied"),
        "three": entry(origin="'another'", refused={"both": "not_a_cut"}),
        "four": entry(origin="'both'", refused={}),
        "five": entry("refused", "unreadable"),  # as an earlier version wrote it
    }
    assert {row["path"]: (row["clip_id"], row["status"], row["reason"]) for row in account.rows(entries)} == {
        "best": ("one", "ok", ""),
        "worse": ("one", "refused", "empty_file"),
        "spare": ("one", "unused", "another_file_taken"),
        "idle": (None, "unused", "not_wanted"),
        "away": ("two", "given_up", "not_copied"),
        "both": ("four", "ok", ""),
        "old": ("five", "refused", "unreadable"),
        "odd.mp4": (None, "unused", "unknown_name"),
        "a.txt": (None, "unused", "not_a_video"),
    }


def test_the_reason_of_each_file_is_kept_if_none_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (("aaaaaaaaaaa_30.mp4", b""), ("Yaaaaaaaaaaa.mp4", b"<html>")):
        Path("clips", name).parent.mkdir(exist_ok=True)
        Path("clips", name).write_bytes(content)
    source = FolderSource(Path("clips"), max_bytes=100)
    request = source.request(Segment("clip", "aaaaaaaaaaa", 30.0, 40.0))

    def fetch(_: Any) -> dict[str, Any]:
        return vars(request.fetch(Path("into.mp4")))

    found = attempt(fetch, Task("clip", "f", {}))
    assert {row["path"]: row["reason"] for row in source.account.rows({"clip": found})} == {
        "clips/aaaaaaaaaaa_30.mp4": "empty_file",
        "clips/Yaaaaaaaaaaa.mp4": "unreadable",
    }


class Gives:
    suffix, revision, remote = ".mp4", "1", True

    def fetch(self, into: Path) -> Fetched:
        return Fetched("site", "theirs", "there", refused={"c": "not_a_cut"})


def test_a_chain_of_sources_keeps_the_reasons_of_all(tmp_path: Path) -> None:
    bad = Refusal(InvalidInput("empty_file", "", result={"refused": {"a": "empty_file", "b": "unreadable"}}))
    chain = FirstThatHas((bad, Gives()))
    assert chain.fetch(tmp_path / "x").refused == {"a": "empty_file", "b": "unreadable", "c": "not_a_cut"}
    with pytest.raises(Permanent) as error:
        FirstThatHas((bad, Refusal(Permanent("removed")))).fetch(tmp_path / "x")
    assert error.value.result == {"refused": {"a": "empty_file", "b": "unreadable"}}


_ENDS = st.sampled_from([("used", "test"), ("used", "train"), ("normalise", "silent"), ("verify", "no_donor")])
_OUTCOMES = st.sampled_from(
    [("ok", ""), ("refused", "empty_file"), ("given_up", "timeout"), ("unused", "not_wanted"), ("unused", "link")]
)


@given(st.lists(st.tuples(_OUTCOMES, _ENDS), max_size=30))
def test_the_numbers_of_the_sentence_add_up(drawn: list[tuple[tuple[str, str], tuple[str, str]]]) -> None:
    rows = [
        {"path": f"{number}", "clip_id": f"{number}", "status": status, "reason": reason}
        for number, ((status, reason), _) in enumerate(drawn)
    ]
    found = groups(from_rows(rows, FILES), {f"{number}": end for number, (_, end) in enumerate(drawn)})
    assert sum(group.files for group in found) == len(drawn)
    assert sentence(found).startswith(f"Of {len(drawn)} files: ")
    numbers = [int(part.split()[0]) for part in sentence(found).partition(": ")[2].split(", ") if part[0].isdigit()]
    assert sum(numbers) == len(drawn)
    assert len({(group.end, group.reason) for group in found}) == len(found)
