"""What harnesses ask is what the package itself asks, and their marks average to the package's own scores."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import ConfigError
from mma_bench.evaluation.protocols import QUESTIONS, Protocol, Sampling, expected, prompts_of
from mma_bench.evaluation.score import accuracy
from mma_bench.evaluation.tasks import questions
from mma_bench.schema import PAPERS_CONDITIONS, Condition
from tests.evaluation.runs import prediction
from tests.evaluation.tasks.built import row, rows, write


@pytest.mark.parametrize("condition", list(PAPERS_CONDITIONS))
def test_asks_what_the_package_asks(condition: str) -> None:
    asked = list(prompts_of(row(condition), [Protocol.FORCED_CHOICE], Sampling()))
    for question, prompt in zip(QUESTIONS, asked, strict=True):
        text = questions.text_of(row(condition), question)
        assert text == prompt.text
        assert questions.target_of(row(condition), question) == expected(
            Protocol.FORCED_CHOICE, row(condition), question
        )
        assert prompt.max_new_tokens == questions.MAX_NEW_TOKENS


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Cat", {"audio_accuracy": 1.0, "audio_unparseable": 0.0}),
        ("bowed string instrument.", {"audio_accuracy": 0.0, "audio_unparseable": 0.0}),
        ("a cat or a bird", {"audio_accuracy": 0.0, "audio_unparseable": 1.0}),
        ("", {"audio_accuracy": 0.0, "audio_unparseable": 1.0}),
    ],
)
def test_marks(text: str, named: dict[str, float]) -> None:
    assert questions.marks(text, row(Condition.MISALIGNED), "audio") == named


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["Bird", "it's a cat", "Cat and bird", "no idea"]), min_size=1, max_size=12))
def test_marks_average_to_the_packages_scores(texts: list[str]) -> None:
    asked = row(Condition.ALIGNED)
    rows = []
    for index, text in enumerate(texts):
        answer = questions.answer_of(text, asked)
        status = "unparseable" if answer is None else "ok"
        rows.append(prediction(f"clip{index}", "aligned", "visual", answer, status=status))
    (own,) = accuracy(rows)
    marks = [questions.marks(text, asked, "visual") for text in texts]
    assert sum(mark["visual_unparseable"] for mark in marks) == own["unparseable"]
    assert sum(mark["visual_accuracy"] for mark in marks) / len(marks) == pytest.approx(own["mean"])


def test_dataset_is_a_folder_or_a_name_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(questions.DATASET_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=r"'mma-bench' is not a directory.*\n.*set MMA_BENCH_DATASET"):
        questions.dataset_name()
    (tmp_path / "mma-bench").mkdir()
    assert questions.dataset_name() == str(tmp_path / "mma-bench")
    monkeypatch.setenv(questions.DATASET_VARIABLE, "someone/mma-bench")
    assert questions.dataset_name() == "someone/mma-bench"
    for missing in ("/nowhere/mma-bench", "./mma-bench2", "a/b/c"):
        monkeypatch.setenv(questions.DATASET_VARIABLE, missing)
        with pytest.raises(ConfigError, match="is not a directory"):
            questions.dataset_name()


def test_the_content_of_a_rebuilt_dataset_is_another(tmp_path: Path) -> None:
    folder = write(tmp_path / "mma-bench")
    before = questions.dataset_content(str(folder))
    questions.dataset_content.cache_clear()
    assert questions.dataset_content(str(folder)) == before
    rows("aligned", 2).to_parquet(folder / "data/aligned/test-00000-of-00001.parquet")
    questions.dataset_content.cache_clear()
    assert questions.dataset_content(str(folder)) != before
