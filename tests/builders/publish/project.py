"""A finished project of twelve real, tiny clips with its packaged dataset and the records of gates that passed."""

import json
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from mma_bench import layout
from mma_bench.builders import conflicts, package
from mma_bench.builders.publish.gates import GATES
from mma_bench.classes import save_classes
from mma_bench.config import Params, load_params
from mma_bench.executor.task import Task, Work
from mma_bench.files import file_sha256, write_json
from mma_bench.media.facts import media_facts
from mma_bench.schema import ALIGNED, PAIRS, PAPERS_CONDITIONS
from mma_bench.tables import from_rows, write_table
from tests.builders.conftest import CLASSES, STAGES, class_table, tiny_clip

ROOT = Path(__file__).parents[3]


def make(root: Path, version: str = "1.0.0", *, without: Collection[str] = (), extra: bool = False) -> None:
    """Write the project into `root`, which is or becomes the current folder.

    Args:
        without: Clips that are removed; their bases get the next class's donor.
        extra: One test clip more.
    """
    params = _params(root, version)
    rows: list[dict[str, Any]] = []
    for split, copies in (("test", 2), ("train", 1)):
        for number, name in enumerate(CLASSES):
            for copy in range(copies + (extra and split == "test" and number == 0)):
                clip_id = f"{name.lower()}-{split}{copy}_30000"
                if clip_id in without:
                    continue
                path = root / layout.NORMALISED_CLIPS / f"{clip_id}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(tiny_clip(60 + 20 * number + copy, 300 + 100 * number + 10 * copy))
                rows.append(
                    {
                        **{"clip_id": clip_id, "split": split, "video_id": clip_id.removesuffix("_30000")},
                        **{"start_s": 30.0, "end_s": 31.0, "class_name": name, "label_ids": [f"/m/{name.lower()}"]},
                        **{"source": "sample (photo + sound)", "licence": ("GPL-2", "CC0-1.0")[copy % 2]},
                        **{"judge": "specialist", "human_verified": False, "evidence": ""},
                        **{"path": path.relative_to(root).as_posix(), "sha256": file_sha256(path)},
                        **media_facts(path),
                    }
                )
    write_table(from_rows(rows, ALIGNED), root / layout.ALIGNED, ALIGNED, ["clip_id"])
    write_table(from_rows(_pairs(rows), PAIRS), root / layout.PAIRS, PAIRS, ["split", "base_id", "rank"])
    save_classes(class_table(), root / layout.CLASSES)
    write_json(root / layout.FUNNEL, {"eval": {"segments": 20371, "no_class": 16853, "candidates": 3518}})
    (root / "sample/licences").mkdir(parents=True, exist_ok=True)
    (root / "sample/licences/GPL-2.txt").write_text("GNU GENERAL PUBLIC LICENSE\n")
    for stage, counts in STAGES.items():
        write_json(root / layout.metrics(stage), counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conflicts, "run", _here)
        conflicts.main(params)
    package.main(params)
    gates_pass(root)


def _here(tasks: Sequence[Task], work: Work, *_: Any, **__: Any) -> list[dict[str, Any]]:
    """The executor without worker processes, which take longer to start than the clips."""
    return [
        {"key": task.key, "status": "ok", "reason": "", "detail": "", "result": work(task.payload)} for task in tasks
    ]


def gates_pass(root: Path) -> None:
    """Write the records of gates that passed on the files as they are."""
    tables = [layout.ALIGNED, layout.PAIRS, layout.VARIANTS]
    folder = root / layout.PACKAGE
    dataset = [path.relative_to(root) for path in sorted(folder.rglob("*")) if path.is_file()]
    for gate in GATES:
        inputs = {path.as_posix(): file_sha256(root / path) for path in (dataset if gate == "package" else tables)}
        promise = {"name": "holds", "passed": True}
        record = {"format": 1, "table": gate, "passed": True, "inputs": inputs, "expectations": [promise]}
        write_json(root / layout.VALIDATION / f"{gate}.json", record)


def renew(root: Path, version: str, **changes: Any) -> None:
    """Build the project again as another version."""
    shutil.rmtree(root / layout.NORMALISED_CLIPS)
    make(root, version, **changes)


def edit(root: Path, version: str, changed: pl.DataFrame) -> None:
    """Package another table of variants."""
    write_table(changed, root / layout.VARIANTS, dict(changed.schema), ["id"])
    package.main(_params(root, version))
    gates_pass(root)


def _params(root: Path, version: str) -> Params:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw["package"]["version"], raw["workers"] = version, 1
    raw["conflicts"]["conditions"]["test"] = [str(name) for name in PAPERS_CONDITIONS]
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    if not (root / "tombstones.csv").exists():
        (root / "tombstones.csv").write_text("id,reason,date\n")
    return load_params(root / "params.yaml")


def _pairs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    pairs = []
    for row in rows:
        other = CLASSES[(CLASSES.index(row["class_name"]) + 1) % len(CLASSES)]
        donors = [one["clip_id"] for one in rows if one["split"] == row["split"] and one["class_name"] == other]
        copy = int(row["clip_id"].removesuffix("_30000")[-1])
        donor = donors[copy % len(donors)]
        classes = {"visual_class": row["class_name"], "audio_class": other, "class_distance": 2}
        pairs.append({"split": row["split"], "base_id": row["clip_id"], "donor_id": donor, "rank": 0, **classes})
    return pairs


def checksums(root: Path) -> dict[str, str]:
    """Path → hash of the packaged dataset's files."""
    folder = root / layout.PACKAGE
    return {p.relative_to(folder).as_posix(): file_sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def record(root: Path, gate: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((root / layout.VALIDATION / f"{gate}.json").read_text())
    return loaded
