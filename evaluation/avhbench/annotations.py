"""AVHBench's annotations and answer-parsing rules: its JSON in, questions out (Sung-Bin et al., arXiv 2410.18325).

The published layout is a list of `{"video_id", "task", "text", "label"}`, in one file or in a folder with one file per
video; the clips are `<video_id>.mp4`. Three tasks are answered with yes or no, the fourth with a caption. The text is
the whole prompt: the published data and leaderboard add no further instruction.

Yes/no answers are parsed by exactly these rules:

1. Case, punctuation and markup do not matter: `**Yes**, it is.` is Yes.
2. `Answer:`, `Final answer:` and `The answer is` at the beginning are skipped.
3. The first word decides if it is "yes" or "no". `No, there is no dog` and `Yes, no doubt` are answers.
4. `yes or no`, `yes and no`, `no/yes` at the beginning, and `Yes. No.` as the whole answer, name both and are
   unparseable.
5. Anything else is unparseable, including sentences that contain a "no" (`There is no dog`); meaning is not
   interpreted.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from mma_bench.errors import DataError, InvalidInput
from mma_bench.files import clip_path, file_sha256, fingerprint
from mma_bench.models.contracts import Prompt
from mma_bench.tables import read_json

YES, NO = "Yes", "No"
_YES_NO: Final = {"yes": YES, "no": NO}
_FIELDS: Final = ("video_id", "task", "text", "label")
_NEW_TOKENS: Final = {True: 32, False: 128}  # yes or no with room for extra text; a caption of one or two sentences
_LEAD: Final = re.compile(r"^(?:the )?(?:final )?answer (?:is )?")
_BOTH: Final = re.compile(r"(?:yes (?:or|and) no|no (?:or|and) yes)\b")


class Task(StrEnum):
    """The four tasks under their published names."""

    VIDEO_DRIVEN_AUDIO = "Video-driven Audio Hallucination"
    AUDIO_DRIVEN_VIDEO = "Audio-driven Video Hallucination"
    MATCHING = "AV Matching"
    CAPTIONING = "AV Captioning"

    @property
    def slug(self) -> str:
        """The task's name in keys, e.g. `av_matching`."""
        return re.sub(r"\W", "_", self.value.lower())


@dataclass(frozen=True)
class Entry:
    """One annotated question.

    Attributes:
        video_id: The clip's name without `.mp4`; safe as a file name.
        label: `Yes` or `No`, or the reference caption.
        key: Unique among the video's entries; independent of their order, except for identical texts.
    """

    video_id: str
    task: Task
    text: str
    label: str
    key: str

    @property
    def source(self) -> str:
        """The source video: `00006_swap` has the frames of `00006`, so the two are not independent."""
        return self.video_id.removesuffix("_swap")

    def prompt(self) -> Prompt:
        """The question as the model gets it."""
        choice = self.task is not Task.CAPTIONING
        return Prompt(self.key, self.text, options=(YES, NO) if choice else (), max_new_tokens=_NEW_TOKENS[choice])


def read_annotations(path: Path) -> list[Entry]:
    """Read AVHBench's annotations in file order.

    Args:
        path: A JSON file, or a folder whose `*.json` are read in the order of their names.

    Raises:
        DataError: The file is missing, is not JSON, has no entries or has an invalid one; names the file and the entry.
    """
    entries: list[Entry] = []
    seen: Counter[str] = Counter()
    for file in annotation_files(path):
        try:
            loaded = read_json(file)
        except DataError as error:
            raise DataError(error.message, hint="pass AVHBench's JSON file or the folder with its JSON files") from None
        if not isinstance(loaded, list):
            raise DataError(f"{file} is not a list of entries", hint="use AVHBench's published layout")
        entries += [_entry(item, f"{file}, entry {number}", seen) for number, item in enumerate(loaded, start=1)]
    if not entries:
        raise DataError(f"{path} has no entries", hint="pass AVHBench's JSON file or the folder with its JSON files")
    return entries


def annotation_files(path: Path) -> list[Path]:
    """The file itself, or the folder's JSON files sorted by name."""
    return sorted(path.glob("*.json")) if path.is_dir() else [path]


def annotations_sha256(path: Path) -> str:
    """SHA-256 over the annotation files, in reading order."""
    return fingerprint([file_sha256(file) for file in annotation_files(path)])


def _entry(item: Any, where: str, seen: Counter[str]) -> Entry:
    """Validate one entry; `seen` counts the questions so far, so that duplicates get distinct keys."""
    if not isinstance(item, dict):
        raise DataError(f"{where}: not an object", hint=f"write it with {', '.join(_FIELDS)}")
    for field in _FIELDS:
        if not isinstance(item.get(field), str) or not item[field].strip():
            raise DataError(f"{where}: {field} is {item.get(field)!r}, not a string", hint=f"correct its {field}")
    video_id, label = item["video_id"], item["label"].strip()
    try:
        clip_path(Path(), video_id)
    except InvalidInput as error:
        raise DataError(f"{where}: {error.detail}", hint="correct its video_id") from None
    try:
        task = Task(item["task"])
    except ValueError:
        raise DataError(
            f"{where}: unknown task {item['task']!r}", hint=f"choose among {', '.join(map(str, Task))}"
        ) from None
    if task is not Task.CAPTIONING:
        if label.lower() not in _YES_NO:
            raise DataError(f"{where}: the label of {task} is {label!r}", hint="write Yes or No")
        label = _YES_NO[label.lower()]
    key = f"{task.slug}.{hashlib.sha256(item['text'].encode()).hexdigest()[:12]}"
    seen[f"{video_id}/{key}"] += 1
    return Entry(video_id, task, item["text"], label, f"{key}.{seen[f'{video_id}/{key}']}")


def yes_or_no(text: str) -> str | None:
    """`Yes`, `No`, or None if the rules above yield neither."""
    words = _LEAD.sub("", " ".join(re.findall(r"[^\W_]+", text.lower().replace("/", " or "))))
    both = _BOTH.match(words) or set(words.split()) == {"yes", "no"}
    return None if both else _YES_NO.get(words.partition(" ")[0])
