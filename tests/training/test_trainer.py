"""What the validation's accuracy is."""

import pytest
import torch

from mma_bench.training.trainer import accuracies


def test_accuracy_is_the_mean_of_the_two_questions_whatever_their_numbers() -> None:
    rows = [
        {"condition": condition, "question": question}
        for condition, question in [("aligned", "visual")] * 3 + [("misaligned", "audio"), ("misaligned", "visual")]
    ]
    found = accuracies(rows, torch.tensor([1.0, 0.0, 1.0, 1.0, -1.0]).numpy())
    assert found == pytest.approx(
        {"accuracy": (2 / 3 + 1) / 2, "visual": 2 / 3, "audio": 1, "aligned_visual": 2 / 3, "misaligned_audio": 1}
    )
    with pytest.raises(ValueError, match="1 results for 5 examples"):
        accuracies(rows, torch.ones(1).numpy())
