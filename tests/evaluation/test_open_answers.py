"""Open answers by hand, with what they mean, and the distances of known entries."""

import pytest

from mma_bench.evaluation.open_answers import above, as_answer, distance, entries, entry_of_class, read_open

# Answer → the class that it means, an entry without a class, or None.
ANSWERS: dict[str, str | None] = {
    "A dog.": "Canidae",
    "Dogs": "Canidae",
    "a dog barking": "Canidae",
    "Wolf": "Canidae",
    "wolf howling": "Canidae",
    "I see a small brown dog on a lawn.": "Canidae",
    "The sound of a dog.": "Canidae",
    "Cat": "Cat",
    "A cat meowing": "Cat",
    "a kitten": "Cat",
    "A cat meowing and purring": "Cat",
    "I hear a cat.": "Cat",
    "A bird": "Bird",
    "I see a bird flying.": "Bird",
    "birds chirping": "Bird",
    "an owl": "Bird",
    "a crow": "Bird",
    "Chicken": "Fowl",
    "A rooster crowing": "Fowl",
    "A duck": "Fowl",
    "goose": "Fowl",
    "Car": "Vehicle",
    "a car": "Vehicle",
    "A motorcycle": "Vehicle",
    "a train horn": "Vehicle",
    "Helicopter": "Vehicle",
    "a vehicle": "Vehicle",
    "A bus": "Vehicle",
    "bicycle": "Vehicle",
    "Airplane": "Vehicle",
    "A violin being played": "Bowed_string_instrument",
    "cello": "Bowed_string_instrument",
    "Piano music": "Keyboard_musical",
    "An organ": "Keyboard_musical",
    "bassoon": "Wind_instrument",
    "a drill": "Power_tool",
    "Firecracker": "Explosion",
    "a sonic boom": "Explosion",
    "A yak": "Cattle",
    "Sneeze": "Sneeze",
    "A person sneezing": "Sneeze",
    "coughing": "Cough",
    "A basketball bounce": "Basketball_bounce",
    "Sawing": "Sawing",
    "a blender": "Blender",
    # In the ontology, without a class.
    "Music": "Music",
    "An animal": "Animal",
    "Speech": "Speech",
    "Snoring": "Snoring",
    "zither": "Zither",
    # Negations.
    "I hear no dog, only a cat.": "Cat",
    "It is not a cat.": None,
    "A cat rather than a dog": "Cat",
    "I do not hear a dog": None,
    "There is no bird.": None,
    # Lists.
    "cat, dog": None,
    "A dog and music": None,
    "a bird or a cat": None,
    "a drill and a train horn": None,
    # Nothing readable.
    "": None,
    "Nothing": None,
    "I cannot tell.": None,
    "Yes": None,
    "something": None,
    "Error: out of memory": None,
}


def test_there_are_answers_enough() -> None:
    assert len(ANSWERS) >= 60


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_read_as_people_read_it(text: str) -> None:
    assert as_answer(read_open(text)) == ANSWERS[text]


@pytest.mark.parametrize(
    ("entry", "class_name", "expected"),
    [
        ("Cat", "Cat", "exact"),
        ("Meow", "Cat", "narrower"),
        ("Dog", "Canidae", "narrower"),
        ("Animal", "Cat", "broader"),
        ("Bird", "Cat", "same_tree"),
        ("Piano", "Cat", "other"),
        (None, "Cat", "unread"),
        ("Cat", "No_class_of_the_ontology", "other"),
    ],
)
def test_distances(entry: str | None, class_name: str, expected: str) -> None:
    assert distance(entry, class_name) == expected


def test_the_table_is_audiosets() -> None:
    assert len(entries()) == 632
    assert sum(entry.is_label for entry in entries().values()) == 527
    assert len(entry_of_class()) == 61
    assert not any(name in above(name) for name in entries())


@pytest.mark.parametrize("name", [name for name, entry in entries().items() if entry.is_label])
def test_every_label_is_read_as_itself(name: str) -> None:
    assert read_open(name) == name


@pytest.mark.parametrize("name", entry_of_class())
def test_every_class_is_read_as_its_entry(name: str) -> None:
    assert as_answer(read_open(name)) == name
