"""Training examples from rows of the SFT table: the evaluation's tokens, then the answer and its end token.

Clips are decoded and processed by the evaluation's own code (`decode`, `InputMaker`), so that training and evaluation
see the same tokens. Only the answer and its end token carry loss. Positions come from the model's `get_rope_index`,
called separately for each clip with its own audio flag: the flag applies to a whole call, so in a batched call it would
be wrong for some clips.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import torch
from torch.utils.data import Dataset

from mma_bench.errors import DataError, InvalidInput
from mma_bench.models.contracts import ClipTask, Prompt
from mma_bench.models.omni.inputs import ClipInputs, InputMaker, check_modalities
from mma_bench.models.omni.media import decode

IGNORED: Final = -100  # the label of a token without loss, as in `torch.nn.functional.cross_entropy`

Row: TypeAlias = dict[str, Any]


class Clips(Protocol):
    """Gives the clip of a row."""

    def task(self, row_id: str) -> ClipTask:
        """The clip, without prompts."""


@dataclass(frozen=True)
class Example:
    """One question about one clip, with its answer.

    Attributes:
        example_id: As in the SFT table.
        media: The clip's tensors as the model takes them, without text.
        ids: int64 [length]: clip, prompt, answer, end token.
        labels: int64 [length]: the token id at the answer and the end token, else -100.
        positions: [3, length], int64 or float32: time, height, width.
        fault: Why the clip cannot be read; then there are no media and no labels. Returned, not raised, so that it
            survives process boundaries and the trainer decides.
    """

    example_id: str
    media: dict[str, torch.Tensor] = field(repr=False)
    ids: torch.Tensor = field(repr=False)
    labels: torch.Tensor = field(repr=False)
    positions: torch.Tensor = field(repr=False)
    fault: str | None = None


@dataclass(frozen=True)
class Head:
    """A processed clip: the token prefix that all examples about it share."""

    clip: ClipInputs
    positions: torch.Tensor  # [3, length of the head]
    shift: torch.Tensor  # scalar: position minus index of a later text token

    @property
    def bytes(self) -> int:
        """Memory used by the tensors."""
        tensors = (*self.clip.tensors.values(), self.positions)
        return sum(tensor.element_size() * tensor.nelement() for tensor in tensors)


class HeadCache:
    """An LRU cache of heads, bounded in bytes: the questions about a clip and its repeats share one."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._held = most_bytes, 0
        self._heads: OrderedDict[str, Head] = OrderedDict()

    def get(self, row_id: str, make: Callable[[str], Head]) -> Head:
        """The head of a clip, computed on a miss."""
        head = self._heads.get(row_id)
        if head is not None:
            self._heads.move_to_end(row_id)
            return head
        head = make(row_id)
        if head.bytes <= self._most:
            self._heads[row_id] = head
            self._held += head.bytes
            while self._held > self._most:
                self._held -= self._heads.popitem(last=False)[1].bytes
        return head


class ExampleSet(Dataset[Example]):
    """The examples of one part of the SFT table.

    Args:
        rows: Of the SFT table.
        clips: Gives their clips.
        maker: Built from the checkpoint's processor.
        video_processor: The checkpoint's.
        rope_index: The model's `get_rope_index`.
        fps: Frames per second to sample.
        max_frames: Upper bound on their number; None uses the processor's default.
        cache: Cache of processed clips; sets may share one.

    Raises:
        DataError: A prompt or an answer contains special tokens.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        clips: Clips,
        maker: InputMaker,
        video_processor: Any,
        rope_index: Callable[..., tuple[torch.Tensor, torch.Tensor]],
        *,
        fps: float,
        max_frames: int | None,
        cache: HeadCache,
    ) -> None:
        self.rows = list(rows)
        self._clips, self._maker, self._video_processor = clips, maker, video_processor
        self._rope_index, self._fps, self._max_frames = rope_index, fps, max_frames
        self._cache = cache
        self._texts = [self._text(row) for row in self.rows]

    def _text(self, row: Row) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Token ids of the prompt, and of the answer with its end token."""
        try:
            inputs = self._maker.prompt(Prompt(row["example_id"], row["prompt"], options=(row["answer"],)))
        except InvalidInput as error:
            raise DataError(f"example {row['example_id']}: {error.detail}", hint="run `mma-bench sft` again") from None
        return inputs.ids, inputs.options[0]

    @property
    def longest_answer(self) -> int:
        """Number of tokens of the longest answer, including the end token."""
        return max(len(answer) for _, answer in self._texts)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row = self.rows[index]
        prompt, answer = self._texts[index]
        try:
            head = self._cache.get(row["id"], self._head)
        except InvalidInput as error:
            return _without_clip(row["example_id"], prompt, f"clip {row['id']} cannot be read: {error}")
        begin = len(head.clip.ids)
        text = torch.tensor([*prompt, *answer])
        ids = torch.cat([head.clip.tensors["input_ids"][0], text])
        labels = torch.full_like(ids, IGNORED)
        labels[-len(answer) :] = ids[-len(answer) :]
        places = (torch.arange(begin, len(ids)) + head.shift).expand(3, -1)
        positions = torch.cat([head.positions, places.to(head.positions.dtype)], dim=1)
        media = {
            name: tensor
            for name, tensor in head.clip.tensors.items()
            if name not in ("input_ids", "attention_mask", "position_ids")
        }
        return Example(row["example_id"], media, ids, labels, positions)

    def _head(self, row_id: str) -> Head:
        task = self._clips.task(row_id)
        media = decode(task, self._video_processor, fps=self._fps, max_frames=self._max_frames)
        clip = self._maker.clip(media)
        check_modalities(task, clip)
        heard = clip.tensors.get("feature_attention_mask")
        positions, shift = self._rope_index(
            clip.tensors["input_ids"],
            video_grid_thw=clip.tensors["video_grid_thw"],
            attention_mask=clip.tensors["attention_mask"],
            use_audio_in_video=clip.hears,
            audio_seqlens=None if heard is None else heard.sum(dim=1),
            second_per_grids=clip.tensors["video_second_per_grid"],
        )
        return Head(clip, positions[:, 0], shift.reshape(()))


def _without_clip(example_id: str, prompt: Sequence[int], fault: str) -> Example:
    """The prompt alone, without loss: the batch keeps its size, so the order and number of steps do not change."""
    ids = torch.tensor(prompt)
    return Example(example_id, {}, ids, torch.full_like(ids, IGNORED), torch.arange(len(ids)).expand(3, -1), fault)
