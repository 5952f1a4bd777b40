"""A dataset of one clip per condition, in the form that the stage `package` writes."""

from pathlib import Path
from typing import Any

import datasets

from mma_bench.prompts import forced_choice, misleading_caption
from mma_bench.schema import PAPERS_CONDITIONS, Condition
from tests.mma_bench.models.servers import clip

OPTIONS = ["Bird", "Cat", "Bowed_string_instrument"]


def row(condition: str, *, seed: int = 7, base: str = "clip0") -> dict[str, Any]:
    """A row without its clip: a bird; under `misaligned` the sound of a cat, under `misleading_caption` its name."""
    heard = "Cat" if condition == Condition.MISALIGNED else "Bird"
    caption = "a cat" if condition == Condition.MISLEADING_CAPTION else None
    asked = {
        f"{question}_question": forced_choice(question, OPTIONS)
        if caption is None
        else misleading_caption(question, OPTIONS, caption)
        for question in ("visual", "audio")
    }
    return {
        "id": f"{base}.{condition}",
        "condition": condition,
        "visual_class": "Bird",
        "audio_class": heard,
        "caption": caption,
        "context_seed": seed if condition == Condition.LONG_CONTEXT else None,
        "context": f"far {base} ease" if condition == Condition.LONG_CONTEXT else None,
        **asked,
        "visual_answer": "Bird",
        "audio_answer": heard,
        "options": OPTIONS,
        "base_id": base,
        "donor_id": "clip1" if condition == Condition.MISALIGNED else None,
        "class_distance": 2 if condition == Condition.MISALIGNED else None,
    }


def rows(condition: str, count: int = 1) -> datasets.Dataset:
    """Rows with their clips."""
    text, number = datasets.Value("string"), datasets.Value("int64")
    kinds = {"context_seed": number, "class_distance": number, "options": datasets.List(text)}
    features = {"video": datasets.Video(decode=False), **{name: kinds.get(name, text) for name in row(condition)}}
    listed = [
        {"video": {"bytes": clip(index), "path": None}, **row(condition, seed=index, base=f"clip{index}")}
        for index in range(count)
    ]
    return datasets.Dataset.from_list(listed, features=datasets.Features(features))


def write(folder: Path) -> Path:
    """Write one split of every condition; returns the folder."""
    configs = ["---", "configs:"]
    for condition in PAPERS_CONDITIONS:
        file = folder / "data" / condition / "test-00000-of-00001.parquet"
        file.parent.mkdir(parents=True)
        rows(condition).to_parquet(file)
        configs += [
            f"- config_name: {condition}",
            "  data_files:",
            "  - split: test",
            f"    path: data/{condition}/test-*.parquet",
        ]
    (folder / "README.md").write_text("\n".join([*configs, "---", ""]), encoding="utf-8")
    return folder
