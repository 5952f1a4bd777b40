"""Wrong answers together with their clips, playable in the page.

In: a run's predictions and the dataset folder they were made on. Out: plain records for the template, with the clips as
`data:` URIs, few and small enough to email the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mma_bench.errors import ConfigError
from mma_bench.evaluation.cells import is_right
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.predictions import Prediction
from mma_bench.page import data_uri
from mma_bench.schema import Condition

MAX_CLIPS: Final = 6
MAX_BYTES: Final = 8_000_000  # total over all clips; base64 adds a third
_RAW: Final = 300  # maximum characters of an answer


@dataclass(frozen=True)
class Mistake:
    """A clip with its wrong answers.

    Attributes:
        uri: The MP4 file as a `data:` URI.
        answers: question, protocol, expected, answer, raw and whether the answer is what the other modality shows.
    """

    id: str
    visual_class: str
    audio_class: str
    uri: str
    answers: tuple[dict[str, Any], ...]


def choose(predictions: Sequence[Prediction], condition: str) -> list[list[Prediction]]:
    """The wrong answers by clip, clips where the answer followed the other modality first, then by distinct classes,
    then by id; parsed answers only, one seed of each question.
    """
    by_clip: dict[str, dict[tuple[str, str], Prediction]] = {}
    for row in sorted(predictions, key=lambda row: (row.id, row.protocol, row.question != "visual", row.seed)):
        if row.condition == condition and row.status == "ok" and not is_right(row):
            by_clip.setdefault(row.id, {}).setdefault((row.protocol, row.question), row)
    wrong = [list(answers.values()) for answers in by_clip.values()]
    wrong.sort(key=lambda rows: (not any(_captured(row) for row in rows), rows[0].id))
    seen: set[str] = set()
    first: list[list[Prediction]] = []
    rest: list[list[Prediction]] = []
    for rows in wrong:
        (rest if rows[0].visual_class in seen else first).append(rows)
        seen.add(rows[0].visual_class)
    return first + rest


def mistakes(predictions: Sequence[Prediction], dataset: Path, split: str) -> list[Mistake]:
    """Up to MAX_CLIPS wrongly answered clips of the misaligned condition, at most MAX_BYTES in total.

    Raises:
        ConfigError: The folder's data differ from those the predictions were made on.
    """
    condition = str(Condition.MISALIGNED)
    chosen = choose(predictions, condition)
    if not chosen:
        return []
    benchmark = Benchmark(str(dataset), split=split)
    if benchmark.fingerprint(condition) != chosen[0][0].dataset_fingerprint:
        raise ConfigError(
            f"{dataset} is not the dataset the answers were made on (condition {condition} differs)",
            hint="pass the dataset of the run, or drop --dataset",
        )
    wanted = {rows[0].id for rows in chosen[: 4 * MAX_CLIPS]}  # some clips may be too large
    clips = {row["id"]: row["video"]["bytes"] for row in benchmark.rows(condition) if row["id"] in wanted}
    shown: list[Mistake] = []
    left = MAX_BYTES
    for rows in chosen:
        clip = clips.get(rows[0].id)
        if clip is None or len(clip) > left or len(shown) == MAX_CLIPS:
            continue
        left -= len(clip)
        shown.append(
            Mistake(
                id=rows[0].id,
                visual_class=rows[0].visual_class,
                audio_class=rows[0].audio_class,
                uri=data_uri(clip, "video/mp4"),
                answers=tuple(_answer(row) for row in rows),
            )
        )
    return shown


def _captured(row: Prediction) -> bool:
    return row.other is not None and row.answer == row.other


def _answer(row: Prediction) -> dict[str, Any]:
    return {
        "question": row.question,
        "protocol": row.protocol,
        "expected": row.expected,
        "answer": row.answer,
        "raw": None if row.raw is None else row.raw[:_RAW],
        "captured": _captured(row),
    }
