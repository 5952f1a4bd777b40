"""The settings of a training run as a frozen model; the bundled configs are in `configs/`.

The defaults are the paper's (section 5.1, appendix D, Table 8). Where the paper does not say, they are those of
LLaMA-Factory, with which it trained: alpha twice the rank, no dropout, no weight decay, gradients clipped at 1.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from mma_bench.config import Count, Fraction, Namespace, Positive
from mma_bench.errors import ConfigError
from mma_bench.settings import bundled, checked, named_file, read_yaml

Projection: TypeAlias = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PROJECTIONS: Final[tuple[Projection, ...]] = (
    *("q_proj", "k_proj", "v_proj", "o_proj"),
    *("gate_proj", "up_proj", "down_proj"),
)

_PACKAGE: Final = "mma_bench.training"
_EXPONENT: Final = re.compile(r"\d+(\.\d*)?[eE][+-]?\d+")


def _number(value: object) -> object:
    """YAML 1.1 parses `1e-4`, which has no decimal point, as a string."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


_Whole: TypeAlias = Annotated[Count, Field(le=1_000_000_000)]  # a larger one is a slip
_Pixels: TypeAlias = Annotated[Count, Field(le=1 << 26)]
_UpToOne: TypeAlias = Annotated[Positive, Field(le=1), BeforeValidator(_number)]


class TrainConfig(Namespace):
    """Settings of a run; frozen, unknown keys are rejected, and so are numbers that can only be slips.

    One optimiser step sees `batch` × `accumulation` examples, regardless of the number of processes.
    """

    checkpoint: str = "Qwen/Qwen2.5-Omni-7B"  # a folder or a hub id
    revision: str | None = None  # branch, tag or commit on the hub

    # "All linear projection layers" (5.1). In a mixture-of-experts thinker the feed-forward projections are inside the
    # experts, where LoRA is not applied, so only the attention's are adapted.
    projections: tuple[Projection, ...] = Field(default=PROJECTIONS, strict=False, min_length=1)
    rank: Annotated[Count, Field(le=65_536)] = 8
    alpha: _Whole | None = None  # scale of the update is alpha / rank; null: twice the rank
    dropout: Annotated[float, Field(ge=0, lt=1), BeforeValidator(_number)] = 0.0

    # AdamW changes each weight by about the rate in each step, so a rate above 1 is a slip.
    learning_rate: _UpToOne = 1e-4
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warmup: Annotated[Fraction, BeforeValidator(_number)] = 0.1  # fraction of the steps
    weight_decay: Annotated[Fraction, BeforeValidator(_number)] = 0.0
    adam_epsilon: _UpToOne = 1e-8
    max_grad_norm: Annotated[Positive, Field(le=1e9), BeforeValidator(_number)] = 1.0
    batch: _Whole = 4  # examples per forward pass
    accumulation: _Whole = 4  # batches per optimiser step, over all processes
    epochs: Annotated[Positive, Field(le=1e6)] | None = 5.0
    max_steps: _Whole | None = None  # instead of epochs
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0  # NumPy takes no other

    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"  # auto: bf16 or fp16 on a GPU, fp32 on the CPU
    device: Literal["auto", "cpu"] = "auto"  # auto: the GPU if there is one
    gradient_checkpointing: bool = True

    fps: Annotated[Positive, Field(le=1_000)] = 2.0
    max_frames: Annotated[_Whole, Field(ge=2)] | None = None
    min_pixels: _Pixels | None = None  # of a resized frame, as in the evaluation
    max_pixels: _Pixels | None = 254_016  # 504 × 504, appendix C; Table 8 says 13K
    system: str | None = None

    # Also filters the validation set, so that a control's checkpoint is not selected on conditions it must not see.
    conditions: tuple[Literal["aligned", "misaligned"], ...] = Field(
        default=("aligned", "misaligned"), strict=False, min_length=1
    )
    every: _Whole | None = None  # steps between validations, each with a checkpoint; null: once an epoch
    keep_last: _Whole = 2  # checkpoints besides the best one
    unreadable: Literal["stop", "skip"] = "stop"  # on a clip that cannot be decoded; skipped ones are recorded
    # Processed clips kept in memory, per decoding process.
    cache_bytes: Annotated[int, Field(ge=0, lt=1 << 50)] = 2_000_000_000
    # Prefetching decoder processes; 0: decode in the training process.
    decode_workers: Annotated[int, Field(ge=0, le=1_024)] = 0

    @model_validator(mode="after")
    def _is_consistent(self) -> "TrainConfig":
        if (self.epochs is None) == (self.max_steps is None):
            raise ValueError("set one of epochs and max_steps and make the other null")
        if self.min_pixels is not None and self.max_pixels is not None and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels ({self.min_pixels}) is above max_pixels ({self.max_pixels})")
        return self

    @property
    def scale(self) -> int:
        """LoRA's alpha."""
        return 2 * self.rank if self.alpha is None else self.alpha


def config_names() -> list[str]:
    """The configs that come with the package."""
    return sorted(bundled(_PACKAGE))


def load_config(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """Load a config by name, or from a YAML file.

    Args:
        name_or_path: A name of `config_names`, or a path that ends in .yaml or .yml.
        overrides: Values that override the config's.

    Raises:
        ConfigError: No such config or file, invalid YAML, an unknown key or a wrong type; names the key.
    """
    raw = read_yaml(named_file(name_or_path, _PACKAGE, "config"), name_or_path)
    if raw is not None and not isinstance(raw, dict):
        raise ConfigError(f"{name_or_path} is not a mapping", hint="write `key: value` lines, as in paper.yaml")
    return checked(TrainConfig, {**(raw or {}), **(overrides or {})}, name_or_path)
