"""Wrong answers together with their clips, playable in the page.

In: a run's predictions and the dataset folder they were made on. Out: plain records for the template, with previews of
the clips (480 px, 5 s) as `data:` URIs. A page holds at most PER_PAGE clips and MAX_BYTES of media, whatever the clips
weigh: the report has one, with a clip of every class first, and `write_pages` makes as many as show all wrong answers.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mma_bench.errors import ConfigError, InvalidInput
from mma_bench.evaluation.cells import is_right
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.predictions import Prediction
from mma_bench.files import write_text
from mma_bench.media.preview import preview
from mma_bench.page import data_uri, render
from mma_bench.progress import Progress
from mma_bench.schema import Condition

PER_PAGE: Final = 64
MAX_BYTES: Final = 8_000_000  # of all clips of a page; base64 adds a third
MOST_BYTES: Final = 250_000  # of one clip
FOLDER: Final = "mistakes"
_CONDITION: Final = str(Condition.MISALIGNED)
_RAW: Final = 300  # maximum characters of an answer


@dataclass(frozen=True)
class Mistake:
    """A clip with its wrong answers.

    Attributes:
        uri: The preview as a `data:` URI; None if the clip cannot be shown.
        answers: question, protocol, expected, answer, raw and whether the answer is what the other modality shows.
    """

    id: str
    visual_class: str
    audio_class: str
    uri: str | None
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


@dataclass(frozen=True)
class Shown:
    """The wrong answers of one page.

    Attributes:
        clips: Of this page.
        total: Clips with wrong answers, on all pages.
    """

    clips: list[Mistake]
    total: int


def mistakes(predictions: Sequence[Prediction], dataset: Path, split: str) -> Shown:
    """The first page of wrongly answered clips of the misaligned condition.

    Raises:
        ConfigError: The folder's data differ from those the predictions were made on.
    """
    wrong = choose(predictions, _CONDITION)
    if not wrong:
        return Shown([], 0)
    first = wrong[:PER_PAGE]
    return Shown(_with_clips(first, _previews(first, _opened(wrong, dataset, split))), len(wrong))


def write_pages(predictions: Sequence[Prediction], dataset: Path, split: str, folder: Path) -> list[Path]:
    """All wrongly answered clips as numbered pages in `folder`; pages of an earlier run are removed.

    Raises:
        ConfigError: As `mistakes`.
    """
    wrong = choose(predictions, _CONDITION)
    for old in folder.glob("*.html"):
        old.unlink()
    if not wrong:
        return []
    # In one pass, since a page's clips are anywhere in the dataset; a thousand previews take some 150 MB.
    uris = _previews(wrong, _opened(wrong, dataset, split))
    parts = [wrong[start : start + PER_PAGE] for start in range(0, len(wrong), PER_PAGE)]
    paths = []
    for number, part in enumerate(parts, start=1):
        first = 1 + (number - 1) * PER_PAGE
        title = f"Wrong answers {first} to {first + len(part) - 1} of {len(wrong)}"
        shown = Shown(_with_clips(part, uris), len(wrong))
        html = render("mistakes.html", "mma_bench.evaluation", title=title, mistakes=shown, pages=len(parts))
        paths.append(folder / f"{number}.html")
        write_text(paths[-1], html)
    return paths


def _opened(wrong: Sequence[Sequence[Prediction]], dataset: Path, split: str) -> Benchmark:
    benchmark = Benchmark(str(dataset), split=split)
    if benchmark.fingerprint(_CONDITION) != wrong[0][0].dataset_fingerprint:
        raise ConfigError(
            f"{dataset} is not the dataset the answers were made on (condition {_CONDITION} differs)",
            hint="pass the dataset of the run, or drop --dataset",
        )
    return benchmark


def _with_clips(wrong: Sequence[Sequence[Prediction]], uris: Mapping[str, str | None]) -> list[Mistake]:
    return [
        Mistake(
            id=rows[0].id,
            visual_class=rows[0].visual_class,
            audio_class=rows[0].audio_class,
            uri=uris.get(rows[0].id),
            answers=tuple(_answer(row) for row in rows),
        )
        for rows in wrong
    ]


def _previews(wrong: Sequence[Sequence[Prediction]], benchmark: Benchmark) -> dict[str, str | None]:
    """The clips' previews as URIs by id, each a page's share."""
    wanted = {rows[0].id for rows in wrong}
    share = min(MOST_BYTES, MAX_BYTES // min(PER_PAGE, len(wanted)))
    uris: dict[str, str | None] = {}
    with Progress("wrong answers", len(wanted)) as progress:
        for row in benchmark.rows(_CONDITION):
            if row["id"] in wanted:
                uris[row["id"]] = _preview(row["video"]["bytes"], share)
                progress.advance()
    return uris


def _preview(video: bytes, max_bytes: int) -> str | None:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        Path(file.name).write_bytes(video)
        try:
            made = preview(Path(file.name), max_bytes)
        except InvalidInput:  # the page says that it cannot be shown
            made = None
    return None if made is None else data_uri(made, "video/mp4")


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
