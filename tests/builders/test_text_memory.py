"""The long texts of the variants are read as they are needed: memory does not grow by them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mma_bench import layout
from mma_bench.schema import VARIANTS
from mma_bench.tables import read_table, write_table

CHARACTERS = 200_000  # of a text; three times as many as 10,000 words have
FEW, MANY = 400, 2_400  # far apart: the allocator alone may take 90 MB more in one run than in another

RUN = """
import importlib, json, re, sys
from pathlib import Path
from mma_bench.config import load_params
stage = importlib.import_module(f"mma_bench.builders.{sys.argv[1]}")
stage.main(load_params(Path(sys.argv[2])).model_copy(update={"workers": 1}))  # so that this process does all
# Not `ru_maxrss`, which a process takes over from the one that started it.
print(json.dumps(1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])))
"""


def lengthen(texts: int) -> None:
    """Give the build in the current folder so many long contexts, all different."""
    table = read_table(layout.VARIANTS, VARIANTS)
    (row,) = table.filter((pl.col("condition") == "long_context") & (pl.col("status") == "ok"))[:1].to_dicts()
    more = pl.DataFrame([row], schema=VARIANTS).select(pl.all().repeat_by(texts).explode(empty_as_null=True))
    number = pl.int_range(texts).cast(pl.String()).str.zfill(6)
    clip = pl.format("more-{}", number)
    noise = pl.int_range(texts).hash(1).cast(pl.String())
    text = pl.concat_str(number, pl.lit(" "), noise.repeat_by(CHARACTERS // 20).list.join(" "))
    more = more.with_columns(id=pl.format("{}.long_context", clip), base_id=clip, context=text)
    table = pl.concat([table, more.select(list(VARIANTS))])
    write_table(table, layout.VARIANTS, VARIANTS, ["split", "condition", "id"])


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["package", "report"])
def test_memory_does_not_grow_by_the_long_texts(
    tmp_path: Path, make_build: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    peaks = {}
    for texts in (FEW, MANY):
        folder = tmp_path / str(texts)
        folder.mkdir()
        make_build(folder)
        monkeypatch.chdir(folder)
        lengthen(texts)
        params = Path(__file__).parents[2] / "params.yaml"
        environment = {**os.environ, "POLARS_MAX_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-c", RUN, stage, str(params)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        peaks[texts] = json.loads(done.stdout.splitlines()[-1])
    assert peaks[MANY] - peaks[FEW] < 0.4 * (MANY - FEW) * CHARACTERS
