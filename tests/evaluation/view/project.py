"""A small dataset with two runs of known answers."""

import hashlib
from pathlib import Path
from typing import Any

from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.protocols import Protocol, text_of
from tests.evaluation.packaged import BASES, packaged_row, write
from tests.evaluation.runs import prediction, write_run

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


def rows_of(condition: str) -> list[dict[str, Any]]:
    rows = [packaged_row(base, condition) for base in BASES]
    if condition == "misaligned":
        rows = [
            row | {"audio_class": "Bird", "audio_answer": "Bird", "audio_abstention_answer": "Bird", "donor_id": "d"}
            for row in rows
        ]
    return rows


def make(folder: Path) -> Path:
    """`mma-bench/` with three clips under two conditions; `one/` is right about sight only, `two/` about all."""
    conditions = {name: rows_of(name) for name in ("aligned", "misaligned")}
    write(folder / "mma-bench", **conditions)
    benchmark = Benchmark(str(folder / "mma-bench"))
    for run in ("one", "two"):
        answers = [
            _answer(run, row, condition, question, benchmark.fingerprint(condition))
            for condition, rows in conditions.items()
            for row in rows
            for question in ("visual", "audio")
        ]
        write_run(folder / run, answers, model=run)
    return folder


def _answer(run: str, row: dict[str, Any], condition: str, question: str, fingerprint: str) -> Prediction:
    text = text_of(Protocol.FORCED_CHOICE, row, question)  # type: ignore[arg-type]
    return prediction(
        row["base_id"],
        condition,
        question,
        "Cat" if run == "one" or question == "visual" or condition == "aligned" else "Bird",
        seen=row["visual_class"],
        heard=row["audio_class"],
        model=run,
        raw=HOSTILE if run == "one" else "It is a Cat.",
        dataset_fingerprint=fingerprint,
        prompt_sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
