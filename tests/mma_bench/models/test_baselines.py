"""What each baseline says, and what it cannot know."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mma_bench.errors import ConfigError, MmaBenchError
from mma_bench.evaluation.parse import parse
from mma_bench.models.baselines import (
    BaselineEngine,
    MajoritySettings,
    OracleSettings,
    RandomSettings,
    SpecialistBaseline,
    SpecialistSettings,
    open_baseline,
    question_of,
)
from mma_bench.models.contracts import Answer, ClipTask, CountsAnswers, Engine, Prompt
from mma_bench.prompts import NONE_OF_THE_ABOVE, chain_of_thought, forced_choice
from mma_bench.schema import PAPERS_CONDITIONS, Condition
from tests.mma_bench.models.servers import clip, task

OPTIONS = ("Bird", "Cat", "Dog", "Rain")
SEE = Prompt("visual.forced_choice.0", forced_choice("visual", OPTIONS), options=OPTIONS, question="visual")
HEAR = Prompt("audio.forced_choice.0", forced_choice("audio", OPTIONS), options=OPTIONS, question="audio")
ABSTAIN = (*OPTIONS, NONE_OF_THE_ABOVE)
SEE_OR_NOT = replace(SEE, key="visual.abstention.0", text=forced_choice("visual", ABSTAIN), options=ABSTAIN)
HEAR_OR_NOT = replace(HEAR, key="audio.abstention.0", text=forced_choice("audio", ABSTAIN), options=ABSTAIN)
SCORE = replace(SEE, key="visual.loglikelihood.0", mode="score")
THINK = replace(SEE, key="visual.chain_of_thought.0", text=chain_of_thought("visual", OPTIONS))


def texts(engine: Engine, on: ClipTask) -> list[str | None]:
    (answers,) = engine.answer([on])
    assert [answer.error for answer in answers] == [None] * len(answers)
    return [answer.text for answer in answers]


def score(engine: Engine, on: ClipTask) -> dict[str, float]:
    ((answer,),) = engine.answer([on])
    assert answer.text is None
    assert answer.logprobs is not None
    return answer.logprobs


ORACLE = open_baseline("oracle", OracleSettings())
RANDOM = open_baseline("random", RandomSettings())
FIRST = open_baseline("majority", MajoritySettings())


def test_random_is_uniform_and_the_same_again() -> None:
    tasks = [task(SEE, HEAR, id=f"{index}.aligned", video=b"") for index in range(1000)]
    answers = RANDOM.answer(tasks)
    drawn = Counter(answer.text for row in answers for answer in row)
    assert set(drawn) == set(OPTIONS)
    assert all(abs(count - 500) < 100 for count in drawn.values())  # 5 standard deviations
    assert sum(row[0].text == row[1].text for row in answers) < 350  # the two questions are drawn apart
    assert RANDOM.answer(tasks[::-1])[::-1] == answers
    other = open_baseline("random", RandomSettings(seed=1))
    assert other.answer(tasks) != answers
    assert other.revision != RANDOM.revision


def test_majority_says_the_most_frequent_class_and_the_first_by_name_among_equals() -> None:
    engine = open_baseline("majority", MajoritySettings())
    assert isinstance(engine, CountsAnswers)
    engine.count("aligned", {"visual": {"Rain": 2, "Dog": 3, "Cat": 3}, "audio": {"Rain": 1}})
    engine.count("misaligned", {"visual": {"Rain": 9}, "audio": {"Dog": 9}})
    assert texts(engine, task(SEE, HEAR)) == ["Cat", "Rain"]
    assert texts(engine, task(SEE_OR_NOT, condition="aligned")) == ["Cat"]
    assert texts(engine, task(SEE, HEAR, condition="misaligned")) == ["Rain", "Dog"]
    assert not any(isinstance(other, CountsAnswers) for other in (ORACLE, RANDOM))


def test_majority_says_one_class() -> None:
    assert texts(FIRST, task(SEE, HEAR)) == ["Bird", "Bird"]  # nothing is known of the frequencies
    rain = open_baseline("majority", MajoritySettings(majority_class="Rain"))
    assert texts(rain, task(SEE, HEAR)) == ["Rain", "Rain"]
    with pytest.raises(ConfigError, match="'Snow' is not an option"):
        open_baseline("majority", MajoritySettings(majority_class="Snow")).answer([task(SEE)])


@pytest.mark.parametrize("condition", list(PAPERS_CONDITIONS))
def test_the_oracle_is_right(condition: Condition) -> None:
    said = texts(ORACLE, task(SEE, HEAR, SEE_OR_NOT, HEAR_OR_NOT, condition=condition))
    seen = NONE_OF_THE_ABOVE if condition is Condition.FRAMES_ZEROED else "Bird"
    heard = NONE_OF_THE_ABOVE if condition is Condition.AUDIO_REMOVED else "Cat"
    assert said == ["Bird", "Cat", seen, heard]


@pytest.mark.parametrize("engine", [ORACLE, RANDOM, FIRST], ids=lambda engine: engine.name)
def test_a_score_says_what_the_text_says(engine: Engine) -> None:
    logprobs = score(engine, task(SCORE))
    assert list(logprobs) == list(OPTIONS)
    assert sum(map(math.exp, logprobs.values())) == pytest.approx(1)
    same = replace(SCORE, mode="generate")
    assert max(logprobs, key=lambda option: logprobs[option]) == texts(engine, task(same))[0]


def test_a_chain_of_thought_ends_as_it_should() -> None:
    (said,) = texts(ORACLE, task(THINK))
    assert parse(said or "", OPTIONS, {}, chain_of_thought=True) == "Bird"


def test_without_options_there_is_nothing_to_choose() -> None:
    ((answer,),) = RANDOM.answer([task(Prompt("visual.caption.0", "Describe."))])
    assert "needs options" in (answer.unsupported or "")


def test_the_modality_is_a_field_of_the_prompt_and_not_read_out_of_its_key() -> None:
    assert question_of(replace(SEE, key="audio.forced_choice.0")) == "visual"
    with pytest.raises(ValueError, match="does not specify the queried modality"):
        question_of(Prompt("visual.forced_choice.0", "?"))


class Toy:
    """Stands for the two networks: scores by sense, and what it was shown."""

    def __init__(self, visual: dict[str, float], audio: dict[str, float]) -> None:
        self._visual, self._audio = visual, audio
        self.shown: list[tuple[str, Any]] = []

    def revision(self, settings: Any) -> str:
        return f"toy {settings}"

    def sees(self, frames: Any) -> dict[str, float]:
        self.shown.append(("visual", frames))
        return self._visual

    def hears(self, audio: Any) -> dict[str, float]:
        self.shown.append(("audio", audio))
        return self._audio


def specialist(toy: Any) -> BaselineEngine:
    senses = SpecialistBaseline(SpecialistSettings(frames=3), toy)
    return BaselineEngine(senses, name="specialist", revision=senses.revision)


def test_the_specialist_answers_each_question_with_its_own_sense() -> None:
    toy = Toy({"Cat": 0.9, "Snow": 1.0}, {"Rain": 0.4, "Dog": 0.3})
    assert texts(specialist(toy), task(SEE, HEAR, SEE_OR_NOT, HEAR_OR_NOT)) == ["Cat", "Rain", "Cat", "Rain"]
    (first, seen), (second, heard) = toy.shown  # media are decoded and looked at once per sense
    assert (first, second) == ("visual", "audio")
    assert seen.shape == (3, 56, 84, 3)
    assert heard.ndim == 1
    assert np.abs(heard).max() > 0.1


def test_the_specialist_looks_at_every_clip_anew() -> None:
    toy = Toy({"Cat": 0.9}, {})
    specialist(toy).answer([task(SEE), task(SEE, video=clip(1))])
    (_, one), (_, other) = toy.shown
    assert not np.array_equal(one, other)


def test_without_sound_the_specialist_hears_nothing_and_guesses_only_if_it_must() -> None:
    toy = Toy({"Cat": 0.9}, {"Rain": 0.4})
    engine = specialist(toy)
    guessed = set()
    for index in range(30):
        guess, honest = texts(engine, task(HEAR, HEAR_OR_NOT, condition="audio_dropped", id=f"{index}.audio_dropped"))
        assert honest == NONE_OF_THE_ABOVE
        guessed.add(guess)
    assert guessed == set(OPTIONS)
    assert toy.shown == []


def test_the_specialist_scores_what_it_perceives() -> None:
    logprobs = score(specialist(Toy({"Cat": 0.6, "Dog": 0.3}, {})), task(SCORE))
    assert sorted(OPTIONS, key=lambda option: -logprobs[option])[:2] == ["Cat", "Dog"]
    assert logprobs["Bird"] == logprobs["Rain"] > -10
    assert sum(map(math.exp, logprobs.values())) == pytest.approx(1)


def test_a_damaged_clip_is_its_prompts_error() -> None:
    broken, fine = specialist(Toy({"Cat": 1.0}, {})).answer([task(SEE, video=b"no video"), task(SEE)])
    assert "clip a.aligned" in (broken[0].error or "")
    assert fine == [Answer(SEE.key, text="Cat")]


def test_the_real_networks_answer() -> None:
    pytest.importorskip("torch", reason="of the extra `specialist`")
    try:
        engine = open_baseline("specialist", SpecialistSettings(frames=2))
    except MmaBenchError as error:
        pytest.skip(f"the weights cannot be had here: {error.message}")
    said = texts(engine, task(SEE, HEAR))
    assert set(said) <= set(OPTIONS)
    assert engine.answer([task(SEE, HEAR)])[0] == engine.answer([task(HEAR, SEE)])[0][::-1]


def test_without_a_clip_a_guess_is_a_guess_and_perfection_is_unsupported() -> None:
    alone = replace(task(SEE, video=b""), text_alone=True, hears=False)
    assert texts(RANDOM, alone)[0] in OPTIONS
    assert texts(FIRST, alone) == ["Bird"]
    ((answer,),) = ORACLE.answer([alone])
    assert answer.unsupported == "oracle needs a clip"
