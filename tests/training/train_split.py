"""A train split: clips of a few classes, each aligned and with the sound of others; the media are made up."""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mma_bench.builders.dataset.columns import features
from mma_bench.prompts import forced_choice
from mma_bench.schema import SFT_CLIPS
from mma_bench.tables import from_rows


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def rows_of(per_class: dict[str, int], donors: int) -> list[dict[str, Any]]:
    """All columns of the dataset but `video`: donors of distinct other classes, the next ones in the alphabet."""
    names = sorted(per_class)
    clips = {f"{name.lower()}-{number}": name for name in names for number in range(per_class[name])}
    rows = []
    for index, (base, class_name) in enumerate(sorted(clips.items())):
        others = [names[(names.index(class_name) + step) % len(names)] for step in range(1, donors + 1)]
        heard = [f"{other.lower()}-{index % per_class[other]}" for other in others]
        for donor in [None, *heard]:
            condition = "misaligned" if donor else "aligned"
            classes = {"visual": class_name, "audio": clips[donor] if donor else class_name}
            rows.append(
                dict.fromkeys(features())
                | {
                    "id": f"{base}.{condition}" + (f".{donor}" if donor else ""),
                    "condition": condition,
                    "base_id": base,
                    "donor_id": donor,
                    "options": names,
                    "video_sha256": digest(base, "video"),
                    "audio_sha256": digest(donor or base, "audio"),
                    **{f"{sense}_class": name for sense, name in classes.items()},
                    **{f"{sense}_answer": name for sense, name in classes.items()},
                    **{f"{sense}_abstention_answer": name for sense, name in classes.items()},
                    "visual_question": forced_choice("visual", names),
                    "audio_question": forced_choice("audio", names),
                }
            )
    return rows


def clips_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """What the stage reads of them."""
    return from_rows(rows, SFT_CLIPS)


def write(folder: Path, split: str, rows: list[dict[str, Any]], media: bytes = b"clip") -> None:
    """Put rows, each with the same media, into the dataset's folder, and a card over all shards that are there."""
    for condition in sorted({row["condition"] for row in rows}):
        path = folder / "data" / condition / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        some = [
            {"video": {"bytes": media, "path": f"{row['id']}.mp4"}} | {k: v for k, v in row.items() if v is not None}
            for row in rows
            if row["condition"] == condition
        ]
        pq.write_table(pa.Table.from_pylist(some, schema=features().arrow_schema), path)
    configs = [
        {
            "config_name": shards.name,
            "data_files": [
                {"split": path.name.partition("-")[0], "path": path.relative_to(folder).as_posix()}
                for path in sorted(shards.iterdir())
            ],
        }
        for shards in sorted((folder / "data").iterdir())
    ]
    (folder / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
