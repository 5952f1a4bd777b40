"""Reading answers: real-looking ones, the published ones of the paper's appendix L among them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.evaluation.parse import parse
from mma_bench.evaluation.synonyms import SYNONYMS
from mma_bench.prompts import NONE_OF_THE_ABOVE

OPTIONS = sorted(SYNONYMS)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # Appendix L, as printed.
        ("Bird What do you think about that?", "Bird"),
        ("Bird If you have any other questions about the video or need more details, feel free to ask!", "Bird"),
        ("Brass_instrument What do you think about the audio content?", "Brass_instrument"),
        ("Bowed_string_instrument", "Bowed_string_instrument"),
        ("Accordion", "Accordion"),
        ("Applause", "Applause"),
        ("Glass", "Glass"),
        ("Frying_food", "Frying_food"),
        # Case, punctuation, underscores, hyphens, plurals, mark-up.
        ("cat", "Cat"),
        ("  CAT.\n", "Cat"),
        ('"Cat"', "Cat"),
        ("**Cat**", "Cat"),
        ("Cats", "Cat"),
        ("bowed string instrument", "Bowed_string_instrument"),
        ("Bowed-String-Instruments!", "Bowed_string_instrument"),
        ("Keyboard (musical)", "Keyboard_musical"),
        ("The class is: Sewing_machine.", "Sewing_machine"),
        ("Options: Rain", "Rain"),
        # Names within longer names.
        ("Wind_instrument", "Wind_instrument"),
        ("a roaring cat", "Roaring_cats"),
        ("Cattle", "Cattle"),
        ("concatenate", None),
        ("category", None),
        # Names of the ontology.
        ("A dog barking", "Canidae"),
        ("trumpet", "Brass_instrument"),
        ("The sound of a violin being played", "Bowed_string_instrument"),
        ("a pigeon or dove", "Bird"),
        # The same class twice is one class.
        ("Cat. The cat meows.", "Cat"),
        ("Bird (an owl)", "Bird"),
        # Several classes.
        ("Cat and dog", None),
        ("Cat, Bird", None),
        ("Either Clapping or Applause", None),
        # Negation.
        ("not a cat", None),
        ("It isn't a cat", None),
        ("It isn’t the cat", None),
        ("There is no bird here", None),
        ("This does not sound like a cat", None),
        ("Not a cat but a bird", None),
        ("Neither cat nor bird", None),
        ("No doubt: a cat", "Cat"),
        # Nothing.
        ("", None),
        ("?!", None),
        ("I cannot tell.", None),
        ("music", None),
        ("Katze", None),
        (NONE_OF_THE_ABOVE, None),
    ],
)
def test_an_answer_names_one_class_or_none(answer: str, expected: str | None) -> None:
    assert parse(answer, OPTIONS, SYNONYMS) == expected


@pytest.mark.parametrize("answer", [NONE_OF_THE_ABOVE, "none of the above.", "The answer is none of the above"])
def test_none_of_the_above_is_an_answer_where_it_is_offered(answer: str) -> None:
    assert parse(answer, [*OPTIONS, NONE_OF_THE_ABOVE], SYNONYMS) == NONE_OF_THE_ABOVE
    assert parse(answer, OPTIONS, SYNONYMS) is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("I see a bird and hear a cat, so it is a bird. Final Answer: Cat", "Cat"),
        ("**Final Answer:** Cat", "Cat"),
        ("**Final Answer**: Cat", "Cat"),
        ("final answer : <Cat>.", "Cat"),
        ("Final Answer: Bird. No, wait. Final Answer: Cat", "Cat"),
        ("It is a cat.", None),  # cut off before the answer
        ("Cat. Final Answer:", None),
        ("Cat. Final Answer: <class>", None),
        ("Final Answer: Cat or Bird", None),
    ],
)
def test_chain_of_thought_is_read_after_the_last_final_answer(answer: str, expected: str | None) -> None:
    assert parse(answer, OPTIONS, SYNONYMS, chain_of_thought=True) == expected


def test_only_offered_classes_are_answers() -> None:
    assert parse("Cat", ["Bird", "Rain"], SYNONYMS) is None
    assert parse("dog", ["Bird", "Rain"], SYNONYMS) is None


def test_a_name_that_two_classes_share_names_neither() -> None:
    synonyms = {"Bird": ["squawk", "caw"], "Fowl": ["squawk", "cluck"]}
    assert parse("a squawk", ["Bird", "Fowl"], synonyms) is None
    assert parse("a caw", ["Bird", "Fowl"], synonyms) == "Bird"
    assert parse("a squawk", ["Bird"], synonyms) == "Bird"


@given(
    st.sampled_from(OPTIONS),
    st.sampled_from([str.upper, str.lower, str.title, str]),
    st.sampled_from(["_", " ", "-"]),
    st.sampled_from(["", ".", "!", ". What do you think?", " is my answer", "\n"]),
)
@settings(deadline=None, max_examples=100)
def test_every_class_is_read_however_it_is_written(name: str, case: object, joint: str, after: str) -> None:
    assert callable(case)
    assert parse(case(name.replace("_", joint)) + after, OPTIONS, SYNONYMS) == name


@given(st.sampled_from(OPTIONS), st.sampled_from(OPTIONS))
@settings(deadline=None, max_examples=100)
def test_two_classes_are_never_one_answer(first: str, second: str) -> None:
    assert parse(f"{first}, {second}", OPTIONS, SYNONYMS) == (first if first == second else None)


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=100)
def test_any_text_is_an_option_or_none(text: str) -> None:
    for chain_of_thought in (False, True):
        assert parse(text, OPTIONS, SYNONYMS, chain_of_thought=chain_of_thought) in (None, *OPTIONS)
