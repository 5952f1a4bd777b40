"""From examples to one batch that gives each of them the loss it has alone.

Texts are padded on the left, so that the answers end the rows and only the last few positions need logits. What differs
between clips is not shared out by the model but given: positions per example, and sound only from the clips that have
it, in the batch's order.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch.nn.functional import pad

from mma_bench.training.examples import IGNORED, Example

Batch: TypeAlias = dict[str, Any]

_JOINED = ("pixel_values_videos", "video_grid_thw", "video_second_per_grid")  # one clip's after the other's
_SOUND = ("input_features", "feature_attention_mask")  # padded to the longest, silence masked


class Collate:
    """Makes batches.

    Args:
        tail: Positions at the end of each row that have labels: the longest answer and the token before it.
        padding: Id of the padding token.

    Returns (from the call):
        `input_ids` and `attention_mask`, int64 [examples, length]; `position_ids` [3, examples, length]; `labels`,
        int64 [examples, tail], -100 where there is no loss; the model's arguments for the media; `example_ids`, a list;
        `faults`, why clips could not be read, by example id.
    """

    def __init__(self, tail: int, padding: int) -> None:
        self._tail, self._padding = tail, padding

    def __call__(self, examples: Sequence[Example]) -> Batch:
        length = max(len(example.ids) for example in examples)
        rooms = [length - len(example.ids) for example in examples]
        pairs = list(zip(examples, rooms, strict=True))
        # Trainer takes the first tensor's first dimension for the number of examples.
        batch: Batch = {
            "input_ids": torch.stack([pad(example.ids, (room, 0), value=self._padding) for example, room in pairs]),
            "attention_mask": torch.stack([pad(torch.ones_like(e.ids), (room, 0)) for e, room in pairs]),
            "labels": torch.stack([self._labels(example) for example in examples]),
            # The dtypes may differ: an example without a clip counts in whole numbers.
            "position_ids": torch.stack(
                [pad(e.positions.to(_widest(examples)), (room, 0)) for e, room in pairs], dim=1
            ),
            "example_ids": [example.example_id for example in examples],
            "faults": {e.example_id: e.fault for e in examples if e.fault is not None},
        }
        for name in _JOINED:
            if parts := [example.media[name] for example in examples if name in example.media]:
                batch[name] = torch.cat(parts)
        for name in _SOUND:
            if parts := [example.media[name] for example in examples if name in example.media]:
                longest = max(part.shape[-1] for part in parts)
                batch[name] = torch.cat([pad(part, (0, longest - part.shape[-1])) for part in parts])
        return batch

    def _labels(self, example: Example) -> torch.Tensor:
        labels = example.labels[-self._tail :]
        return pad(labels, (self._tail - len(labels), 0), value=IGNORED)


def _widest(examples: Sequence[Example]) -> torch.dtype:
    return max((example.positions.dtype for example in examples), key=lambda dtype: dtype.is_floating_point)
