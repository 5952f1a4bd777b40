"""Clips as temporary files, the form in which harnesses pass video to a model; deleted when the process ends."""

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mma_bench.evaluation.conditions import hears
from mma_bench.files import atomic_path
from mma_bench.models.clip_bytes import mp4_bytes
from mma_bench.models.contracts import ClipTask


def clip_file(row: Mapping[str, Any], video: bytes) -> Path:
    """The row's clip as an MP4 file, under `audio_dropped` without its audio track.

    Without the track, a wrapper that checks the file for audio gives the model no audio tokens. Rows with the same
    bytes share a file; thread-safe.

    Args:
        row: A row of the dataset, as asked (`conditions.as_asked`).
        video: The bytes of its clip.

    Raises:
        InvalidInput: A clip whose track is dropped cannot be read; the message names the clip.
    """
    heard = hears(row["condition"])
    task = ClipTask(row["id"], video, row["condition"], row["visual_class"], row["audio_class"], (), hears=heard)
    kind = "seen and heard" if heard else "seen"
    path = _folder() / f"{hashlib.sha256(video + kind.encode()).hexdigest()}.mp4"
    if not path.exists():
        content = mp4_bytes(task, with_sound=True)
        with atomic_path(path) as beside:
            beside.write_bytes(content)
    return path


@cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="mma-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
