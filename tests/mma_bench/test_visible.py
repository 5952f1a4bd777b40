"""Text from outside on one line: nothing in it that cannot be seen, and nothing that can be is lost."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_bench.visible import is_visible, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A cat", "A cat"),
        ("two\nlines\u2028and\tmore ", "two lines and more"),
        ("nul\0 and \x1b[31mred", "nul and [31mred"),
        ("turned \u202egnp.exe", "turned gnp.exe"),
        ("\u2067isolated\u2069 \u200bzero\ufeff", "isolated zero"),
        ("soft\u00adly", "softly"),
        ("می\u200cخواهم 👩\u200d👩", "می\u200cخواهم 👩\u200d👩"),  # joiners change what is seen
        ("lone \ud800", "lone \\ud800"),
    ],
)
def test_a_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(st.text())
def test_a_line_has_no_control_and_stays_as_it_is(text: str) -> None:
    line = one_line(text)
    assert one_line(line) == line
    assert not [sign for sign in line if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")]
    assert not set(line) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff")


@pytest.mark.parametrize(
    "text", ["", " ", "\u200b", "\u3164", "\0", "\uffa0\u115f\u1160", "\u2800", "\u200d", "\ufe0f", "\u034f"]
)
def test_what_cannot_be_seen(text: str) -> None:
    assert not is_visible(text)


@pytest.mark.parametrize("text", ["Ada", "7", ".", "👩", "می", "\u3164Ada"])
def test_what_can_be_seen(text: str) -> None:
    assert is_visible(text)
