"""The published results: the table is whole, and a model is compared with itself."""

import pytest

from mma_bench.evaluation import published
from mma_bench.schema import PAPERS_CONDITIONS


@pytest.mark.parametrize(
    ("model", "adapter", "name"),
    [
        ("Qwen/Qwen2.5-Omni-7B", None, "Qwen2.5-Omni-7B"),
        ("qwen2.5-omni-7b", None, "Qwen2.5-Omni-7B"),
        ("Qwen2.5-Omni-7B", "my/lora", "Qwen2.5-Omni-7B + modality-aware LoRA"),
        ("Qwen/Qwen3-Omni-30B-A3B-Instruct", None, "Qwen3-Omni-30B-Instruct"),
        ("Qwen/Qwen3-Omni-30B-A3B-Instruct", "my/lora", None),
        ("gemini-2.5-pro", None, "Gemini-2.5-Pro"),
        ("models/gemini-2.0-flash", None, "Gemini-2.0-Flash"),
        ("gemini-2.0-flash-lite", None, "Gemini-2.0-Flash-Lite"),
        ("checkpoints/Qwen2.5-Omni-7B/", None, "Qwen2.5-Omni-7B"),
        ("videollama2", None, "VideoLLaMA2"),
        ("Qwen/Qwen2.5-Omni-3B", None, None),
        ("random", None, None),
        ("", None, None),
    ],
)
def test_models_are_known_by_their_usual_names(model: str, adapter: str | None, name: str | None) -> None:
    assert published.published_name(model, adapter) == name


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (("Qwen2.5-Omni-7B", "forced_choice", "misaligned", "audio"), 0.2516),
        (("Gemini-2.5-Pro", "forced_choice", "aligned", "visual"), 0.979),
        (("PandaGPT", "forced_choice", "long_context", "audio"), None),
        (("Qwen2.5-Omni-7B", "chain_of_thought", "misaligned", "audio"), 0.3116),
        (("Gemini-2.5-Pro", "chain_of_thought", "misaligned", "audio"), None),
        (("Gemini-2.5-Pro", "abstention", "frames_zeroed", "visual"), 0.4742),
        (("Gemini-2.5-Pro", "abstention", "frames_zeroed", "audio"), None),
        (("Qwen2.5-Omni-7B", "loglikelihood", "misaligned", "audio"), None),
        (("nobody", "forced_choice", "aligned", "visual"), None),
    ],
)
def test_values_are_those_of_the_tables(cell: tuple[str, str, str, str], value: float | None) -> None:
    assert published.published_accuracy(*cell) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("model", "settings", "name"),
    [
        ("qwen2.5-omni-7b", {"checkpoint": "Qwen/Qwen2.5-Omni-7B"}, "Qwen2.5-Omni-7B"),
        ("qwen2.5-omni-7b", {"checkpoint": "me/Qwen2.5-Omni-7B-tuned"}, None),
        ("gemini-2.5-pro", {"model": "gemini-3-pro"}, None),
        ("openai-server", {"model": "Qwen/Qwen2.5-Omni-7B"}, "Qwen2.5-Omni-7B"),
        ("videollama2", {"command": ["python"]}, "VideoLLaMA2"),
    ],
)
def test_the_weights_decide_and_not_what_they_are_called(
    model: str, settings: dict[str, object], name: str | None
) -> None:
    assert published.published_name(model, None, settings) == name


def test_the_table_of_the_papers_results_has_every_model_and_condition() -> None:
    rows = {row["model"]: row for row in published.published_rows()}
    assert len(rows) == len(published.RESULTS["black_box"])
    assert rows["Qwen2.5-Omni-7B"]["misaligned"]["audio"] == pytest.approx(0.2516)
    assert rows["PandaGPT"]["long_context"] == {"visual": None, "audio": None}


def test_every_model_has_every_condition_in_percent() -> None:
    assert published.SOURCE.startswith("arXiv 2511.22826")
    for questions in published.RESULTS["black_box"].values():
        for question in ("visual", "audio"):
            assert set(questions[question]) == {str(condition) for condition in PAPERS_CONDITIONS}
            assert all(value is None or 0 <= value <= 100 for value in questions[question].values())


def test_the_table_of_seen_and_unseen_classes_is_that_of_appendix_h() -> None:
    rows = {
        (row["group"], row["condition"], row["question"]): (row["base"], row["tuned"])
        for row in published.published_seen_rows()
    }
    assert len(rows) == 8
    assert rows["seen", "aligned", "visual"] == pytest.approx((0.763, 0.963))
    assert rows["seen", "misaligned", "audio"] == pytest.approx((0.274, 0.531))
    assert rows["unseen", "aligned", "audio"] == pytest.approx((0.618, 0.764))
    assert rows["unseen", "misaligned", "audio"] == pytest.approx((0.246, 0.551))
