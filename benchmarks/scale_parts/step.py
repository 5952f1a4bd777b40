"""One step of the build in the current folder, with its work per clip replaced."""

import hashlib
import importlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.scale_parts.cost import cpu_s


def made_up(stage: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """In the place of the stage's function per clip; runs in its workers."""
    from mma_bench import layout
    from mma_bench.files import atomic_path, clip_path
    from mma_bench.schema import CHECKS

    if stage == "judge":
        answers = {f"{check}_pass": True for check in CHECKS} | {f"{check}_answer": None for check in CHECKS}
        return answers | {f"{check}_score": 0.9 for check in CHECKS}
    clip_id = payload["id"] if stage == "conflicts" else payload["clip_id"]
    folders = {"acquire": layout.ACQUIRED_CLIPS, "normalise": layout.NORMALISED_CLIPS}
    folder = Path(payload["folder"]) if stage == "conflicts" else folders[stage] / payload["split"]
    template = _template()
    base = payload["base"]["clip_id"] if stage == "conflicts" else clip_id
    sound = payload.get("donor", {}).get("clip_id", base) if stage == "conflicts" else clip_id
    condition = payload.get("condition", "aligned")
    picture = clip_id if condition == "frames_zeroed" else base
    sound = clip_id if condition == "audio_removed" else sound
    hashes = {"video_sha256": _digest(picture, "video"), "audio_sha256": _digest(sound, "audio")}
    tail = (hashes["video_sha256"] + hashes["audio_sha256"]).encode()
    content = template + (8 + len(tail)).to_bytes(4, "big") + b"free" + tail
    path = clip_path(folder, clip_id)
    with atomic_path(path) as staged:
        staged.write_bytes(content)
    result = {"path": path.as_posix(), "sha256": hashlib.sha256(content).hexdigest()}
    if stage == "acquire":
        return result | {"bytes": len(content), "source": "folder", "licence": "made up", "origin": "", "note": ""}
    silent, black = condition == "audio_removed", condition == "frames_zeroed"
    result |= {"duration_s": 10.0, "video_duration_s": 10.0, "audio_duration_s": 10.0, "width": 504, "height": 504}
    result |= {"fps": 25.0, "frames": 250, "sample_rate": 44_100, "channels": 2, **hashes}
    result |= {"audio_peak": 0.0 if silent else 0.5, "rms_dbfs": -120.0 if silent else -20.0}
    result |= {"luma_max": 0.0 if black else 235.0, "motion": 0.0 if black else 5.0}
    result["phash"] = _digest(picture, "look")[:16]
    if stage == "conflicts":
        result["base_video_sha256"] = _digest(base, "video")
        result["source_audio_sha256"] = None if silent else hashes["audio_sha256"]
    return result


@cache
def _template() -> bytes:
    """The bytes that all clips begin with; read once, as listing the folder takes longer the more clips there are."""
    return next(Path("mirror").iterdir()).read_bytes()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _told(path: Path, kind: str, *_: object) -> str:
    """In the place of `packet_sha256`: what the tail of a made-up clip says."""
    tail = path.read_bytes()[-128:].decode()
    return tail[:64] if kind == "video" else tail[64:]


class MadeUpJudge:
    """Knows every class."""

    name, revision = "specialist", "0" * 64

    def knows(self, *_: object) -> bool:
        """Whether it knows the class."""
        return True


def step(name: str, *, at_once: bool) -> None:
    """Run one step in the current folder and write its CPU and wall seconds to `measured.json`.

    Args:
        name: See STEPS.
        at_once: Call the work per clip in this process, not in workers.
    """
    from mma_bench import executor
    from mma_bench.config import load_params
    from mma_bench.errors import DataError
    from mma_bench.executor.task import Task
    from mma_bench.files import synced_later
    from mma_bench.media import packets

    params = load_params(Path("params.yaml"))
    stage, _, more = name.partition(" ")
    if stage == "validate":
        from mma_bench.validation import gate

        importlib.import_module(f"mma_bench.validation.{more}")
        packets.packet_sha256 = _told  # type: ignore[assignment]
        work = partial(gate.main, more, params.model_copy(update={"workers": 1}))  # others would not be told
    elif stage == "sft":
        from mma_bench.training import sft

        work = partial(sft.main, params.sft)
    else:
        module = importlib.import_module(f"mma_bench.builders.{stage}")
        if more == "missing":
            params = params.model_copy(update={"acquire": params.acquire.model_copy(update={"folder": "empty"})})
        elif hasattr(module, "run"):

            def run(tasks: Sequence[Task], _: object, *args: Any, **named: Any) -> Any:
                due = [replace(task, at_once=True) for task in tasks] if at_once else tasks
                with synced_later():  # for those that are called here
                    return executor.run(due, partial(made_up, stage), *args, **named)

            module.run = run  # type: ignore[attr-defined]
        if stage == "judge":
            module.open_judge = lambda _: MadeUpJudge()  # type: ignore[attr-defined]
        work = partial(module.main, params)
    began, spent = time.perf_counter(), cpu_s()
    try:
        work()
    except DataError:
        if more != "missing":
            raise
    measured = {"cpu_s": cpu_s() - spent, "wall_s": time.perf_counter() - began}
    Path("measured.json").write_text(json.dumps(measured))
