"""Both encoders with their prompts: scores of every class from frames, or from sound.

The picture encoder is given frames and the sound encoder sound, through separate functions, so neither can be
influenced by the other modality. Each runs once per clip; the prompts are embedded once per process.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mma_bench.config import CheckpointParams, EncoderJudgeParams
from mma_bench.errors import ConfigError
from mma_bench.files import fingerprint
from mma_bench.models.encoders.encoder import SUPPORTED, Encoder
from mma_bench.models.encoders.prompts import Prompts, read_prompts
from mma_bench.models.encoders.similarity import FloatArray, class_scores, pooled, unit
from mma_bench.models.omni.load import FILES, Located, locate
from mma_bench.schema import Modality

SAMPLE_RATE: Final = 48_000  # Hz: of the sound that CLAP is given
RULES: Final = 1  # version of the scoring rules: a new one invalidates all verdicts and thresholds
_WEIGHTS: Final = "*.safetensors"
_OLD_WEIGHTS: Final = "pytorch_model*.bin"  # loaded with weights_only=True; LAION's CLAP has no others

Scores: TypeAlias = dict[str, float]


@dataclass(frozen=True)
class Encoders:
    """Scores every class that has prompts; create it with `located`.

    Attributes:
        name: For verdicts and the dataset card.
        picture: The picture encoder's files.
        sound: The sound encoder's files.
        prompts: By modality and class.
        revision: 16 hex digits that change with weights, prompts, rules and the number of frames.
    """

    name: str
    picture: Located
    sound: Located
    prompts: Prompts
    revision: str

    @classmethod
    def located(cls, params: EncoderJudgeParams) -> Self:
        """With both checkpoints on disk, downloaded from the Hub if needed; they are loaded on first use.

        Raises:
            MmaBenchError: A checkpoint is not available.
            DataError, ConfigError: The prompts cannot be used.
        """
        prompts = read_prompts(None if params.prompts is None else Path(params.prompts))
        picture, sound = _located(params.picture, "visual"), _located(params.sound, "audio")
        return cls(
            name=f"encoders ({params.picture.checkpoint}, {params.sound.checkpoint})",
            picture=picture,
            sound=sound,
            prompts=prompts,
            revision=fingerprint(RULES, picture.revision, sound.revision, prompts, params.frames)[:16],
        )

    @cached_property
    def sees(self) -> Callable[[NDArray[np.uint8]], Scores]:
        """Frames, uint8 [T, height, width, 3] RGB, to the score of every class with a visual prompt."""
        encoder = Encoder.load(self.picture, "visual")
        classify = classifier(encoder, self.prompts["visual"])
        return lambda frames: classify(encoder.pictures(frames))

    @cached_property
    def hears(self) -> Callable[[FloatArray], Scores]:
        """Sound, float32 [samples] mono at SAMPLE_RATE, to the score of every class with an audio prompt."""
        encoder = Encoder.load(self.sound, "audio")
        classify = classifier(encoder, self.prompts["audio"])
        return lambda audio: classify(encoder.sound(audio, SAMPLE_RATE))


def classifier(encoder: Encoder, prompts: Mapping[str, Sequence[str]]) -> Callable[[FloatArray], Scores]:
    """From the embeddings of a clip's parts [parts, d] to the score of each class; the prompts are embedded once."""
    rows = [(name, text) for name, texts in prompts.items() for text in texts]
    embedded = unit(encoder.texts([text for _, text in rows]))
    classes = [name for name, _ in rows]
    return lambda parts: class_scores(pooled(parts), embedded, classes, encoder.head)


def _located(params: CheckpointParams, modality: Modality) -> Located:
    """The checkpoint on disk, of a supported architecture: found out here, before any worker starts."""
    from transformers import PreTrainedConfig

    found = locate(params.checkpoint, params.revision, "config.json")
    if not any(found.folder.glob(_WEIGHTS)):
        found = locate(params.checkpoint, params.revision, "config.json", (*FILES, _OLD_WEIGHTS))
    kind = PreTrainedConfig.get_config_dict(found.folder)[0].get("model_type", "")
    if kind not in SUPPORTED[modality]:
        raise ConfigError(
            f"{params.checkpoint} is a {kind or 'model without model_type'}, not one of "
            f"{', '.join(SUPPORTED[modality])}",
            hint=f"name a checkpoint of these in judge.{'picture' if modality == 'visual' else 'sound'}",
        )
    return found
