"""Collates examples so that each has the same loss as on its own.

Texts are left-padded, so that rows end with the answers and only the last few positions need logits. Per-clip
differences are passed explicitly instead of inferred by the model: positions for each example, and audio features only
of the clips that have sound, in batch order.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch.nn.functional import pad

from mma_bench.training.examples import IGNORED, Example

Batch: TypeAlias = dict[str, Any]

_JOINED = ("pixel_values_videos", "video_grid_thw", "video_second_per_grid")  # concatenated over clips
_SOUND = ("input_features", "feature_attention_mask")  # padded to the longest, padding masked


class Collate:
    """Makes batches.

    Args:
        tail: Positions at the end of each row that have labels: the longest answer plus the token before it.
        padding: Id of the padding token.

    Returns (from the call):
        `input_ids` and `attention_mask`, int64 [examples, length]; `position_ids` [3, examples, length]; `labels`,
        int64 [examples, tail], -100 where there is no loss; the model's arguments for the media; `example_ids`, a list;
        `faults`, example id → why its clip could not be read.
    """

    def __init__(self, tail: int, padding: int) -> None:
        self._tail, self._padding = tail, padding

    def __call__(self, examples: Sequence[Example]) -> Batch:
        length = max(len(example.ids) for example in examples)
        missing = [length - len(example.ids) for example in examples]
        pairs = list(zip(examples, missing, strict=True))
        # Trainer takes the batch size from the first tensor's first dimension.
        batch: Batch = {
            "input_ids": torch.stack([pad(example.ids, (extra, 0), value=self._padding) for example, extra in pairs]),
            "attention_mask": torch.stack([pad(torch.ones_like(e.ids), (extra, 0)) for e, extra in pairs]),
            "labels": torch.stack([self._labels(example) for example in examples]),
            # The dtypes may differ: an example without a clip has integer positions.
            "position_ids": torch.stack(
                [pad(e.positions.to(_widest(examples)), (extra, 0)) for e, extra in pairs], dim=1
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
