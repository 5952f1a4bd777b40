"""Reading answers: the sets in `answers/`, the published ones of the paper's appendix L, and any string at all."""

import csv
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mma_bench.evaluation.parse import parse
from mma_bench.evaluation.reading.names import content, singular
from mma_bench.evaluation.reading.text import MOST_CHARACTERS, tokens
from mma_bench.evaluation.synonyms import OTHER_THINGS, SYNONYMS
from mma_bench.prompts import NONE_OF_THE_ABOVE

OPTIONS = sorted(SYNONYMS)
ABSTENTION = [*OPTIONS, NONE_OF_THE_ABOVE]
ANSWERS = Path(__file__).with_name("answers")
DECISIONS = Path(__file__).parents[2] / "builders/curation/class_decisions.csv"


def _outcome(row: dict[str, str]) -> str:
    options = OPTIONS if row["options"] == "all" else row["options"].split("|")
    if row["protocol"] == "abstention":
        options = [*options, NONE_OF_THE_ABOVE]
    read = parse(row["text"], options, SYNONYMS, chain_of_thought=row["protocol"] == "chain_of_thought")
    if (read or "") == row["meaning"]:
        return "right"
    return "lost" if read is None else f"wrong: {row['text']!r} is read as {read}"


@pytest.mark.parametrize(
    ("name", "most_wrong", "most_lost"),
    [("given", 0, 0), ("tuned", 0, 0.02), ("probes", 0.01, 0.02), ("unseen", 0, 0.02)],
)
def test_answers_are_read_as_a_careful_reader_reads_them(name: str, most_wrong: float, most_lost: float) -> None:
    with (ANSWERS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        outcomes = Counter(map(_outcome, csv.DictReader(file)))
    lost, right = outcomes.pop("lost", 0), outcomes.pop("right", 0)
    answers = right + lost + outcomes.total()
    assert outcomes.total() <= most_wrong * answers, outcomes
    assert lost <= most_lost * answers


def test_a_name_belongs_to_one_class() -> None:
    with DECISIONS.open(encoding="utf-8") as file:
        kept = {row["class"] for row in csv.DictReader(file) if row["decision"] == "keep"}
    assert set(SYNONYMS) == kept
    owners: dict[tuple[str, ...], set[str]] = {}
    for owner, names in [*SYNONYMS.items(), ("", OTHER_THINGS)]:
        for name in names:
            owners.setdefault(tuple(map(singular, content(tokens(name)))), set()).add(owner)
    assert {name: found for name, found in owners.items() if len(found) > 1} == {}


def test_every_class_has_its_everyday_names() -> None:
    everyday = {
        "Cattle": "cow",
        "Vehicle": "motorbike",
        "Canidae": "puppy",
        "Rodents": "guinea pig",
        "Walk": "footsteps",
    }
    for option, name in everyday.items():
        assert parse(f"I hear a {name}.", OPTIONS, SYNONYMS) == option
    for option, names in SYNONYMS.items():
        for name in names:
            assert parse(name, OPTIONS, SYNONYMS) == option
            assert parse(f"The answer is {name}.", OPTIONS, SYNONYMS) == option


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
        ("Not a cat but a bird", "Bird"),
        ("Neither cat nor bird", None),
        ("No doubt: a cat", "Cat"),
        # What the documentation shows.
        ("brass instruments.", "Brass_instrument"),
        ('{"class": "Brass_instrument"}', "Brass_instrument"),
        ("a guinea pig", "Rodents"),
        ("a fire alarm", None),
        ("dog food", None),
        ("pouring water into a glass", "Pour"),
        ("a cat, not a dog", "Cat"),
        ("a cat rather than a dog", "Cat"),
        ("a cat or a dog", None),
        ("is it a cat?", None),
        ("Cat. A dog barks at it.", "Cat"),
        ("a dog, no, wait, a cat", "Cat"),
        ("A dog barks at something. The answer is Cat.", "Cat"),
        # A denial around an announcement, or over several breaks.
        ("I don't think the answer is Cat.", None),
        ("I wonder whether the answer is Cat.", None),
        ("Maybe the answer is Cat.", "Cat"),
        ("I do not, however, hear a dog.", None),
        ("It is not ... a dog.", None),
        ("The dog (a husky) is not visible.", None),
        ("It's not clear, maybe a drill or a blender.", None),
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


@example("Glass", "Door")
@given(st.sampled_from(OPTIONS), st.sampled_from(OPTIONS))
@settings(deadline=None, max_examples=100)
def test_two_classes_are_never_one_answer(first: str, second: str) -> None:
    assert parse(f"{first}, {second}", OPTIONS, SYNONYMS) == (first if first == second else None)


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=100)
def test_any_text_is_an_option_or_none(text: str) -> None:
    for chain_of_thought in (False, True):
        assert parse(text, OPTIONS, SYNONYMS, chain_of_thought=chain_of_thought) in (None, *OPTIONS)


