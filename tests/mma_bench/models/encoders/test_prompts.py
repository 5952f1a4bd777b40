"""The table of prompts covers every class in both modalities, and a mistake in a table is named."""

from pathlib import Path

import pytest

from mma_bench.builders.labels.decisions import read_decisions
from mma_bench.errors import ConfigError, DataError
from mma_bench.models.encoders.prompts import read_prompts
from mma_bench.schema import MODALITIES

ROOT = Path(__file__).parents[4]


def test_every_class_is_described_for_both_modalities() -> None:
    decisions = read_decisions(ROOT / "builders/curation/class_decisions.csv")
    classes = {row.class_name for row in decisions if row.action == "keep"}
    assert len(classes) == 61
    for modality in MODALITIES:
        assert read_prompts(None)[modality].keys() == classes


def test_prompts_begin_as_the_models_examples_do_and_belong_to_one_class() -> None:
    for modality, start in (("visual", "this is a photo of "), ("audio", "this is a sound of ")):
        texts = [text for texts in read_prompts(None)[modality].values() for text in texts]  # type: ignore[index]
        assert all(text.startswith(start) and text.endswith(".") and text == text.lower() for text in texts)
        assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ("Cat,smell,a cat", DataError, "line 2, column 'modality'"),
        ("Cat,visual,", DataError, "line 2, column 'prompt': empty"),
        ("Cat,visual,a cat\nCat,visual,a cat", DataError, "is already in line 2"),
        ("Cat,visual,a cat\nDog,visual,a dog\nCat,audio,a cat", ConfigError, "1 classes have a prompt for audio"),
    ],
)
def test_a_mistake_is_named(rows: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    table = tmp_path / "prompts.csv"
    table.write_text(f"class,modality,prompt\n{rows}\n")
    with pytest.raises(error, match=message):
        read_prompts(table)
