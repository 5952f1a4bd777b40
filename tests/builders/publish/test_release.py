"""Versions: which may follow which, and what each kind of change asks for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.builders.publish.release import Level, Version, last_version, refuse_too_small
from mma_bench.errors import ConfigError

VERSIONS = st.builds(Version, *[st.integers(0, 30)] * 3)
CHANGES = st.sampled_from([Level.PATCH, Level.MINOR, Level.MAJOR])


@settings(deadline=None, max_examples=50)
@given(VERSIONS, CHANGES, CHANGES)
def test_a_version_may_say_more_than_has_changed_and_never_less(last: Version, said: Level, level: Level) -> None:
    new = last.next(said)
    assert new > last
    if said >= level:
        refuse_too_small(new, last, level, [])
    else:
        with pytest.raises(ConfigError, match=f"{new} cannot follow {last}"):
            refuse_too_small(new, last, level, ["why"])


@settings(deadline=None, max_examples=50)
@given(VERSIONS, VERSIONS)
def test_only_the_next_versions_may_follow(last: Version, new: Version) -> None:
    if new in {last.next(level) for level in Level}:
        refuse_too_small(new, last, Level.NONE, [])
    else:
        with pytest.raises(ConfigError):
            refuse_too_small(new, last, Level.NONE, [])


@settings(deadline=None, max_examples=50)
@given(VERSIONS)
def test_a_version_is_read_as_it_is_written(version: Version) -> None:
    assert Version.parse(str(version)) == version


@pytest.mark.parametrize("text", ["1.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1.0.0\n", "", "1.0.x", "-1.0.0"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a version"):
        Version.parse(text)


def test_the_last_version_is_the_highest_by_number_and_other_tags_do_not_count() -> None:
    assert last_version(["0.9.0", "0.10.0", "v3.0.0", "latest"]) == Version(0, 10, 0)
    assert last_version(["latest"]) is None


def test_any_version_may_be_the_first() -> None:
    refuse_too_small(Version(7, 3, 1), None, Level.MAJOR, [])
