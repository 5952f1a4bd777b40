"""A short run of `benchmarks/coverage.py`: intervals hold the truth about as often as they say, tests seldom err."""

import pytest

from benchmarks import coverage


def test_intervals_hold_the_truth_and_tests_find_nothing_where_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "RATES", (0.2, 0.7))
    monkeypatch.setattr(coverage, "ALIKE", (0.0, 1.0))
    lines = list(coverage.coverage(100))
    assert len(lines) == 4 * 11
    for line in lines:
        if line.what.startswith("test"):
            assert line.share <= 0.12, line
        else:
            assert line.share >= 0.88, line  # 95 % less three standard errors of 100 rounds
    shared = [line.share for line in lines if line.what == "misaligned, audio" and line.alike == 1.0]
    assert len(shared) == 2


def test_intervals_of_people_hold_the_mean_of_all_people_which_clips_alone_do_not() -> None:
    for row in coverage.coverage_of_people(100):
        assert row.share >= 0.88, row
        if row.spread:
            assert row.clips_only < row.share, row
