"""Hints for names that do not exist."""

from mma_bench.names import choose


def test_the_closest_name_comes_before_the_list_of_all() -> None:
    known = ["aligned", "misaligned", "frames_zeroed"]
    assert choose("misalgned", known) == "did you mean misaligned? choose among aligned, misaligned, frames_zeroed"
    assert choose("Misaligned", known).startswith("did you mean misaligned?")


def test_without_a_close_name_there_is_only_the_list() -> None:
    assert choose("smell", ["visual", "audio"]) == "choose among visual, audio"


def test_the_words_before_the_list_are_the_caller_s() -> None:
    assert choose("x", ["a", "b"], "the conditions are") == "the conditions are a, b"
