"""Loads a checkpoint of transformers and embeds texts, pictures or sound with it.

Any checkpoint of a supported architecture can be used, by Hub ID and revision or as a folder:

| modality | `model_type` | examples |
|---|---|---|
| visual | `siglip`, `siglip2`, `clip` | google/siglip2-base-patch16-224, openai/clip-vit-large-patch14 |
| audio | `clap` | laion/clap-htsat-unfused, laion/larger_clap_general |

Texts are padded to 64 tokens for SigLIP, which was trained in no other way. Sound longer than the encoder's window
(10 s) is split into windows: the feature extractor would take a random part of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from mma_bench.errors import MmaBenchError
from mma_bench.models.encoders.similarity import FloatArray, Head
from mma_bench.schema import Modality

if TYPE_CHECKING:
    import torch

    from mma_bench.models.omni.load import Located

SUPPORTED: Final[dict[Modality, tuple[str, ...]]] = {"visual": ("siglip", "siglip2", "clip"), "audio": ("clap",)}
_FEATURES: Final[dict[Modality, str]] = {"visual": "get_image_features", "audio": "get_audio_features"}
_SIGLIP_TOKENS: Final = 64
_WINDOW_TOLERANCE: Final = 0.05  # of a window; encoders pad the end of a track, so 10 s may be 10.02 s


@dataclass(frozen=True)
class Encoder:
    """A loaded model.

    Attributes:
        modality: What it embeds besides texts.
        model: In eval mode.
        tokenizer: Of transformers.
        extractor: The image processor, or the feature extractor of sound.
    """

    modality: Modality
    model: Any
    tokenizer: Any
    extractor: Any

    @classmethod
    def load(cls, located: "Located", modality: Modality) -> Self:
        """Load from disk, onto a GPU if there is one.

        Raises:
            MmaBenchError: Weights are missing or have the wrong shape.
        """
        import torch
        from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel, AutoTokenizer

        torch.set_num_threads(1)  # a core for each process; multi-threaded sums differ between runs
        model, info = AutoModel.from_pretrained(located.folder, dtype=torch.float32, output_loading_info=True)
        # from_pretrained only warns and initialises such weights randomly.
        if gaps := sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]])):
            raise MmaBenchError(
                f"{located.folder}: {len(gaps)} weights are missing or have the wrong shape, first {gaps[0]}",
                hint="download the checkpoint again, or use a matching config.json",
            )
        extractor = AutoImageProcessor if modality == "visual" else AutoFeatureExtractor
        return cls(
            modality,
            model.eval().to("cuda" if torch.cuda.is_available() else "cpu"),
            AutoTokenizer.from_pretrained(located.folder),
            extractor.from_pretrained(located.folder),  # type: ignore[no-untyped-call]
        )

    @cached_property
    def head(self) -> Head:
        """The learned scale, and the bias of a model trained with a sigmoid."""
        scale = self.model.logit_scale_a if self.modality == "audio" else self.model.logit_scale
        bias = getattr(self.model, "logit_bias", None)
        return Head(math.exp(scale.item()), None if bias is None else bias.item())

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """Embeddings [texts, d], not normalised."""
        import torch

        fixed = "siglip" in self.model.config.model_type
        tokens = self.tokenizer(
            list(texts),
            padding="max_length" if fixed else True,
            truncation=True,
            max_length=_SIGLIP_TOKENS if fixed else None,
            return_tensors="pt",
        )
        with torch.inference_mode():
            return _array(self.model.get_text_features(**tokens.to(self.model.device)))

    def pictures(self, frames: NDArray[np.uint8]) -> FloatArray:
        """Embeddings [T, d] of RGB frames [T, height, width, 3], not normalised."""
        return self._features(
            self.extractor(images=list(frames), input_data_format="channels_last", return_tensors="pt")
        )

    def sound(self, audio: FloatArray, sample_rate: int) -> FloatArray:
        """Embeddings [windows, d] of mono sound [samples], not normalised.

        Raises:
            ValueError: The model was trained at another sample rate.
        """
        if sample_rate != self.extractor.sampling_rate:
            raise ValueError(f"the encoder hears {self.extractor.sampling_rate} Hz, the sound has {sample_rate} Hz")
        # One at a time: the extractor marks a random one of several as longer than a window.
        parts = [
            self._features(self.extractor(part, sampling_rate=sample_rate, return_tensors="pt"))
            for part in windows(audio, self.extractor.nb_max_samples)
        ]
        return np.concatenate(parts)

    def _features(self, inputs: Any) -> FloatArray:
        import torch

        with torch.inference_mode():
            return _array(getattr(self.model, _FEATURES[self.modality])(**inputs.to(self.model.device)))


def windows(audio: FloatArray, size: int) -> list[FloatArray]:
    """The sound in as few windows of `size` samples as cover it, evenly spread; shorter sound is one window.

    An end of less than 5 % of a window is left out.
    """
    count = max(1, math.ceil(len(audio) / size - _WINDOW_TOLERANCE))
    starts: list[int] = np.linspace(0, max(0, len(audio) - size), count).round().astype(int).tolist()
    return [audio[start : start + size] for start in starts]


def _array(output: Any) -> FloatArray:
    features: torch.Tensor = output.pooler_output
    array: FloatArray = features.float().cpu().numpy()
    return array
