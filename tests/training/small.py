"""A dataset of five tiny clips with its SFT table, made in a second, and runs on it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mma_bench import prompts
from mma_bench.builders.dataset.columns import features
from mma_bench.schema import EXAMPLES
from mma_bench.training.config import TrainConfig
from mma_bench.training.train import main
from tests.mma_bench.models.omni.omni_plain import checkpoint, clip

OPTIONS = ["Bird", "Bowed string instrument", "Cat", "Dog"]
CLASSES = {"a": "Cat", "b": "Dog", "c": "Bird", "d": "Bowed string instrument", "e": "Cat"}
DONORS = {"a": "b", "b": "c", "c": "d", "d": "a", "e": "d"}
HELD_OUT = ("e",)


def clip_rows() -> list[dict[str, Any]]:
    """Rows of the dataset: each base aligned, and misaligned with one donor; clips differ in length and geometry."""
    rows = []
    for number, (base, donor) in enumerate(DONORS.items()):
        for condition, heard in (("aligned", base), ("misaligned", donor)):
            video = clip(
                2 * number + (condition == "misaligned"),
                seconds=2 + number % 2,
                size=(84, 56) if number % 2 else (56, 56),
            )
            row: dict[str, Any] = dict.fromkeys(features())
            rows.append(
                row
                | {
                    "id": f"{base}.{condition}",
                    "base_id": base,
                    "condition": condition,
                    "video": {"bytes": video, "path": f"{base}.{condition}.mp4"},
                    **dict.fromkeys(("visual_class", "visual_answer"), CLASSES[base]),
                    **dict.fromkeys(("audio_class", "audio_answer"), CLASSES[heard]),
                    "options": OPTIONS,
                    "video_sha256": hashlib.sha256(video).hexdigest(),
                    "audio_sha256": hashlib.sha256(video).hexdigest(),
                }
            )
    return rows


def write_dataset(folder: Path, rows: list[dict[str, Any]]) -> Path:
    configs = []
    for condition in ("aligned", "misaligned"):
        path = folder / "data" / condition / "train-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [row for row in rows if row["condition"] == condition]
        pq.write_table(pa.Table.from_pylist(kept, schema=features().arrow_schema), path)
        configs.append(
            {"config_name": condition, "data_files": [{"split": "train", "path": f"data/{condition}/train-*"}]}
        )
    (folder / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    return folder


def write_sft(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table = [
        {
            "example_id": f"{row['id']}.{question}.0",
            "part": "validation" if row["base_id"] in HELD_OUT else "train",
            "id": row["id"],
            "base_id": row["base_id"],
            "condition": row["condition"],
            "question": question,
            "copy": 0,
            "prompt": prompts.forced_choice(question, OPTIONS),
            "answer": row[f"{question}_answer"],
            "options": OPTIONS,
            "visual_class": row["visual_class"],
            "audio_class": row["audio_class"],
        }
        for row in rows
        for question in ("visual", "audio")
    ]
    pl.DataFrame(table, schema=EXAMPLES).sort("example_id").write_parquet(folder / "examples.parquet")
    (folder / "facts.json").write_text('{"dataset": "small"}\n')
    return folder


def config(**settings: Any) -> TrainConfig:
    """The tiny checkpoint on the CPU, four examples a step."""
    tiny: dict[str, Any] = {
        "checkpoint": str(checkpoint()),
        "learning_rate": 1e-2,
        "batch": 2,
        "accumulation": 2,
        "epochs": None,
        "max_steps": 4,
        "every": 2,
        "device": "cpu",
        "gradient_checkpointing": False,
        "min_pixels": 56 * 56,
        "max_pixels": 112 * 112,
    }
    return TrainConfig.model_validate(tiny | settings)


def run(small: Path, out: Path, **settings: Any) -> Path:
    """One run on the dataset that `write` made."""
    main(
        config(**settings),
        data=small / "sft",
        dataset=str(small / "dataset"),
        dataset_revision=None,
        out=out,
        source="small",
    )
    return out


def write(folder: Path) -> Path:
    rows = clip_rows()
    write_dataset(folder / "dataset", rows)
    write_sft(folder / "sft", rows)
    return folder
