"""Whatever the processor, H.264 has the same bytes: no encoder is left to choose its instructions itself."""

import platform
import re
from pathlib import Path

import pytest

from mma_bench.media import x264

ROOT = Path(__file__).parents[3]
NOT_KEPT = {"builders/judges/omni_server.py", "mma_bench/models/check.py", "mma_bench/doctor.py"}


def test_the_instructions_are_named_where_x264_knows_their_name() -> None:
    named = x264.x264_params(qp=1)
    assert named == ("qp=1:threads=1:asm=avx2" if platform.machine() == "x86_64" else "qp=1:threads=1")


def test_nothing_overrides_them() -> None:
    assert x264.x264_params(threads=4).startswith("threads=1")


@pytest.mark.parametrize("room", ["builders", "mma_bench", "training", "evaluation"])
def test_every_clip_that_is_kept_is_encoded_with_them(room: str) -> None:
    users = {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for path in (ROOT / room).rglob("*.py")
        if "libx264" in path.read_text()
    }
    found = {name for name, text in users.items() if not re.search(r'"x264-params": x264_params\(', text)}
    assert found == NOT_KEPT & set(users)
