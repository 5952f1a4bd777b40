"""Versions of the data: how large a change is, and which version may follow which (docs/release.md has the rules)."""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from mma_bench.errors import ConfigError

_FORM: Final = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


class Level(IntEnum):
    """How large a change is; a larger one includes the smaller ones."""

    NONE = 0  # no row has changed
    PATCH = 1  # rows were removed, or their description changed: existing answers stay valid
    MINOR = 2  # rows were added or have other bytes: new answers are needed, old questions stay valid
    MAJOR = 3  # a row has another question or answer: numbers cannot be compared

    def __str__(self) -> str:
        return self.name.lower()


# Not packaging.version's: it reads 1.0, v1.0.0 and 01.0.0 as the same version, but a tag has exactly one spelling.
@dataclass(frozen=True, order=True)
class Version:
    """A semantic version without pre-release: 1.2.0."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Parse `1.2.0`.

        Raises:
            ConfigError: It is malformed.
        """
        if (found := _FORM.fullmatch(text)) is None:
            raise ConfigError(f"{text!r} is not a version", hint="give three numbers, such as 1.2.0")
        return cls(*map(int, found.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def next(self, level: Level) -> "Version":
        """The version that follows with a change of this level; a change of no level is a patch."""
        if level == Level.MAJOR:
            return Version(self.major + 1, 0, 0)
        if level == Level.MINOR:
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + 1)


def last_version(tags: list[str]) -> Version | None:
    """The highest of the tags that are versions; other tags are ignored."""
    return max((Version.parse(tag) for tag in tags if _FORM.fullmatch(tag)), default=None)


def refuse_too_small(new: Version, last: Version | None, level: Level, why: list[str]) -> None:
    """Check that `new` may follow `last` with a change of this level; without `last`, any version is allowed.

    Args:
        why: The reasons for the level, for the message.

    Raises:
        ConfigError: `new` is not a next version of `last`, or is too small for the change.
    """
    if last is None:
        return
    allowed = [last.next(step) for step in (Level.PATCH, Level.MINOR, Level.MAJOR) if step >= level]
    if new in allowed:
        return
    reasons = "".join(f"\n  {reason}" for reason in why)
    raise ConfigError(
        f"{new} cannot follow {last}: this is a {max(level, Level.PATCH)} change{reasons}",
        hint=f"publish it as {' or '.join(map(str, allowed))} (package.version in params.yaml, then `dvc repro`)",
    )
