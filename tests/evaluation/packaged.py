"""A dataset of three clips in a folder, as `datasets` loads it."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mma_bench.builders.dataset.columns import features
from mma_bench.media.packets import packet_sha256
from mma_bench.prompts import PROMPT_VERSION, forced_choice
from tests.mma_bench.models.servers import clip

BASES = ("a", "b", "c")
OPTIONS = ["Bird", "Cat"]
ADDED = ("context", "visual_question_short_answer", "audio_question_short_answer")  # older datasets lack them


@cache
def hashes(media: bytes) -> dict[str, str]:
    """The columns with the hashes of a clip's packets."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(media)
        file.flush()
        return {f"{kind}_sha256": packet_sha256(Path(file.name), kind) for kind in ("video", "audio")}


def media_of(base: str) -> bytes:
    """The clip of a base."""
    return clip(ord(base[0]))


def packaged_row(base: str, condition: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(features())
    return row | {
        "id": f"{base}.{condition}",
        "base_id": base,
        "condition": condition,
        "video": {"bytes": media_of(base), "path": f"{base}.mp4"},
        **dict.fromkeys(("visual_class", "audio_class", "visual_answer", "audio_answer"), "Cat"),
        **dict.fromkeys(("visual_abstention_answer", "audio_abstention_answer"), "Cat"),
        "options": OPTIONS,
        "visual_question": forced_choice("visual", OPTIONS),
        "audio_question": forced_choice("audio", OPTIONS),
        "prompt_version": PROMPT_VERSION,
        **hashes(media_of(base)),
    }


def write(folder: Path, without: tuple[str, ...] = (), **conditions: list[dict[str, Any]]) -> Path:
    """Rows by condition; the dataset lacks the columns `without`."""
    configs = []
    for condition, rows in conditions.items():
        path = folder / "data" / condition / "test-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(rows, schema=features().arrow_schema)
        pq.write_table(table.drop_columns(list(without)), path)
        configs.append(
            {"config_name": condition, "data_files": [{"split": "test", "path": f"data/{condition}/test-*"}]}
        )
    (folder / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    return folder
