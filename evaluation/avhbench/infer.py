"""AVHBench, asked: annotations, videos and an engine in, `avhbench_predictions.jsonl` out, a fsynced line a question.

Killed anywhere and started again it repeats no finished question. Failed questions, those whose video was missing and
those whose video has changed are tried again.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation.avhbench.annotations import Entry, Task, yes_or_no
from mma_bench.executor.ledger import Ledger
from mma_bench.files import clip_path, write_json
from mma_bench.models.ahead import ahead
from mma_bench.models.contracts import Answer, ClipTask, Engine, PreparesAhead, Stopped
from mma_bench.progress import Progress
from mma_bench.schema import Condition
from mma_bench.tables import read_json

PREDICTIONS: Final = "avhbench_predictions.jsonl"
Status: TypeAlias = Literal["ok", "unparseable", "failed", "missing"]
Asked: TypeAlias = tuple[list[Entry], str, Any]  # questions, SHA-256 of the video, what the engine takes


@dataclass(frozen=True)
class AvhPrediction:
    """One answer with everything that identifies and scores it.

    Attributes:
        key: `<video id>/<entry key>`: unique in a run.
        source: The video that the clip is made from; answers about one source are not independent.
        status: `missing` if the video could not be read and so nothing was asked.
        answer: Yes, No, or the caption without blanks around it; None unless `status` is ok.
        raw: The answer as the model gave it.
        error: Why there is no answer; None for `ok` and `unparseable`.
        video_sha256: Of the video's bytes; None for `missing`.
    """

    key: str
    video_id: str
    source: str
    task: str
    text: str
    label: str
    status: Status
    answer: str | None
    raw: str | None
    error: str | None
    usage: dict[str, Any]
    video_sha256: str | None
    model: str
    model_revision: str
    adapter: str | None
    adapter_revision: str | None


def ask(
    engine: Engine,
    entries: Sequence[Entry],
    videos: Path,
    out: Path,
    *,
    annotations: str,
    settings: dict[str, Any],
    batch: int = 1,
) -> Path:
    """Ask everything that `out/avhbench_predictions.jsonl` does not answer yet; return its path.

    Args:
        engine: The model under test.
        entries: The questions.
        videos: The folder with `<video_id>.mp4`.
        out: The run's folder.
        annotations: Fingerprint of the annotations.
        settings: The engine's, for `avhbench_run.json`.
        batch: Clips that go to the engine at once; no answer depends on it.

    Raises:
        Stopped: The engine cannot go on; what it has answered is kept.
        ConfigError: `out` holds another run; names what differs.
        DataError: None of the videos is there.
    """
    by_video: dict[str, list[Entry]] = {}
    for entry in entries:
        by_video.setdefault(entry.video_id, []).append(entry)
    if not any(clip_path(videos, video_id).is_file() for video_id in by_video):
        raise DataError(
            f"{videos} holds none of the {len(by_video)} videos", hint="name the folder with <video_id>.mp4"
        )
    model = {
        "model": engine.name,
        "model_revision": engine.revision,
        "adapter": engine.adapter,
        "adapter_revision": engine.adapter_revision,
    }
    _claim(out / "avhbench_run.json", {**model, "annotations_sha256": annotations, "settings": settings})
    path = out / PREDICTIONS
    with Ledger(path) as ledger, Progress(f"{engine.name}, AVHBench", len(by_video)) as progress:
        writer = _Writer(ledger, model)

        def prepared(clips: list[Asked]) -> list[Asked]:
            if not isinstance(engine, PreparesAhead):
                return clips
            return [(asked, sha256, engine.prepare(task)) for asked, sha256, task in clips]

        due = _due(by_video, videos, writer, progress)
        batches = iter(lambda: list(islice(due, batch)), [])
        for clips in ahead(prepared, batches, depth=1):
            try:
                answers = engine.answer([task for _, _, task in clips])
            except Stopped as stop:
                writer.keep(clips, stop.answers)
                raise
            writer.keep(clips, answers)
            for _ in clips:
                progress.advance()
    return path


def _claim(path: Path, run: dict[str, Any]) -> None:
    """Write down what is run, or see that what is written there is the same run."""
    run = json.loads(json.dumps(run))  # as it will be read: tuples are lists
    if not path.exists():
        write_json(path, run)
        return
    there = read_json(path)
    differing = [key for key in run if there.get(key) != run[key]]
    if differing:
        key = differing[0]
        raise ConfigError(
            f"{path.parent} holds another run: {key} is {there.get(key)!r} there and {run[key]!r} now",
            hint="give this run an --out of its own",
        )


def _due(
    by_video: dict[str, list[Entry]], videos: Path, writer: "_Writer", progress: Progress
) -> Iterator[tuple[list[Entry], str, ClipTask]]:
    """Clips with unanswered questions; a video that cannot be read is written down as missing."""
    for video_id, entries in by_video.items():
        path = clip_path(videos, video_id)
        try:
            video = path.read_bytes()
        except OSError as error:
            writer.missing(entries, f"{path}: {error.strerror}")
            progress.advance()
            continue
        sha256 = hashlib.sha256(video).hexdigest()
        asked = [entry for entry in entries if writer.lacks(entry, sha256)]
        if not asked:
            progress.advance()
            continue
        prompts = tuple(entry.prompt() for entry in asked)
        # Swapped clips are asked as they are; both tracks are there, which is all that the condition tells an engine.
        yield asked, sha256, ClipTask(video_id, video, str(Condition.ALIGNED), "", "", prompts)


class _Writer:
    """Turns answers into predictions and appends them."""

    def __init__(self, ledger: Ledger, model: dict[str, Any]) -> None:
        self._ledger, self._model = ledger, model

    def lacks(self, entry: Entry, sha256: str) -> bool:
        latest = self._ledger.latest(_key(entry))
        return latest is None or latest["status"] == "failed" or latest["video_sha256"] != sha256

    def missing(self, entries: Sequence[Entry], error: str) -> None:
        """Write down once that there was nothing to ask about; an answer that there is stays."""
        for entry in entries:
            latest = self._ledger.latest(_key(entry))
            if latest is None or latest["status"] == "failed":
                self._append(entry, "missing", error=error)

    def keep(self, clips: Sequence[Asked], answers: Sequence[Sequence[Answer]]) -> None:
        for (entries, sha256, _), given in zip(clips, answers, strict=True):
            asked = {entry.key: entry for entry in entries}
            for answer in given:
                self._read(asked[answer.key], answer, sha256)

    def _read(self, entry: Entry, answer: Answer, sha256: str) -> None:
        error = answer.error
        if error is None and answer.text is None:
            error = "the engine gave neither an answer nor an error"
        if error is not None or answer.text is None:
            self._append(entry, "failed", error=error, usage=answer.usage, video_sha256=sha256)
            return
        read = answer.text.strip() or None if entry.task is Task.CAPTIONING else yes_or_no(answer.text)
        status: Status = "unparseable" if read is None else "ok"
        self._append(entry, status, answer=read, raw=answer.text, usage=answer.usage, video_sha256=sha256)

    def _append(
        self,
        entry: Entry,
        status: Status,
        *,
        answer: str | None = None,
        raw: str | None = None,
        error: str | None = None,
        usage: dict[str, Any] | None = None,
        video_sha256: str | None = None,
    ) -> None:
        prediction = AvhPrediction(
            key=_key(entry),
            video_id=entry.video_id,
            source=entry.source,
            task=str(entry.task),
            text=entry.text,
            label=entry.label,
            status=status,
            answer=answer,
            raw=raw,
            error=error,
            usage=usage or {},
            video_sha256=video_sha256,
            **self._model,
        )
        self._ledger.append(asdict(prediction))


def _key(entry: Entry) -> str:
    return f"{entry.video_id}/{entry.key}"


def read_avh_predictions(path: Path) -> list[AvhPrediction]:
    """Read avhbench_predictions.jsonl, by key; of several attempts at one question the last counts.

    Raises:
        DataError: No such file, no prediction in it, or a line that is none (named).
    """
    latest: dict[str, AvhPrediction] = {}
    if not path.is_file():
        raise DataError(f"{path} does not exist", hint="run `mma-bench avhbench` first")
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                break  # cut by a kill; the next run makes it again
            try:
                prediction = AvhPrediction(**json.loads(line))
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"{path}, line {number}: not a prediction of AVHBench ({error})",
                    hint="remove the line and run again",
                ) from None
            latest[prediction.key] = prediction
    if not latest:
        raise DataError(f"{path} holds no prediction", hint="run `mma-bench avhbench` first")
    return [latest[key] for key in sorted(latest)]
