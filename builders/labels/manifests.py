"""Manifests of clips that are not AudioSet's: which clips there are, in which split, with which labels.

A manifest is a CSV with a header: clip_id, split, and label_ids, AudioSet's label ids separated by `;`. If a table
`labels.csv` (label, label_id) lies beside it, the clips have labels of another label set instead, in the column labels,
and the table maps each to AudioSet's label for the same event. Optional: video, for clips of one source video, which
must not be in both splits; clips with the same photo are of one, too. Optional: start_s and end_s, the part of the
video that is the clip, in seconds; without them a clip is 10 s long.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator, model_validator

from mma_bench.csv_rows import ClipId, CsvRow, Filled, read_rows

LABEL_MAP: Final = "labels.csv"
CLIP_S: Final = 10.0  # clips without times are composed to AudioSet's length
_HINT: Final = "correct candidates.manifests in params.yaml"


@dataclass(frozen=True)
class ManifestClip:
    """A row.

    Attributes:
        where: File and line.
        video_id: The source video: clips that share it are in one split.
        labels: As the manifest has them.
        label_ids: AudioSet's; a label that the table lacks stands for itself.
        start_s, end_s: The part of the video, in seconds.
    """

    where: str
    clip_id: str
    split: str
    video_id: str
    labels: tuple[str, ...]
    label_ids: tuple[str, ...]
    start_s: float = 0.0
    end_s: float = CLIP_S


class _Row(CsvRow):
    clip_id: ClipId
    split: str
    photo: str = ""
    video: str = ""
    start_s: str = ""
    end_s: str = ""

    @field_validator("split")
    @classmethod
    def _names_a_split(cls, split: str) -> str:
        if not re.fullmatch(r"[a-z0-9_]+", split):
            raise ValueError(f"{split!r} is not the name of a split; use lower-case letters, e.g. eval")
        return split

    @field_validator("start_s", "end_s")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        if text and not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,3})?", text):
            raise ValueError(f"{text!r} is not a number of seconds, with at most three decimals")
        return text

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> "_Row":
        if bool(self.start_s) != bool(self.end_s):
            raise ValueError("start_s and end_s belong together: give both or neither")
        if self.start_s and float(self.end_s) <= float(self.start_s):
            raise ValueError(f"the end ({self.end_s}) is not after the start ({self.start_s})")
        return self

    @property
    def span_s(self) -> tuple[float, float]:
        """Start and end in seconds."""
        return (float(self.start_s), float(self.end_s)) if self.start_s else (0.0, CLIP_S)


class _Clip(_Row):
    labels: str = Field(validation_alias="label_ids")

    @field_validator("labels")
    @classmethod
    def _lists_labels(cls, labels: str) -> str:
        if not re.fullmatch(r'[^",; ]+(;[^",; ]+)*', labels):
            raise ValueError(f"{labels!r} is not a list of label ids; separate label ids by ';'")
        return labels


class _OwnLabels(_Row):
    labels: str

    @field_validator("labels")
    @classmethod
    def _lists_labels(cls, labels: str) -> str:
        if not all(label.strip() for label in labels.split(";")):
            raise ValueError(f"{labels!r} is not a list of labels; separate labels by ';'")
        return labels


class _Mapped(CsvRow):
    label: Filled
    label_id: Filled


def read_label_map(path: Path) -> dict[str, str]:
    """Label → AudioSet's label id, from the table beside a manifest; raises as `read_rows`."""
    return {row.label: row.label_id for row in read_rows(path, _Mapped, unique=["label"])}


def read_manifest(path: Path) -> list[ManifestClip]:
    """The clips in the order of the manifest; whether AudioSet has the label ids is not checked.

    Raises:
        DataError: See `read_rows`; an unsafe or repeated id, no split or label; names file and line.
    """
    table = path.parent / LABEL_MAP
    own: dict[str, str] = {}
    model: type[_Clip | _OwnLabels] = _Clip
    if table.is_file():
        own = read_label_map(table)
        model = _OwnLabels
    rows = read_rows(path, model, unique=["clip_id"], hint=_HINT)
    clips = []
    for row in rows:
        labels = tuple(label.strip() for label in row.labels.split(";"))
        label_ids = tuple(dict.fromkeys(own.get(label, label) for label in labels))
        video = row.video or Path(row.photo or row.clip_id).stem
        clips.append(ManifestClip(row.where, row.clip_id, row.split, video, labels, label_ids, *row.span_s))
    return clips
