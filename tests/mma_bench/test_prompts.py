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


def test_figure_20_with_the_last_sentence_of_figure_5() -> None:
    asked = prompts.with_short_answer(prompts.misleading_caption("audio", OPTIONS, "Vehicle"))
    assert asked == (
        "Video_caption: Vehicle. Which class best describes the audio content of this video? "
        "Options: Accordion, Bird, Cat. Answer using a single word or phrase."
    )
    assert asked.removeprefix("Video_caption: Vehicle. ") == prompts.forced_choice("audio", OPTIONS)


def test_irrelevant_text_stands_after_the_question_or_before_it() -> None:
    asked = prompts.forced_choice("visual", OPTIONS)
    assert prompts.context_after(asked, "far ease") == asked + " far ease"
    assert prompts.context_before(asked, "far ease") == "far ease " + asked


def test_appendix_j() -> None:
    assert prompts.NONE_OF_THE_ABOVE == "None of the above"
