"""LoRA on the text model's projections, and checks that nothing else is trained."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from mma_bench.errors import MmaBenchError
from mma_bench.training.config import PROJECTIONS, TrainConfig

_ATTENTION: Final = ("q_proj", "k_proj", "v_proj", "o_proj")
_TRAINED = re.compile(r"(?:.*\.)?language_model\.layers\.\d+\.(?:self_attn|mlp)\.\w+_proj\.lora_[AB]\.\w+\.weight")


def target_modules(projections: Sequence[str]) -> str:
    """A regex that matches these projections in the text model of a thinker or a whole model, and nothing else.

    Plain names and peft's "all-linear" would also match the towers, whose projections have the same names.
    """
    attention = "|".join(name.removesuffix("_proj") for name in PROJECTIONS if name in projections and _attends(name))
    forward = "|".join(name.removesuffix("_proj") for name in PROJECTIONS if name in projections and not _attends(name))
    places = [f"self_attn\\.({attention})_proj"] * bool(attention) + [f"mlp\\.({forward})_proj"] * bool(forward)
    return rf"(.*\.)?language_model\.layers\.\d+\.({'|'.join(places)})"


def _attends(name: str) -> bool:
    return name in _ATTENTION


def _targets(thinker: Any, pattern: str) -> str | list[str]:
    """The pattern, or for a mixture-of-experts thinker the modules' full names.

    peft rewrites such a model's pattern to bare names (q_proj, …), which match the towers, but keeps full names.
    """
    if not hasattr(thinker.config.get_text_config(), "num_experts"):
        return pattern
    names = [name for name, _ in thinker.named_modules() if re.fullmatch(pattern, name)]
    return names or pattern


def apply_lora(thinker: Any, config: TrainConfig, *, revision: str) -> Any:
    """Wrap the thinker in a `PeftModel` in which only the adapter is trainable.

    Raises:
        MmaBenchError: Another parameter is trainable, or none is; names the parameter.
    """
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.scale,
        lora_dropout=config.dropout,
        target_modules=_targets(thinker, target_modules(config.projections)),
        task_type="CAUSAL_LM",
        base_model_name_or_path=config.checkpoint,
        revision=revision,
    )
    try:
        model = get_peft_model(thinker, settings, revision=revision)
    except ValueError as error:
        raise MmaBenchError(
            f"{config.checkpoint} has none of the projections {', '.join(config.projections)}: {error}",
            hint="choose others; a mixture-of-experts thinker has only those of the attention",
        ) from None
    # peft sets this from the model in memory, where it is never right.
    model.peft_config["default"].base_model_name_or_path = config.checkpoint
    refuse_others(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    return model


def refuse_others(names: Iterable[str]) -> None:
    """Require that all parameters belong to the adapter on the text model, and that there are any.

    Raises:
        MmaBenchError: There are none, or others; names the first.
    """
    trainable = list(names)
    others = [name for name in trainable if not _TRAINED.fullmatch(name)]
    if others or not trainable:
        raise MmaBenchError(
            f"{others[0]} is trainable but not part of the adapter" if others else "no parameter is trainable",
            hint="use the versions of transformers and peft that mma-bench requires",
        )


def check_gradients(model: Any) -> None:
    """After the first backward pass: every adapter weight has a gradient, and nothing else does.

    Raises:
        MmaBenchError: Otherwise; names the parameter.
    """
    parameters = list(model.named_parameters())
    refuse_others(name for name, parameter in parameters if parameter.grad is not None)
    without = [name for name, parameter in parameters if parameter.requires_grad and parameter.grad is None]
    if without:
        raise MmaBenchError(f"{without[0]} gets no gradient", hint="set gradient_checkpointing to false")
