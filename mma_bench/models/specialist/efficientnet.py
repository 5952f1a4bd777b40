"""EfficientNet-Lite2: an ImageNet classifier with 1,000 classes.

Network: `efficientnet-lite-pytorch`, with weights converted from TensorFlow's. Input 260 × 260, (x − 127) / 128. Frames
are resized to a square, not cropped, so that objects at the edges of wide frames count too.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mma_bench.errors import DataError

if TYPE_CHECKING:
    import torch

_SIDE: Final = 260
_MEAN, _SCALE = 127.0, 128.0


class EfficientNetLite2:
    """The classifier.

    Args:
        weights: The checkpoint, a pickle; loaded with `weights_only=True`, so that it cannot run code.

    Raises:
        DataError: The file is not a checkpoint of this network.
    """

    def __init__(self, weights: Path) -> None:
        import pickle

        import torch
        from efficientnet_lite_pytorch import EfficientNet

        # channels_last halves the time on CPU.
        self._network = EfficientNet.from_name("efficientnet-lite2").eval().to(memory_format=torch.channels_last)
        try:
            self._network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise DataError(
                f"{weights} is not a checkpoint of EfficientNet-Lite2 ({error})",
                hint="delete it; it is downloaded again",
            ) from None

    def probabilities(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities of each frame.

        Args:
            frames: [T, height, width, 3] RGB.

        Returns:
            [T, 1000] float32, each row sums to 1.
        """
        import torch

        with torch.inference_mode():
            # One frame at a time: as fast as a batch on one core, and eight 4K frames as floats would take 800 MB.
            logits = torch.cat([self._network(prepared(frame)) for frame in frames])
            probabilities: NDArray[np.float32] = logits.softmax(dim=1).numpy()
        return probabilities


def prepared(frame: NDArray[np.uint8]) -> "torch.Tensor":
    """The network's input for one RGB frame [height, width, 3]: [1, 3, 260, 260] float32, channels last in memory."""
    import torch

    picture = torch.tensor(frame).permute(2, 0, 1).unsqueeze(0).float()
    resized = torch.nn.functional.interpolate(picture, (_SIDE, _SIDE), mode="bicubic", antialias=True)
    return ((resized.clamp(0, 255) - _MEAN) / _SCALE).contiguous(memory_format=torch.channels_last)
