"""A small, sound project in memory: every table, metric and file that a gate reads, to be broken by the tests.

Four classes with a clip in each split, and one more test clip each that could not be acquired (lost-1), was refused
(mute-1) and was rejected by the judge (cat-9).
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from mma_bench import layout
from mma_bench.classes import ClassTable, LabelClass, Node, save_classes
from mma_bench.config import Params
from mma_bench.errors import GateError
from mma_bench.irrelevant_text import irrelevant_text
from mma_bench.schema import (
    ACQUIRED,
    ALIGNED,
    CANDIDATES,
    CHECKS,
    LABEL_SETS,
    NORMALISED,
    PAIRS,
    PAPERS_CONDITIONS,
    VARIANTS,
    VERDICTS,
    Schema,
    step_name,
)
from mma_bench.tables import from_rows

ROOT = Path(__file__).parents[2]
NAMES = ("bell", "cat", "dog", "hammer")
SPLIT_OF = {"1": "test", "2": "train", "9": "test"}  # by the last character of a clip's id
KEYS = {"variants": "id", "label_sets": "label_set", "pairs": "base_id"}  # what `edit` finds a row by; else clip_id
TABLES: dict[str, tuple[Path, Schema]] = {
    "candidates": (layout.CANDIDATES, CANDIDATES),
    "label_sets": (layout.LABEL_SETS, LABEL_SETS),
    "acquired": (layout.ACQUIRED, ACQUIRED),
    "normalised": (layout.NORMALISED, NORMALISED),
    "verdicts": (layout.VERDICTS, VERDICTS),
    "aligned": (layout.ALIGNED, ALIGNED),
    "pairs": (layout.PAIRS, PAIRS),
    "variants": (layout.VARIANTS, VARIANTS),
}
OK = {"status": "ok", "reason": "", "detail": ""}
STEPS: dict[str, dict[str, list[float]]] = {
    "degraded_audio": {"pink_noise": [0.0, -10.0]},
    "mixed_audio": {"mixture": [6.0]},
    "degraded_video": {"blur": [2.0, 8.0], "darkness": [90.0]},
    "shifted_audio": {"shift": [-1.0, 0.5]},
    "absent_audio": {"white_noise": [], "room_tone": []},
    "absent_video": {"grey": [], "pixel_noise": [], "frozen": []},
}
# What the facts of a step's clip say otherwise.
STEP_FACTS: dict[str, dict[str, Any]] = {
    "white_noise": {"rms_dbfs": -20.0, "audio_peak": 0.4, "base_likeness": 0.001},
    "room_tone": {"rms_dbfs": -50.0, "audio_peak": 0.01, "base_likeness": -0.02},
    "grey": {"luma_max": 128.1, "motion": 0.0, "base_likeness": 0.0},
    "pixel_noise": {"luma_max": 255.0, "motion": 33.0, "base_likeness": 0.001},
    "frozen": {"motion": 0.0, "base_likeness": 0.999},
}


def digest(*parts: object) -> str:
    """A made-up SHA-256, the same for the same parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class World:
    """The project; `write` puts it into the current folder, `check` runs promises of one suite on what is there."""

    def __init__(self) -> None:
        raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        raw["acquire"] |= {"splits": {"test": ["sample_eval"], "train": ["sample_train"]}, "limit": None}
        raw["verify"] |= {"required": False, "reviews": None}
        raw["pair"]["donors"] = {"test": 1, "train": 3}
        raw["conflicts"]["conditions"] = {
            "test": [str(name) for name in (*PAPERS_CONDITIONS, "three_way", *STEPS)],
            "train": ["aligned", "misaligned"],
        }
        raw["conflicts"]["steps"] = STEPS
        self.raw = raw
        self.classes = class_table()
        self.files: dict[str, bytes] = {}
        self.tables: dict[str, pl.DataFrame] = {}
        self._fill()
        self.metrics: dict[str, Any] = {
            **{stage: counts(self.tables[table]) for stage, table in METRICS.items()},
            "verify": {"test": {"in": 4, "ok": 4}, "train": {"in": 4, "ok": 4}},
            "pair": {"test": {"bases": 4, "pairs": 4}, "train": {"bases": 4, "pairs": 12}},
        }
        self.funnel = {
            "sample_eval": {"segments": 9, "cross_tree": 2, "multi_class": 0, "candidates": 7},
            "sample_train": {"segments": 4, "cross_tree": 0, "multi_class": 0, "candidates": 4},
        }

    @property
    def params(self) -> Params:
        """The parameters, checked."""
        return Params.model_validate(self.raw)

    def file(self, path: str) -> dict[str, str]:
        """A file with made-up content, and its columns."""
        self.files[path] = path.encode()
        return {"path": path, "sha256": hashlib.sha256(path.encode()).hexdigest()}

    def facts(self, clip: str, **others: Any) -> dict[str, Any]:
        """Facts of a sound clip."""
        return {
            "duration_s": 10.0,
            "video_duration_s": 10.0,
            "audio_duration_s": 10.0,
            "width": 504,
            "height": 504,
            "fps": 25.0,
            "frames": 250,
            "sample_rate": 44100,
            "channels": 2,
            "audio_peak": 0.5,
            "rms_dbfs": -20.0,
            "luma_max": 235.0,
            "motion": 5.0,
            "video_sha256": digest(clip, "video"),
            "audio_sha256": digest(clip, "audio"),
            "phash": digest(clip, "picture")[:16],
            **others,
        }

    def _fill(self) -> None:
        clips = [f"{name}-{number}" for number in ("1", "2") for name in NAMES]
        tried = [*clips, "cat-9", "dog-9", "bell-9"]  # rejected, refused, lost
        identity = {
            clip: {
                "clip_id": clip,
                "split": SPLIT_OF[clip[-1]],
                "video_id": f"video-{clip}",
                "start_s": 0.0,
                "end_s": 10.0,
                "class_name": clip[:-2].capitalize(),
                "label_ids": ["/m/thing", f"/m/{clip[:-2]}"],
                "source": "photo + sound",
                "licence": f"licence of {clip}",
            }
            for clip in tried
        }
        subset = {"test": "sample_eval", "train": "sample_train"}
        self._put("candidates", [row | {"subset": subset[row["split"]]} for row in identity.values()])
        self._put("label_sets", label_sets())
        refusals = {
            "bell-9": ("unavailable", "gone", "the video was removed"),
            "dog-9": ("refused", "silent", "dog-9 is quieter than -60 dBFS"),
            "cat-9": ("rejected", "audio_unimodal", "score 0.1"),
        }
        failed = {clip: dict(zip(OK, refusal, strict=True)) for clip, refusal in refusals.items()}
        got = [clip for clip in tried if clip != "bell-9"]
        self._put(
            "acquired",
            [
                identity[clip] | (OK | self.file(f"data/acquired/{clip}.mp4") if clip in got else failed[clip])
                for clip in tried
            ],
        )
        normal = {
            clip: identity[clip] | OK | self.file(f"data/normalised/{clip}.mp4") | self.facts(clip)
            for clip in got
            if clip != "dog-9"
        }
        self._put("normalised", [*normal.values(), identity["dog-9"] | failed["dog-9"]])
        self._put("verdicts", [verdict(row) | failed_check(row["clip_id"], failed) for row in normal.values()])
        aligned = {
            clip: normal[clip] | {"judge": "specialist", "human_verified": False, "evidence": ""} for clip in clips
        }
        self._put("aligned", list(aligned.values()))
        pairs = [pair for clip in clips for pair in donors_of(clip, 1 if clip.endswith("1") else 3)]
        self._put("pairs", pairs)
        self._put("variants", self._variants(aligned, pairs))

    def _variants(self, aligned: dict[str, dict[str, Any]], pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows = []
        for clip, base in aligned.items():
            common = base | {
                "base_id": clip,
                "visual_class": base["class_name"],
                "audio_class": base["class_name"],
                "base_video_sha256": base["video_sha256"],
                "source_audio_sha256": base["audio_sha256"],
            }
            for condition in self.raw["conflicts"]["conditions"][base["split"]]:
                if condition in STEPS:
                    pair = next(pair for pair in pairs if pair["base_id"] == clip)
                    rows += [common | row for row in self._stepped(condition, base, pair, aligned)]
                    continue
                made: dict[str, Any] = {"id": f"{clip}.{condition}", "condition": condition}
                if condition == "misaligned":
                    rows += [common | self._misaligned(pair, aligned) for pair in pairs if pair["base_id"] == clip]
                    continue
                if condition == "three_way":
                    pair = next(pair for pair in pairs if pair["base_id"] == clip)
                    file = next(row for row in rows if row["id"] == f"{clip}.misaligned.{pair['donor_id']}")
                    classes = {base["class_name"], pair["audio_class"]}
                    made = self._misaligned(pair, aligned, condition) | {key: file[key] for key in ("path", "sha256")}
                    made["caption"] = next(name.capitalize() for name in NAMES if name.capitalize() not in classes)
                    rows.append(common | made)
                    continue
                if condition == "audio_removed":
                    made |= {"audio_peak": 0.0, "rms_dbfs": -120.0, "audio_sha256": digest("silence")}
                    made |= {"source_audio_sha256": None}
                if condition == "frames_zeroed":
                    made |= {"luma_max": 0.0, "motion": 0.0, "phash": "0" * 16, "video_sha256": digest("black")}
                if condition == "misleading_caption":
                    made["caption"] = "Cat" if clip != "cat-1" else "Dog"
                if condition == "long_context":
                    made |= {"context_seed": 7, "context": irrelevant_text(7, self.raw["conflicts"]["context_words"])}
                if condition in ("audio_removed", "frames_zeroed"):
                    made |= self.file(f"data/variants/{made['id']}.mp4")
                rows.append(common | made)
        return rows

    def _stepped(
        self, condition: str, base: dict[str, Any], pair: dict[str, Any], aligned: dict[str, dict[str, Any]]
    ) -> list[dict[str, Any]]:
        rows = []
        for manipulation, levels in STEPS[condition].items():
            for level in levels or [None]:
                made: dict[str, Any] = {"id": f"{base['clip_id']}.{condition}"}
                if condition == "shifted_audio":
                    made["level_measured"] = level
                elif not condition.startswith("absent"):
                    made = self._misaligned(pair, aligned, condition) | {"level_measured": level}
                name = f"{made['id']}.{step_name(manipulation, level)}"
                changed = "audio" if condition.endswith("audio") else "video"
                made |= {"id": name, "condition": condition, "manipulation": manipulation, "level": level}
                made |= {f"{changed}_sha256": digest(name), **STEP_FACTS.get(manipulation, {})}
                if changed == "audio":
                    made["source_audio_sha256"] = digest(name) if condition == "shifted_audio" else None
                rows.append(made | self.file(f"data/variants/{name}.mp4"))
        return rows

    def _misaligned(
        self, pair: dict[str, Any], aligned: dict[str, dict[str, Any]], condition: str = "misaligned"
    ) -> dict[str, Any]:
        base, donor = aligned[pair["base_id"]], aligned[pair["donor_id"]]
        name = f"{pair['base_id']}.{condition}.{pair['donor_id']}"
        return {
            "id": name,
            "condition": condition,
            "donor_id": pair["donor_id"],
            "audio_class": pair["audio_class"],
            "class_distance": pair["class_distance"],
            "licence": f"video: {base['licence']}; audio: {donor['licence']}",
            "audio_sha256": donor["audio_sha256"],
            "source_audio_sha256": donor["audio_sha256"],
            **self.file(f"data/variants/{name}.mp4"),
        }

    def _put(self, table: str, rows: list[dict[str, Any]]) -> None:
        self.tables[table] = from_rows(rows, TABLES[table][1])

    def edit(self, table: str, key: str, **values: Any) -> None:
        """Overwrite columns of the rows whose key is `key`."""
        rows = self.tables[table].to_dicts()
        found = [row for row in rows if row[KEYS.get(table, "clip_id")] == key]
        assert found, f"{table} has no row {key}"
        for row in found:
            row.update(values)
        self._put(table, rows)

    def drop(self, table: str, key: str) -> None:
        """Remove the rows whose key is `key`."""
        before = self.tables[table].height
        self.tables[table] = self.tables[table].filter(pl.col(KEYS.get(table, "clip_id")) != key)
        assert self.tables[table].height < before, f"{table} has no row {key}"

    def double(self, table: str, key: str, **values: Any) -> None:
        """Add a copy of a row, with other values in some columns."""
        row = self.tables[table].filter(pl.col(KEYS.get(table, "clip_id")) == key).row(0, named=True)
        self._put(table, [*self.tables[table].to_dicts(), row | values])

    def write(self) -> None:
        """Write everything into the current folder."""
        for table, (path, _) in TABLES.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.tables[table].write_parquet(path)
        for name, content in self.files.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(content)
        layout.METRICS.mkdir(exist_ok=True)
        for stage, metric in self.metrics.items():
            layout.metrics(stage).write_text(json.dumps(metric), encoding="utf-8")
        layout.FUNNEL.write_text(json.dumps(self.funnel), encoding="utf-8")
        save_classes(self.classes, layout.CLASSES)
        layout.PARAMS.write_text(json.dumps(self.raw), encoding="utf-8")  # JSON is YAML

    def promise_names(self, table: str) -> list[str]:
        """The names of a suite's promises, in its order."""
        return [promise.name for promise in suite_of(table).promises(self.params)]

    def check(self, table: str, *names: str) -> None:
        """Run the promises of these names (all if none) on what is written.

        Raises:
            GateError: One is broken.
        """
        from mma_bench.validation.evaluate import evaluate
        from mma_bench.validation.gate import refuse_broken
        from mma_bench.validation.inputs import Inputs

        suite = suite_of(table)
        wanted = [promise for promise in suite.promises(self.params) if not names or promise.name in names]
        refuse_broken(table, evaluate(wanted, suite.frames(Inputs(), self.params)))

    def assert_refused(self, table: str, name: str, fault: Callable[["World"], None]) -> None:
        """After the fault, the gate's message names the promise and says who breaks it."""
        fault(self)
        self.write()
        with pytest.raises(GateError) as refusal:
            self.check(table, name)
        assert re.search(rf"  {name}: [1-9][0-9]* of [1-9][0-9]* rows break it: \S", refusal.value.message)


def suite_of(table: str) -> Any:
    """The suite of a table; loads Great Expectations, which takes seconds, so not before a test asks for it."""
    return import_module(f"mma_bench.validation.{table}")


METRICS = {"acquire": "acquired", "normalise": "normalised", "judge": "verdicts", "conflicts": "variants"}


def counts(table: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Split → in, each reason, ok."""
    metric = {}
    for (split,), rows in table.group_by("split"):
        reasons = Counter(reason or status for status, reason in rows.select("status", "reason").iter_rows())
        metric[str(split)] = {"in": rows.height, **reasons}
    return metric


def class_table() -> ClassTable:
    """Thing above four classes, Meow absorbed into Cat, Sound a root of its own whose child was dropped."""
    ids = {name.capitalize(): f"/m/{name}" for name in NAMES}
    nodes = {
        "/m/thing": Node("Thing", (), 1, ("/m/thing",), "ambiguous", "broad", None),
        "/m/meow": Node("Meow", ("/m/cat",), 3, ("/m/cat",), "depth", "below Cat", "Cat"),
        "/m/sound": Node("Sound", (), 1, ("/m/sound",), "actionless", "", None),
        "/m/hum": Node("Hum", ("/m/sound",), 2, ("/m/hum",), "actionless", "", None),
        **{ids[name]: Node(name, ("/m/thing",), 2, (ids[name],), "kept", "", name) for name in ids},
    }
    classes = [
        LabelClass(name, node_id, name, ("/m/thing", node_id), (node_id, "/m/meow") if name == "Cat" else (node_id,))
        for name, node_id in sorted(ids.items())
    ]
    return ClassTable(tuple(classes), nodes)


def label_sets() -> list[dict[str, Any]]:
    """What the label filter decided: two clips of each class (three of Cat, Dog and Bell in test), two dropped."""
    kept = [
        {
            "subset": subset,
            "label_set": f"/m/thing,/m/{name}",
            "segments": segments,
            "leaves": [f"/m/{name}"],
            "class_nodes": [f"/m/{name}"],
            "reason": "",
            "class_name": name.capitalize(),
        }
        for subset in ("sample_eval", "sample_train")
        for name in NAMES
        for segments in [2 if subset == "sample_eval" and name != "hammer" else 1]
    ]
    dropped = {
        "subset": "sample_eval",
        "label_set": "/m/cat,/m/hum",
        "segments": 2,
        "leaves": ["/m/cat", "/m/hum"],
        "class_nodes": ["/m/cat", "/m/hum"],
        "reason": "cross_tree",
        "class_name": None,
    }
    return [*kept, dropped]


def verdict(row: dict[str, Any]) -> dict[str, Any]:
    """A verdict that passes."""
    return {
        **{key: row[key] for key in ("clip_id", "split", "class_name")},
        **OK,
        **{f"{check}_score": 0.9 for check in CHECKS},
        **{f"{check}_pass": True for check in CHECKS},
        "judge": "specialist",
        "judge_revision": digest("judge"),
        "prompt_sha256": digest("prompt", row["class_name"]),
    }


def failed_check(clip: str, failed: dict[str, dict[str, str]]) -> dict[str, Any]:
    """What a rejected clip's verdict says otherwise."""
    return failed[clip] | {"audio_unimodal_score": 0.1, "audio_unimodal_pass": False} if clip in failed else {}


def donors_of(clip: str, count: int) -> list[dict[str, Any]]:
    """The next `count` classes give the donors."""
    at, number = NAMES.index(clip[:-2]), clip[-2:]
    others = [NAMES[(at + step) % len(NAMES)] for step in range(1, count + 1)]
    return [
        {
            "split": SPLIT_OF[clip[-1]],
            "base_id": clip,
            "donor_id": f"{other}{number}",
            "rank": rank,
            "visual_class": clip[:-2].capitalize(),
            "audio_class": other.capitalize(),
            "class_distance": 2,
        }
        for rank, other in enumerate(others)
    ]
