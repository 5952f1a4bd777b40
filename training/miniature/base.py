"""Trains the miniature's base model on aligned clips until it names what it sees and what it hears.

In: `base.yaml` and a seed. Out: a checkpoint folder that `evaluate` and `train` load like any other, with `base.json`,
its metadata. The training data are in `lessons.py`; clips are decoded and processed by the code of `evaluate` and
`train`. All weights are trained, including the towers: this is pretraining, not part of the tuning that is shown. Equal
arguments give equal weights on the same machine.
"""

import math
import shutil
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import click
from pydantic import BeforeValidator, Field, TypeAdapter, model_validator

from mma_bench.config import Count, Fraction, Namespace, Positive
from mma_bench.errors import ConfigError, MmaBenchError
from mma_bench.files import write_json
from mma_bench.progress import Progress
from mma_bench.schema import Modality
from mma_bench.settings import checked, read_yaml
from mma_bench.tables import read_json
from mma_bench.training.miniature.checkpoint import Sizes, make_checkpoint
from mma_bench.training.miniature.lessons import CLASS_ASKED, KINDS, Lessons, drawn

BASE: Final = Path(__file__).with_name("base.yaml")
FACTS: Final = "base.json"
_BETAS: Final = (0.9, 0.98)
_MAX_GRAD_NORM: Final = 1.0
_CACHE_BYTES: Final = 2_000_000_000

Share = Annotated[float, Field(ge=0)]


class Shares(Namespace):
    """Relative share of each kind of example (`lessons.py`)."""

    aligned: Positive
    levels: Share
    silent: Share = 0.0
    soundless: Share = 0.0
    black: Share = 0.0


class Balance(Namespace):
    """How the base model is kept unbiased between the modalities (`balance.py`)."""

    every: Count  # steps between two probes
    gain: Positive  # see `balance.shift`
    clips_per_class: Count  # conflicting clips used as probes, never trained on


class Phase(Namespace):
    """One phase of training: a warm-up, then cosine decay to 0."""

    steps: Count
    learning_rate: Positive
    shares: Shares
    balanced: bool = False

    @model_validator(mode="after")
    def _can_be_balanced(self) -> "Phase":
        if self.balanced and not (self.shares.silent and self.shares.black):
            raise ValueError("a balanced phase needs shares of silent and black")
        return self


def _sizes(value: object) -> Sizes:
    """The mapping as `Sizes`; pydantic would ignore unknown keys of a dataclass."""
    if isinstance(value, Sizes):
        return value
    known = {field.name for field in fields(Sizes)}
    if not isinstance(value, dict):
        raise ValueError("must be a mapping")
    if unknown := set(value) - known:
        raise ValueError(f"has no {', '.join(map(str, unknown))}; its keys are {', '.join(sorted(known))}")
    return TypeAdapter(Sizes).validate_python(value)


class BaseParams(Namespace):
    """`base.yaml`."""

    sizes: Annotated[Sizes, BeforeValidator(_sizes)]
    pixels: Count  # per frame, as the model sees it
    clips_per_class: Count
    blanked_per_class: Count  # additional clips, for each way to remove a modality
    phases: Annotated[list[Phase], Field(min_length=1)]
    balance: Balance
    batch: Count
    warmup: Fraction  # fraction of a phase's steps
    weight_decay: Annotated[float, Field(ge=0)]


def load_base_params(path: Path = BASE) -> BaseParams:
    """Read `base.yaml`.

    Raises:
        ConfigError: No such file, invalid YAML, an unknown key or a wrong type; names the key.
    """
    return checked(BaseParams, read_yaml(path, path), path)


