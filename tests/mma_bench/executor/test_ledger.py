"""What a kill can do to a ledger, and what it must survive."""

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mma_bench.builders.sources.status import read_attempts
from mma_bench.errors import DataError, StageError
from mma_bench.executor.ledger import Ledger
from mma_bench.tables import outcome_table
from tests.faults.machine import small_disk

ENTRIES = [{"key": f"clip{i}", "n": i, "text": "é×–"} for i in range(4)]


def write(path: Path) -> None:
    with Ledger(path) as ledger:
        for entry in ENTRIES:
            ledger.append(entry)


@given(cut=st.integers(min_value=0))
def test_a_ledger_cut_at_any_byte_keeps_its_whole_lines(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    write(path)
    whole = path.read_bytes()
    cut %= len(whole) + 1
    path.write_bytes(whole[:cut])
    with Ledger(path) as ledger:
        kept = whole[:cut].count(b"\n")
        assert [ledger.latest(entry["key"]) for entry in ENTRIES[:kept]] == ENTRIES[:kept]
        assert all(ledger.latest(entry["key"]) is None for entry in ENTRIES[kept:])
        for entry in ENTRIES[kept:]:
            ledger.append(entry)
    assert path.read_bytes() == whole


def test_a_shorter_line_leaves_nothing_of_a_longer_one_that_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"key": "a"}\n{"key": "b", "detail": "' + b"x" * 500)
    with Ledger(path) as ledger:
        ledger.append({"key": "c"})
    assert path.read_bytes() == b'{"key": "a"}\n{"key": "c"}\n'


def test_the_last_attempt_counts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.append({"key": "a", "n": 1})
        ledger.append({"key": "a", "n": 2})
    with Ledger(path) as ledger:
        assert ledger.latest("a") == {"key": "a", "n": 2}


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{nonsense", *lines[2:]]) + "\n")
    with pytest.raises(DataError, match=r"ledger\.jsonl, line 2"), Ledger(path):
        pass


@given(text=st.text(st.characters(exclude_categories=())))
def test_any_string_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    assume(not re.search("[\ud800-\udbff][\udc00-\udfff]", text))  # two halves of a pair are the pair in JSON
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    entry = {"key": f"clip{text}", "status": "refused", "reason": "x", "detail": text, "result": {}}
    with Ledger(path) as ledger:
        ledger.append(entry)
        assert ledger.latest(entry["key"]) == entry
    with Ledger(path) as ledger:
        assert ledger.latest(entry["key"]) == entry
    outcome_table([{}], [entry], {"detail": pl.String()}).write_parquet(path.with_suffix(".parquet"))
    assert read_attempts(path).height == 1


def test_a_full_disk_is_told_and_leaves_the_whole_lines(tmp_path: Path) -> None:
    with small_disk(tmp_path, "64k"):
        path = tmp_path / "ledger.jsonl"
        write(path)
        with pytest.raises(StageError, match="No space left on device") as error, Ledger(path) as ledger:
            for number in range(1000):
                ledger.append({"key": f"more{number}", "text": "x" * 999})
        assert error.value.hint is not None
        assert error.value.hint.startswith("free disk space")
        with Ledger(path) as ledger:
            assert ledger.latest("clip3") == ENTRIES[3]
            assert ledger.latest("more9") is not None


def test_two_builds_cannot_share_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path), pytest.raises(StageError, match="held by another process"), Ledger(path):
        pass
