"""The irrelevant text: seeded, stable, of a known length, and irrelevant."""

import csv
import hashlib
import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench import irrelevant_text as module
from mma_bench.irrelevant_text import LONG_CONTEXT_WORDS, irrelevant_text
from mma_bench.prompts import forced_choice, misleading_caption

CURATION = Path(module.__file__).parents[1] / "builders" / "curation"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(1, 300))
def test_a_seed_gives_so_many_words_and_a_longer_text_begins_with_the_shorter(seed: int, words: int) -> None:
    text = irrelevant_text(seed, words)
    assert len(text.split(" ")) == words
    assert irrelevant_text(seed, words + 1).startswith(text + " ")
    assert irrelevant_text(seed + 1, 100) != irrelevant_text(seed, 100)


def test_the_text_is_the_same_in_every_version() -> None:
    text = irrelevant_text(7, LONG_CONTEXT_WORDS)
    assert text.startswith("focus combine proper appoint number handle always more again level")
    assert len(text) == 67_749
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "7511688c439b75bcac610ffad22f86b85e6a8220fe6309bdfdced32aac06e03f"
    )


def test_no_word_names_a_class_or_occurs_in_a_question() -> None:
    words = set(module._WORDS)
    assert len(words) == len(module._WORDS) == 512
    assert all(re.fullmatch("[a-z]+", word) for word in words)
    asked = forced_choice("visual", []) + misleading_caption("audio", [], "")
    assert not words & set(re.findall("[a-z]+", asked.lower()))
    for file, column in (("class_decisions.csv", "class"), ("vggsounder_classes.csv", "class")):
        with (CURATION / file).open(encoding="utf-8", newline="") as stream:
            names = " ".join(row[column] or "" for row in csv.DictReader(stream))
        assert not words & set(re.findall("[a-z]+", names.lower().replace("_", " ")))
