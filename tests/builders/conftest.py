"""A small finished build, for the stages that come after all clips are made: package, card, report."""

import hashlib
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mma_bench import layout
from mma_bench.classes import ClassTable, LabelClass, Node, save_classes
from mma_bench.files import write_json
from mma_bench.schema import (
    ACQUIRED,
    ALIGNED,
    CANDIDATES,
    CHECKS,
    NORMALISED,
    PAIRS,
    PAPERS_CONDITIONS,
    VARIANTS,
    VERDICTS,
    Condition,
)
from mma_bench.tables import from_rows, write_table

CLASSES = ("Bird", "Cat", "Cattle", "Horse")
# What the stages before `package` count; the numbers of one stage go into the next.
STAGES = {
    "acquire": {"test": {"in": 12, "not_in_sample": 1, "ok": 11}, "train": {"in": 4, "ok": 4}},
    "normalise": {"test": {"in": 11, "too_short": 1, "ok": 10}, "train": {"in": 4, "ok": 4}},
    "judge": {"test": {"in": 10, "audio_unimodal": 2, "ok": 8}, "train": {"in": 4, "ok": 4}},
    "verify": {"test": {"in": 8, "ok": 8}, "train": {"in": 4, "ok": 4}},
    "conflicts": {"test": {"in": 48, "decode_failed": 1, "ok": 47}, "train": {"in": 8, "ok": 8}},
}


def class_table() -> ClassTable:
    """Animal above the four classes, a dropped node with a hostile name, and Meow absorbed into Cat."""
    ids = {name: f"/m/{name.lower()}" for name in CLASSES}
    nodes = {
        "/m/animal": Node("Animal", (), 1, ("/m/animal",), "ambiguous", "broad", None),
        "/m/hiss": Node("<b>Hiss</b>", ("/m/animal",), 2, ("/m/hiss",), "multi_parent", "2 paths", None),
        "/m/meow": Node("Meow", ("/m/cat",), 3, ("/m/cat",), "depth", "below Cat", "Cat"),
    }
    nodes |= {ids[name]: Node(name, ("/m/animal",), 2, (ids[name],), "kept", "", name) for name in CLASSES}
    members = {name: (ids[name], "/m/meow") if name == "Cat" else (ids[name],) for name in CLASSES}
    classes = (LabelClass(name, ids[name], name, ("/m/animal", ids[name]), members[name]) for name in CLASSES)
    return ClassTable(tuple(classes), nodes)