def main(params: BaseParams, seed: int, out: Path, source: str = BASE.name) -> None:
    """Make the checkpoint `out`, or do nothing if it exists.

    Args:
        params: From `base.yaml`.
        seed: For weights, clips and order.
        out: A folder that does not exist, or holds the checkpoint of this configuration.
        source: Name of the configuration, for messages.

    Raises:
        ConfigError: `out` holds something else.
        MmaBenchError: The loss is not finite.
    """
    asked = {"seed": seed, "params": params.model_dump(mode="json")}
    if out.exists():
        facts = read_json(out / FACTS) if (out / FACTS).is_file() else {}
        if {key: facts.get(key) for key in asked} != asked:
            raise ConfigError(
                f"{out} is not the base model of {source} with seed {seed}",
                hint="remove it, or choose another --out",
            )
        print(f"{out} exists; nothing to do", file=sys.stderr)
        return
    began = time.monotonic()
    beside = out.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        make_checkpoint(beside, seed=seed, sizes=params.sizes)
        thinker, losses, looks = pretrain(beside, params, seed)
        thinker.save_pretrained(beside)
        facts = {**asked, "losses": losses, "looks": looks, "seconds": round(time.monotonic() - began, 1)}
        write_json(beside / FACTS, facts)
        beside.rename(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def pretrain(
    folder: Path, params: BaseParams, seed: int, look: Callable[[int, Any], None] | None = None
) -> tuple[Any, list[float], list[dict[str, float]]]:
    """Train the checkpoint in `folder`, which is not modified.

    Args:
        folder: A thinker with random weights, with its processor.
        params: From `base.yaml`.
        seed: For clips and order.
        look: Called after each step with its number, from 1, and the thinker.

    Returns:
        The thinker in eval mode; the loss of each step, the mean over the answers' tokens, in nats; and, for each
        probe with conflicts, `step`, `visual` and `audio` (accuracies, 0 to 1) and `black`, the resulting share.

    Raises:
        MmaBenchError: The loss is not finite; names the step.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from mma_bench.models.omni.load import load_thinker, locate
    from mma_bench.training.collate import Collate
    from mma_bench.training.examples import IGNORED
    from mma_bench.training.miniature.balance import answer_logits, lean, shift

    thinker, processor = load_thinker(
        locate(str(folder), None, "config.json"), dtype="float32", device_map="cpu", attention="sdpa"
    )
    lessons = Lessons(
        seed,
        whole=params.clips_per_class,
        blanked=params.blanked_per_class,
        conflicts=params.balance.clips_per_class,
    )
    rows = {kind: lessons.rows(kind) for kind in KINDS}
    ends = [sum(len(rows[kind]) for kind in KINDS[: index + 1]) for index in range(len(KINDS))]
    pools = {kind: range(end - len(rows[kind]), end) for kind, end in zip(KINDS, ends, strict=True)}
    examples = _examples(lessons, [row for kind in KINDS for row in rows[kind]], thinker, processor, params.pixels)
    collate = Collate(examples.longest_answer + 1, int(processor.tokenizer.pad_token_id))
    conflicts = _examples(lessons, lessons.rows("conflict"), thinker, processor, params.pixels)
    asked: dict[Modality, list[Any]] = {
        question: [conflicts[index] for index, row in enumerate(conflicts.rows) if row["prompt"] == prompt]
        for question, prompt in CLASS_ASKED.items()
    }
    losses: list[float] = []
    looks: list[dict[str, float]] = []
    thinker.train()
    with Progress(f"base model, seed {seed}", sum(phase.steps for phase in params.phases), "step") as progress:
        for number, phase in enumerate(params.phases):
            optimizer = torch.optim.AdamW(
                thinker.parameters(), lr=phase.learning_rate, betas=_BETAS, weight_decay=params.weight_decay
            )
            pace = partial(_pace, steps=phase.steps, warmup=params.warmup)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, pace)
            shares: dict[Any, float] = phase.shares.model_dump()
            order = drawn(pools, shares, len(params.phases) * seed + number)
            for _ in range(phase.steps):
                batch = collate([examples[index] for index in islice(order, params.batch)])
                if faults := batch.pop("faults"):
                    raise MmaBenchError(next(iter(faults.values())))
                del batch["example_ids"]
                logits, labels = answer_logits(thinker, batch)
                loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
                losses.append(float(loss.detach()))
                if not math.isfinite(losses[-1]):
                    raise MmaBenchError(
                        f"the loss at step {len(losses)} is {losses[-1]}", hint="lower the phase's learning_rate"
                    )
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(thinker.parameters(), _MAX_GRAD_NORM)
                optimizer.step()
                schedule.step()
                progress.advance()
                if phase.balanced and len(losses) % params.balance.every == 0:
                    visual, audio = lean(thinker, asked, collate)
                    shift(shares, visual, audio, params.balance.gain)
                    looks.append({"step": len(losses), "visual": visual, "audio": audio, "black": shares["black"]})
                if look is not None:
                    look(len(losses), thinker)
    return thinker.eval(), losses, looks


def _examples(lessons: Lessons, rows: list[dict[str, str]], thinker: Any, processor: Any, pixels: int) -> Any:
    """Examples of the rows, made as `train` makes those of the SFT table."""
    from mma_bench.models.omni.inputs import InputMaker
    from mma_bench.training.examples import ExampleSet, HeadCache

    return ExampleSet(
        rows,
        lessons,
        InputMaker(processor, system=None, size={"shortest_edge": pixels, "longest_edge": pixels}),
        processor.video_processor,
        thinker.get_rope_index,
        fps=2.0,
        max_frames=None,
        cache=HeadCache(_CACHE_BYTES),
    )


def _pace(step: int, steps: int, warmup: float) -> float:
    """The learning rate for step `step` + 1 of a phase, as a fraction of its peak."""
    warm = warmup * steps
    return min(1.0, (step + 1) / warm if warm else 1.0) * 0.5 * (1 + math.cos(math.pi * step / steps))


@click.command()
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), default=BASE, show_default="base.yaml")
@click.option("--seed", type=click.IntRange(min=0), required=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
def command(config: Path, seed: int, out: Path) -> None:
    """Train the miniature's base model."""
    main(load_base_params(config), seed, out, str(config))
