"""AVHBench inference: annotations, videos and an engine in, `avhbench_predictions.jsonl` out, fsynced line by line.

A run that is killed and restarted repeats no finished question. Questions that failed, or whose video was missing or
has changed, are retried.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from mma_bench.errors import DataError
from mma_bench.evaluation.asking import ask_all, claim, identity
from mma_bench.evaluation.avhbench.annotations import Entry, Task, yes_or_no
from mma_bench.evaluation.first_contact import FirstContact
from mma_bench.executor.ledger import Ledger
from mma_bench.files import clip_path
from mma_bench.models.contracts import Answer, ClipTask, Engine, Prompt
from mma_bench.progress import Progress
from mma_bench.schema import Condition

PREDICTIONS: Final = "avhbench_predictions.jsonl"
Status: TypeAlias = Literal["ok", "unparseable", "failed", "missing", "refused", "unsupported"]


@dataclass(frozen=True)
class _Clip:
    """A video and its questions."""

    entries: dict[str, Entry]  # by key
    sha256: str  # of the video's bytes


@dataclass(frozen=True)
class AvhPrediction:
    """One answer with everything needed to identify and score it.

    Attributes:
        key: `<video id>/<entry key>`: unique in a run.
        source: The source video; answers about the same source are not independent.
        status: `missing` if the video could not be read, so the model was not run; `refused` and `unsupported` as in
            `contracts.Answer`.
        answer: Yes, No, or the stripped caption; None unless `status` is ok.
        raw: The model's raw output.
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
    operation: dict[str, Any] | None = None,
    batch: int = 1,
) -> Path:
    """Answer every question missing from `out/avhbench_predictions.jsonl`; return its path.

    Args:
        engine: The model under test.
        entries: The questions.
        videos: The folder with `<video_id>.mp4`.
        out: The run's folder.
        annotations: Fingerprint of the annotations.
        settings: The engine's, for `avhbench_run.json`; they identify the run.
        operation: The engine's other settings, likewise (`asking.described`).
        batch: Clips per engine call; does not affect the answers.

    Raises:
        Stopped: The engine cannot continue; the answers so far are kept.
        ConfigError: `out` holds another run; names what differs.
        DataError: None of the videos exists.
    """
    by_video: dict[str, list[Entry]] = {}
    for entry in entries:
        by_video.setdefault(entry.video_id, []).append(entry)
    if not any(clip_path(videos, video_id).is_file() for video_id in by_video):
        raise DataError(
            f"{videos} contains none of the {len(by_video)} videos", hint="pass the folder that contains <video_id>.mp4"
        )
    model = identity(engine)
    run = {**model, "annotations_sha256": annotations, "settings": settings}
    path = out / PREDICTIONS
    with Ledger(path) as ledger, Progress(f"{engine.name}, AVHBench", len(by_video)) as progress:
        described = {**run, "operation": operation} if operation else run
        claim(out / "avhbench_run.json", described, answered=path.stat().st_size > 0)
        ask_all(
            engine,
            _clips(by_video, videos, model, ledger, progress),
            ledger,
            progress,
            # `missing` has no hash, so it never matches a video.
            holds=lambda clip, _, entry: bool(entry["video_sha256"] == clip.sha256),
            entry_of=partial(_answered, model),
            batch=batch,
            before=FirstContact(engine, out / "avhbench_run.json"),
        )
    return path


def _clips(
    by_video: Mapping[str, Sequence[Entry]],
    videos: Path,
    model: Mapping[str, Any],
    ledger: Ledger,
    progress: Progress,
) -> Iterator[tuple[_Clip, ClipTask]]:
    """The videos; an unreadable one is recorded as missing, once, where it has no answer."""
    for video_id, entries in by_video.items():
        path = clip_path(videos, video_id)
        try:
            video = path.read_bytes()
        except OSError as error:
            for entry in entries:
                latest = ledger.latest(_key(entry))
                if latest is None or latest["status"] == "failed":
                    ledger.append(_line(model, entry, "missing", error=f"{path}: {error.strerror}"))
            progress.advance()
            continue
        clip = _Clip({entry.key: entry for entry in entries}, hashlib.sha256(video).hexdigest())
        prompts = tuple(entry.prompt() for entry in entries)
        # Swapped clips are used as they are; for an engine the condition only means that both tracks are present.
        yield clip, ClipTask(video_id, video, str(Condition.ALIGNED), "", "", prompts)


def _answered(model: Mapping[str, Any], clip: _Clip, prompt: Prompt, answer: Answer) -> dict[str, Any]:
    """The ledger entry of an answer."""
    entry = clip.entries[prompt.key]
    line = partial(_line, model, entry, usage=answer.usage, video_sha256=clip.sha256)
    if answer.unsupported is not None:
        return line("unsupported", error=answer.unsupported)
    if answer.refused is not None:
        return line("refused", error=answer.refused)
    if answer.error is not None or answer.text is None:
        return line("failed", error=answer.error or "the engine returned neither an answer nor an error")
    read = answer.text.strip() or None if entry.task is Task.CAPTIONING else yes_or_no(answer.text)
    return line("unparseable" if read is None else "ok", answer=read, raw=answer.text)


def _line(
    model: Mapping[str, Any],
    entry: Entry,
    status: Status,
    *,
    answer: str | None = None,
    raw: str | None = None,
    error: str | None = None,
    usage: dict[str, Any] | None = None,
    video_sha256: str | None = None,
) -> dict[str, Any]:
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
        **model,
    )
    return asdict(prediction)


def _key(entry: Entry) -> str:
    return f"{entry.video_id}/{entry.key}"


def read_avh_predictions(path: Path) -> list[AvhPrediction]:
    """Read avhbench_predictions.jsonl by key; the last attempt at a question counts.

    Raises:
        DataError: The file is missing, has no predictions, or has an invalid line (named).
    """
    latest: dict[str, AvhPrediction] = {}
    if not path.is_file():
        raise DataError(f"{path} does not exist", hint="run `mma-bench avhbench` first")
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                break  # truncated by a kill; the next run redoes it
            try:
                prediction = AvhPrediction(**json.loads(line))
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"{path}, line {number}: not an AVHBench prediction ({error})",
                    hint="delete the line and run again",
                ) from None
            latest[prediction.key] = prediction
    if not latest:
        raise DataError(f"{path} contains no predictions", hint="run `mma-bench avhbench` first")
    return [latest[key] for key in sorted(latest)]