DENIALS = [
    "I do not hear a {}.",
    "I can't see any {} in this video.",
    "There is no {} here.",
    "There isn't any sound of a {}, it seems.",
    "The {} is not audible.",
    "The {}, however, is not visible.",
    "I do not, in this clip, hear a {}.",
    'It is not "{}".',
    "I do not hear (a {}).",
    "I do not hear\na {}.",
    "No: not a {}.",
    "Is it a {}? No.",
    "I listened for a {} but could not hear one.",
    "Neither a trumpet nor a {}.",
    "I do not hear a trumpet, a harp, or a {}.",
    "It fails to show a {}.",
    "Without a {}.",
    "Anything but a {}.",
    "The answer is not {}.",
    "Final Answer: not {}",
    "Final Answer: It does not sound like a {}.",
]


@pytest.mark.parametrize("denial", DENIALS)
@pytest.mark.parametrize("chain_of_thought", [False, True])
def test_a_denial_alone_names_nothing(denial: str, chain_of_thought: bool) -> None:
    for option in OPTIONS:
        for name in (option, SYNONYMS[option][-1]):
            answer = denial.format(name)
            assert parse(answer, ABSTENTION, SYNONYMS, chain_of_thought=chain_of_thought) is None, answer


# Strings that mean something to the reader, between any others.
_TELLING = (
    "not|no|n't|but|rather than|nothing but|, |. |? |\n|\"|(|{|<think>|</think>|Final Answer:|Answer: |the answer is|"
    '"class": |boxed{|<answer>|</answer>|wait|actually|so|or|and|without|except|a dog|fire alarm|none of|nothing|'
    "the screen is black|video_caption: a|options: |if|what do you|error|un|\ud800|\x00|\u202e|🐶|狗|ﷺ|…|e.g."
)
_PIECES = st.one_of(st.text(max_size=8), st.sampled_from(OPTIONS), st.sampled_from(_TELLING.split("|")))
_TEXTS = st.lists(_PIECES, max_size=12).map(" ".join) | st.lists(_PIECES, max_size=12).map("".join)


@pytest.mark.slow
@given(_TEXTS, st.booleans())
@settings(deadline=None, max_examples=300)
def test_no_string_raises(text: str, chain_of_thought: bool) -> None:
    assert parse(text, ABSTENTION, SYNONYMS, chain_of_thought=chain_of_thought) in (None, *ABSTENTION)


@pytest.mark.slow
@given(_TEXTS, st.sampled_from(OPTIONS), st.booleans())
@example('{"class": "Camera"}', "Camera", False)
@example("Camera. In sight", "Camera", False)
@example("Final Answer: Cat <think>", "Cat", True)
@example("Video_caption:", "Cat", False)
@settings(deadline=None, max_examples=300)
def test_what_is_denied_at_the_end_is_not_the_answer(text: str, option: str, chain_of_thought: bool) -> None:
    answer = f"{text} I do not hear a {option}."
    assert parse(answer, ABSTENTION, SYNONYMS, chain_of_thought=chain_of_thought) != option


@pytest.mark.slow
@given(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True), st.booleans())
@settings(deadline=None, max_examples=200)
def test_an_option_by_itself_is_read_whatever_it_is(options: list[str], chain_of_thought: bool) -> None:
    for option in options:
        assert parse(option, options, SYNONYMS, chain_of_thought=chain_of_thought) == option


_REPEATED = (
    "dog |not |no dog, cat, |A dog. |dog, is not seen, |<think>|</think>|Final Answer: |final answer |the answer is |"
    '"class": |"|boxed{|(|\n|... |- | |\u0323\u0301|ﷺ|a|as a |ok, |none of |screen is |don\'t x |nothing but |<||'
    "Video_caption: |options: a,|\x00|\ud800|🐶|_|'|without |it saw |error "
)


@pytest.mark.slow
@pytest.mark.parametrize("chain_of_thought", [False, True])
@pytest.mark.parametrize("unit", [unit for unit in _REPEATED.split("|") if unit])
def test_a_megabyte_is_read_in_bounded_steps(unit: str, chain_of_thought: bool) -> None:
    """Calls are counted, so that a slow machine passes; the guard on time is for what a regular expression does."""
    text = unit * (1_000_000 // len(unit))
    parse("warm", ABSTENTION, SYNONYMS)
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    started = time.process_time()
    sys.setprofile(count)
    try:
        parse(text, ABSTENTION, SYNONYMS, chain_of_thought=chain_of_thought)
    finally:
        sys.setprofile(None)
    assert steps < 200 * MOST_CHARACTERS
    assert time.process_time() - started < 60


def test_of_a_long_answer_the_start_counts_and_of_a_long_thought_the_end() -> None:
    chatter = "Let me go on. " * 10_000
    assert parse(f"Cat. {chatter}", OPTIONS, SYNONYMS) == "Cat"
    assert parse(f"{chatter} Final Answer: Cat", OPTIONS, SYNONYMS, chain_of_thought=True) == "Cat"
