"""YAMNet in torch: an audio tagger with 521 AudioSet classes.

Source: Plakal and Ellis, tensorflow/models, research/audioset/yamnet (`features.py`, `yamnet.py`, `params.py`):
log-mel patches of 0.96 s through a MobileNet v1. The weights are read from the published SavedModel; on 38 sounds the
probabilities agree with TensorFlow's within 0.0002.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from mma_bench.errors import DataError
from mma_bench.media import SAMPLE_RATE
from mma_bench.models.specialist.tf_checkpoint import FloatArray, read_float_variables

if TYPE_CHECKING:
    import torch

_WINDOW, _HOP, _FFT = 400, 160, 512  # samples: 25 ms, 10 ms
_BANDS, _LOWEST_HZ, _HIGHEST_HZ = 64, 125.0, 7500.0
_LOG_OFFSET: Final = 0.001
_PATCH, _PATCH_HOP = 96, 48  # mel frames: 0.96 s, 0.48 s
_FIRST_PATCH: Final = _WINDOW + (_PATCH - 1) * _HOP  # samples required for one patch
_EPSILON: Final = 1e-4  # epsilon of the batch normalisations, which have no scale
_STRIDES: Final = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)  # of the 13 depthwise convolutions
_KEY: Final = "layer-1/layer/_func/_yamnet/layer_with_weights-{}/{}/.ATTRIBUTES/VARIABLE_VALUE"


@dataclass(frozen=True)
class _Convolution:
    """A convolution with bias (batch normalisation folded in), followed by a ReLU."""

    weight: "torch.Tensor"  # [out, in / groups, height, width]
    bias: "torch.Tensor"  # [out]
    stride: int
    groups: int


class Yamnet:
    """The tagger.

    Args:
        variables: The SavedModel's float variables by checkpoint key.

    Raises:
        DataError: A variable is missing.
    """

    def __init__(self, variables: dict[str, FloatArray]) -> None:
        import torch

        def variable(layer: int, name: str) -> "torch.Tensor":
            key = _KEY.format(layer, name)
            if key not in variables:
                raise DataError(
                    f"YAMNet's weights have no variable {key}", hint="delete them; they are downloaded again"
                )
            return torch.from_numpy(variables[key].copy())

        def convolution(layer: int, name: str, stride: int) -> _Convolution:
            kernel = variable(layer, name)  # [height, width, in, out]; depthwise [height, width, channels, 1]
            depthwise = name == "depthwise_kernel"
            weight = kernel.permute(2, 3, 0, 1) if depthwise else kernel.permute(3, 2, 0, 1)
            scale = (variable(layer + 1, "moving_variance") + _EPSILON).rsqrt()
            bias = variable(layer + 1, "beta") - variable(layer + 1, "moving_mean") * scale
            groups = len(weight) if depthwise else 1
            return _Convolution((weight * scale.view(-1, 1, 1, 1)).contiguous(), bias, stride, groups)

        self._convolutions = [convolution(0, "kernel", 2)]
        for number, stride in enumerate(_STRIDES):
            self._convolutions.append(convolution(2 + 4 * number, "depthwise_kernel", stride))
            self._convolutions.append(convolution(4 + 4 * number, "kernel", 1))
        self._head = variable(54, "kernel"), variable(54, "bias")
        self._mel = torch.from_numpy(mel_matrix())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the weights from a SavedModel's folder (the one that holds `variables/`)."""
        return cls(read_float_variables(folder / "variables" / "variables"))

    def scores(self, waveform: FloatArray) -> FloatArray:
        """Independent probabilities of the 521 classes.

        Args:
            waveform: [samples] float32 in -1..1, 16 kHz mono; padded with zeros to a whole number of patches.

        Returns:
            [patches, 521] float32 in 0..1, one patch per 0.48 s.
        """
        import torch
        from torch.nn import functional

        with torch.inference_mode():
            patches = self.log_mel(waveform).unfold(0, _PATCH, _PATCH_HOP).transpose(1, 2)
            x = patches.unsqueeze(1)  # [patches, 1, time 96, mel 64]
            for layer in self._convolutions:
                kernel = layer.weight.shape[-1]
                x = _pad_same(x, kernel, layer.stride)
                x = functional.relu(functional.conv2d(x, layer.weight, layer.bias, layer.stride, groups=layer.groups))
            weight, bias = self._head
            probabilities: FloatArray = torch.sigmoid(x.mean(dim=(2, 3)) @ weight + bias).numpy()
        return probabilities

    def log_mel(self, waveform: FloatArray) -> "torch.Tensor":
        """[frames, 64] log-mel spectrogram, 10 ms a frame, of the padded waveform."""
        import torch

        samples = torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))
        hop = _PATCH_HOP * _HOP
        hops = max(0, -(-(len(samples) - _FIRST_PATCH) // hop))
        samples = torch.nn.functional.pad(samples, (0, _FIRST_PATCH + hops * hop - len(samples)))
        frames = samples.unfold(0, _WINDOW, _HOP) * torch.hann_window(_WINDOW, periodic=True)
        magnitudes = torch.fft.rfft(frames, _FFT).abs()
        return torch.log(magnitudes @ self._mel + _LOG_OFFSET)


def mel_matrix() -> FloatArray:
    """[257, 64] weights from linear frequency to mel bands: triangles on the HTK scale."""
    hertz = np.linspace(0.0, SAMPLE_RATE / 2, _FFT // 2 + 1)
    mels = 1127.0 * np.log1p(hertz / 700.0)[:, None]
    lowest, highest = 1127.0 * np.log1p(np.array([_LOWEST_HZ, _HIGHEST_HZ]) / 700.0)
    edges = np.linspace(lowest, highest, _BANDS + 2)
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    weights: FloatArray = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    return weights


def _pad_same(x: "torch.Tensor", kernel: int, stride: int) -> "torch.Tensor":
    """TensorFlow's SAME padding, with the odd pixel at the end."""
    from torch.nn import functional

    padding = []
    for size in (x.shape[-1], x.shape[-2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        padding += [total // 2, total - total // 2]
    return functional.pad(x, padding)
