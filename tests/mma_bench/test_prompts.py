"""The prompts, letter by letter, against the paper's figures."""

from mma_bench import prompts

OPTIONS = ["Accordion", "Bird", "Cat"]


def test_figure_5() -> None:
    assert prompts.forced_choice("visual", OPTIONS) == (
        "Which class best describes the visual content of this video? Options: Accordion, Bird, Cat. "
        "Answer using a single word or phrase."
    )
    assert prompts.forced_choice("audio", OPTIONS) == (
        "Which class best describes the audio content of this video? Options: Accordion, Bird, Cat. "
        "Answer using a single word or phrase."
    )


def test_figure_20() -> None:
    assert prompts.misleading_caption("audio", OPTIONS, "Vehicle") == (
        "Video_caption: Vehicle. Which class best describes the audio content of this video? "
        "Options: Accordion, Bird, Cat."
    )


def test_figure_25() -> None:
    assert prompts.chain_of_thought("visual", OPTIONS) == (
        "Which class best describes the visual content of this video? Options: Accordion, Bird, Cat. "
        "Think step by step about what the visual content shows. First provide your thinking process, then give the "
        "final answer in the format: Final Answer: <class>."
    )


def test_appendix_b1_names_the_class_as_people_write_it() -> None:
    assert prompts.judge_question("visual", "Bowed_string_instrument") == (
        "Is the Bowed string instrument clearly visible in this video?"
    )
    assert prompts.judge_question("audio", "Cat") == "Is the sound of Cat clearly audible in this video?"


def test_section_4_1_4_and_appendix_j() -> None:
    assert prompts.LONG_CONTEXT_TOKENS == 10_000
    assert prompts.NONE_OF_THE_ABOVE == "None of the above"
