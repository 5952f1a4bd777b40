"""Remedies without training: what the local engine can change at inference so that the asked sense decides.

Each is one setting of the engine and one module: `contrastive`, `fork_merge`, `steering`. They change how the language
model reads a clip and a question, not its weights or its encoders. A remedy computes a question in one or more
branches, which are the rows of one batch, and turns their logits into those of the answer.

The asked sense is that of the prompt's question. Where a clip has no tokens of the sense that a remedy works on (audio
dropped), there is nothing to contrast, fork or steer, and the plain model answers. Silence and black frames do have
tokens, so there a remedy works as usual. Log-likelihoods without the clip (`Prompt.prior`) are the plain model's.
"""

from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias

import torch
from pydantic import Field, model_validator

from mma_bench.config import Fraction, Namespace
from mma_bench.errors import ConfigError
from mma_bench.models.omni.remedies.branches import Branches
from mma_bench.models.omni.remedies.contrastive import Contrastive
from mma_bench.models.omni.remedies.fork_merge import ForkMerge
from mma_bench.models.omni.remedies.steering import Steering

RemedyName: TypeAlias = Literal["contrastive", "fork_merge", "steering"]

# Setting → the remedies that it belongs to, and whether they need it.
_APPLIES: Final[dict[str, tuple[tuple[RemedyName, ...], bool]]] = {
    "strength": (("contrastive", "steering"), True),
    "cut_off": (("contrastive",), False),
    "fork_layers": (("fork_merge",), True),
}


class RemedySettings(Namespace):
    """The part of the engine's settings that selects a remedy; each changes the answers."""

    remedy: RemedyName | None = None
    strength: Annotated[float, Field(ge=0)] = 0.0  # of contrastive and steering
    cut_off: Fraction = 0.1  # of contrastive
    fork_layers: Annotated[int, Field(ge=0)] = 0  # of fork_merge

    @model_validator(mode="after")
    def _has_the_remedys_own(self) -> "RemedySettings":
        for key, (remedies, required) in _APPLIES.items():
            if key in self.model_fields_set and self.remedy not in remedies:
                raise ValueError(f"{key} is only for the remedy {' or '.join(remedies)}")
            if required and self.remedy in remedies and key not in self.model_fields_set:
                raise ValueError(f"the remedy {self.remedy} needs {key}")
        return self


class Remedy(Protocol):
    """How the questions about a clip are computed."""

    def branches(self, groups: torch.Tensor, question: str | None, /) -> Branches:
        """The branches of a question.

        Args:
            groups: int8 [tokens], the groups (`token_groups`) of the clip's tokens.
            question: What the prompt asks about (`Prompt.question`).

        Raises:
            InvalidInput: `no_asked_sense`: the remedy needs a question about `visual` or `audio`, and it is not.
        """
        ...


def make_remedy(settings: RemedySettings, thinker: Any) -> Remedy | None:
    """The remedy that the settings select; None without one.

    Raises:
        ConfigError: The remedy does not work with this model, or `fork_layers` is above its number of layers.
    """
    if settings.remedy is None:
        return None
    # Qwen3-Omni adds features of the picture to the hidden states of its first layers, which is not tried here.
    if not thinker.config.model_type.startswith("qwen2_5_omni"):
        raise ConfigError(
            f"the remedy {settings.remedy} is not available for the architecture {thinker.config.model_type}",
            hint="use a Qwen2.5-Omni checkpoint, or leave out `remedy`",
        )
    text = thinker.model.language_model
    if settings.remedy == "contrastive":
        return Contrastive(text, settings.strength, settings.cut_off)
    if settings.remedy == "steering":
        return Steering(text, settings.strength)
    if settings.fork_layers > len(text.layers):
        raise ConfigError(
            f"fork_layers is {settings.fork_layers}, but the model has {len(text.layers)} layers",
            hint="set a number of layers that the model has",
        )
    return ForkMerge(text, settings.fork_layers)