@cache
def tiny_clip(shade: int, pitch: int) -> bytes:
    """One second of a moving stripe on grey of this shade, and of a tone (0: silence), as MP4."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=5, options={"threads": "1"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=16000, layout="mono")
        for index in range(5):
            picture = np.full((48, 64, 3), shade, np.uint8)
            if shade:
                picture[:, 10 * index : 10 * index + 8] = 255
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        wave = (0.5 * np.sin(2 * np.pi * pitch * np.arange(16000) / 16000)).astype(np.float32)
        for start in range(0, 16000, 1000):
            frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1000], "fltp", "mono")
            frame.sample_rate, frame.pts = 16000, start
            container.mux(audio.encode(frame))
        for track in (video, audio):
            container.mux(track.encode(None))
    return stream.getvalue()


def facts(name: str) -> dict[str, Any]:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return {
        **{"duration_s": 1.0, "video_duration_s": 1.0, "audio_duration_s": 1.0, "width": 64, "height": 48},
        **{"fps": 5.0, "frames": 5, "sample_rate": 16000, "channels": 1, "audio_peak": 0.5, "rms_dbfs": -9.0},
        **{"luma_max": 255.0, "motion": 9.0, "phash": digest[:16]},
        **{"video_sha256": digest, "audio_sha256": digest[::-1]},
    }


def small_build(root: Path) -> None:
    """Write what the stages before `package` leave below `root`: 2 + 1 clips of each class, and one refused variant."""
    rows: dict[str, list[dict[str, Any]]] = {"aligned": [], "pairs": [], "variants": [], "verdicts": []}

    def write(folder: Path, name: str, clip: bytes) -> dict[str, Any]:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{name}.mp4").write_bytes(clip)
        return {"path": f"{folder / name}.mp4", "sha256": hashlib.sha256(clip).hexdigest()}

    for split, copies in (("test", 2), ("train", 1)):
        for number, name in enumerate(CLASSES):
            other = (number + 1) % len(CLASSES)
            for copy in range(copies):
                base, donor = (f"{CLASSES[n].lower()}-{split}{copy}" for n in (number, other))
                shade, pitch = 60 + 20 * number + copy, 300 + 100 * number
                described = {
                    **{"clip_id": base, "split": split, "video_id": base, "start_s": 30.0, "end_s": 31.0},
                    **{"class_name": name, "label_ids": [f"/m/{name.lower()}"], "judge": "specialist"},
                    **{"source": "sample (photo + sound)", "licence": ("GPL-2", "CC0-1.0")[copy]},
                    **{"human_verified": False, "status": "ok", "reason": "", "detail": ""},
                    **facts(base),
                }
                clip = write(layout.NORMALISED_CLIPS, base, tiny_clip(shade, pitch))
                rows["aligned"].append({**described, **clip})
                scores = {f"{check}_score": 0.5 + 0.1 * i for i, check in enumerate(CHECKS)}
                rows["verdicts"].append({**described, **scores, **{f"{check}_pass": True for check in CHECKS}})
                pair = {"visual_class": name, "audio_class": CLASSES[other], "class_distance": 2}
                rows["pairs"].append({"split": split, "base_id": base, "donor_id": donor, "rank": 0, **pair})
                row = {**described, "base_id": base, "visual_class": name, "audio_class": name}
                for condition in PAPERS_CONDITIONS if split == "test" else (Condition.ALIGNED, Condition.MISALIGNED):
                    made = {**row, **clip, "id": f"{base}.{condition}", "condition": condition}
                    if condition == Condition.MISALIGNED:
                        swapped = write(layout.VARIANT_CLIPS, made["id"], tiny_clip(shade, pitch + 100))
                        made |= {**pair, **swapped, "id": f"{made['id']}.{donor}", "donor_id": donor}
                    elif condition == Condition.AUDIO_REMOVED:
                        made |= write(layout.VARIANT_CLIPS, made["id"], tiny_clip(shade, 0))
                    elif condition == Condition.FRAMES_ZEROED:
                        made |= write(layout.VARIANT_CLIPS, made["id"], tiny_clip(0, pitch))
                    elif condition == Condition.MISLEADING_CAPTION:
                        made["caption"] = CLASSES[other]
                    elif condition == Condition.LONG_CONTEXT:
                        made |= {"context_seed": 7, "context": "far ease"}
                    rows["variants"].append(made)
    broken = next(row for row in rows["variants"] if row["id"] == "horse-test1.frames_zeroed")
    facts_and_file = dict.fromkeys((*facts(""), "path", "sha256"))
    broken |= {**facts_and_file, "status": "refused", "reason": "decode_failed", "detail": "no frame"}

    write_table(from_rows(rows["aligned"], ALIGNED), root / layout.ALIGNED, ALIGNED, ["clip_id"])
    files = [row | {"sha256": f"file of {row['clip_id']}"} for row in rows["aligned"]]
    write_table(from_rows(files, ACQUIRED), root / layout.ACQUIRED, ACQUIRED, ["clip_id"])
    write_table(from_rows(rows["aligned"], NORMALISED), root / layout.NORMALISED, NORMALISED, ["clip_id"])
    write_table(from_rows(rows["verdicts"], VERDICTS), root / layout.VERDICTS, VERDICTS, ["clip_id"])
    candidates = [{**row, "subset": "eval"} for row in rows["aligned"]]
    write_table(from_rows(candidates, CANDIDATES), root / layout.CANDIDATES, CANDIDATES, ["clip_id"])
    write_table(from_rows(rows["pairs"], PAIRS), root / layout.PAIRS, PAIRS, ["split", "base_id", "rank"])
    write_table(from_rows(rows["variants"], VARIANTS), root / layout.VARIANTS, VARIANTS, ["id"])
    save_classes(class_table(), root / layout.CLASSES)
    write_json(root / layout.FUNNEL, {"eval": {"segments": 20371, "no_class": 16853, "candidates": 3518}})
    (root / "sample/licences").mkdir(parents=True)
    (root / "sample/licences/GPL-2.txt").write_text("GNU GENERAL PUBLIC LICENSE\n")
    for stage, counts in STAGES.items():
        write_json(root / layout.metrics(stage), counts)


@pytest.fixture(scope="session")
def make_build() -> Callable[[Path], None]:
    """Writes a small build into a folder."""
    return small_build


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small build in a folder of its own, which is the current one."""
    small_build(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
