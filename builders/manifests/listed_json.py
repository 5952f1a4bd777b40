"""Reads the values of a JSON text, or of the lines of one, and refuses what JSON readers silently change."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mma_bench.builders.manifests.listed_clips import HINT, Field
from mma_bench.errors import DataError


def values_of(text: str, where: str) -> Iterator[tuple[str, Any]]:
    """The value of a JSON text, or those of its lines, whatever its name ends in; each with its place."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if len(lines) < 2 or not _is_json(lines[0][1]):
        yield where, _parsed(text, where)
        return
    for number, line in lines:
        yield f"{where}, line {number}", _parsed(line, f"{where}, line {number}")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(text: str, where: str) -> Any:
    def checked(pairs: list[Field]) -> dict[str, Any]:
        # JSON readers keep the last of two equal keys without a word.
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if twice:
            raise DataError(f"{where}: key {twice[0]!r} occurs twice in one object", hint=HINT)
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=checked)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError(f"{where} holds half of a character (a lone surrogate)", hint=HINT) from None
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}", hint="fetch the file again") from None
    return value
