"""One seed of the miniature: its commands, their order and their expected durations.

Every number comes from the same commands as for the full-size model: `mma-bench train`, `mma-bench adapter
check`, `mma-bench evaluate`. Only the base model is trained by a separate command (`base.py`).
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import mma_bench
from mma_bench import evaluation, layout, training
from mma_bench.evaluation.conditions import CONDITIONS, CONFIGS, WITHOUT_THE_CLIP
from mma_bench.files import file_sha256
from mma_bench.schema import PAPERS_CONDITIONS, Condition
from mma_bench.training.miniature.metrics import cost_file, run_folder
from mma_bench.training.miniature.schedule import Job, run_jobs

HERE: Final = Path("training/miniature")  # relative to the project's root, like all paths of a job
MMA_BENCH: Final = (sys.executable, "-m", "mma_bench.cli")
HALF: Final = "half"  # tuned on half of the classes (appendix H)
# State → the conditions that its LoRA run sees; all have the same number of steps.
TUNED: Final = {
    "tuned": "[aligned, misaligned]",
    "aligned_only": "[aligned]",
    "misaligned_only": "[misaligned]",
    HALF: "[aligned, misaligned]",
}
# State → settings of the engine with which the base is asked. At a strength of 2, steering costs accuracy on aligned
# clips (looked at on a seed that is not reported).
REMEDIES: Final[dict[str, dict[str, Any]]] = {
    "contrastive": {"remedy": "contrastive", "strength": 1.0},
    "fork_merge": {"remedy": "fork_merge", "fork_layers": 2},
    "steering": {"remedy": "steering", "strength": 0.5},
}
_AGREE_OR_CONFLICT: Final = (str(Condition.ALIGNED), str(Condition.MISALIGNED))
# The model's context is too short for the irrelevant text.
_ALL: Final = tuple(
    condition
    for condition in CONDITIONS
    if CONFIGS[condition] in PAPERS_CONDITIONS
    and CONFIGS[condition] != Condition.LONG_CONTEXT
    and condition not in WITHOUT_THE_CLIP
)
ASKED: Final[dict[str, tuple[str, ...]]] = {
    "base": _ALL,
    "tuned": _ALL,
    "aligned_only": _AGREE_OR_CONFLICT,
    "misaligned_only": _AGREE_OR_CONFLICT,
    HALF: _AGREE_OR_CONFLICT,
    **dict.fromkeys(REMEDIES, _AGREE_OR_CONFLICT),
}
LABORATORY_STATES: Final = ("base", "tuned", "aligned_only", "misaligned_only")
# The laboratory asks base, tuned and controls where senses are degraded in steps, `misaligned` being without
# degradation; where the sound is shifted, `aligned` being without a shift; and where picture, sound and caption differ.
LABORATORY: Final = tuple(
    str(condition)
    for condition in (
        Condition.ALIGNED,
        Condition.MISALIGNED,
        Condition.DEGRADED_AUDIO,
        Condition.MIXED_AUDIO,
        Condition.DEGRADED_VIDEO,
        Condition.THREE_WAY,
        Condition.SHIFTED_AUDIO,
    )
)
# Measured on two cores without a GPU; two jobs run at a time, except the base, which uses both cores.
SECONDS: Final = {
    "base": 240.0,
    "train": 115.0,
    "check": 8.0,
    "card": 8.0,
    "ask": 13.0,
    "ask per condition": 4.5,
    "cost": 15.0,
    "laboratory": 115.0,
}
CORES: Final = 2  # at most; more would hardly shorten a seed


def jobs(root: Path, seed: int) -> list[Job]:
    """The jobs of a seed, in starting order.

    Args:
        root: The miniature's project, with the dataset and the SFT data; the seed's folder is created in it.
        seed: For the base model's weights and data, and for the LoRA runs.
    """
    home, dataset = root / f"seed-{seed}", str(root / layout.PACKAGE)
    base = str(home / "base")
    made = [
        Job(
            "base",
            (
                *(sys.executable, "-m", "mma_bench.training.miniature", "base", "--config", str(HERE / "base.yaml")),
                *("--seed", str(seed), "--out", base),
            ),
            SECONDS["base"],
            threads=CORES,
        )
    ]
    for state, conditions in TUNED.items():
        data = root / layout.DATA / ("sft-half" if state == HALF else "sft")
        settings = {"checkpoint": base, "seed": str(seed), "conditions": conditions}
        made.append(
            Job(
                state,
                (
                    *(*MMA_BENCH, "train", "--config", str(HERE / "lora.yaml"), "--sft", str(data)),
                    *("--dataset", dataset, "--out", str(home / state), *_set(settings)),
                ),
                SECONDS["train"],
                ("base",),
            )
        )
    for state, asked in ASKED.items():
        made_by = state if state in TUNED else "base"
        adapter = () if made_by == "base" else ("--adapter", str(home / state / "adapter"))
        given = {"checkpoint": base, **REMEDIES.get(state, {})}
        made.append(
            Job(
                f"ask-{state}",
                (
                    *(*MMA_BENCH, "evaluate", "--model", str(HERE / "model.yaml"), *_set(given)),
                    *(*adapter, "--dataset", dataset, "--conditions", ",".join(asked)),
                    *("--out", str(run_folder(root, seed, state))),
                ),
                SECONDS["ask"] + SECONDS["ask per condition"] * len(asked),
                (made_by,),
            )
        )
    cost = (sys.executable, "-m", "mma_bench.training.miniature", "cost", base, dataset, str(cost_file(root, seed)))
    made.append(Job("cost", cost, SECONDS["cost"], ("base",)))
    for state in LABORATORY_STATES:
        adapter = () if state == "base" else ("--adapter", str(home / state / "adapter"))
        made.append(
            Job(
                f"laboratory-{state}",
                (
                    *(*MMA_BENCH, "evaluate", "--model", str(HERE / "model.yaml"), *_set({"checkpoint": base})),
                    *(*adapter, "--dataset", dataset, "--conditions", ",".join(LABORATORY)),
                    *("--out", str(laboratory_folder(root, seed, state))),
                ),
                SECONDS["laboratory"],
                (state,),
            )
        )
    check = (*MMA_BENCH, "adapter", "check", str(home / "tuned" / "adapter"), "--base", base)
    made.append(Job("check", check, SECONDS["check"], ("tuned",)))
    card = (
        *(*MMA_BENCH, "adapter", "card", str(home / "tuned"), "--base-card", str(HERE / "base_card.md")),
        *("--before", str(run_folder(root, seed, "base")), "--after", str(run_folder(root, seed, "tuned"))),
    )
    made.append(Job("card", card, SECONDS["card"], ("ask-base", "ask-tuned")))
    return made


def laboratory_folder(root: Path, seed: int, state: str) -> Path:
    """Where the answers of a state of a seed under the conditions with steps are."""
    return root / f"seed-{seed}" / "laboratory" / state


def _set(settings: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(part for key, value in settings.items() for part in ("--set", f"{key}={value}"))


def inputs(root: Path) -> dict[str, str]:
    """SHA-256 of all that a seed's results depend on besides its commands: data, settings and the package's code."""
    code = {file for part in (mma_bench, evaluation, training) for file in Path(part.__path__[0]).rglob("*.py")}
    data = [root / layout.PACKAGE / "checksums.sha256"]
    data += [root / layout.DATA / folder / "examples.parquet" for folder in ("sft", "sft-half")]
    return {path.as_posix(): file_sha256(path) for path in sorted([*code, *data, *HERE.glob("*.yaml")])}


def main(root: Path, seed: int) -> None:
    """Run the unfinished jobs of a seed.

    Raises:
        StageError: A job failed; names it and its log.
    """
    cores = min(CORES, os.cpu_count() or 1)
    run_jobs(jobs(root, seed), root / f"seed-{seed}", title=f"seed {seed}", cores=cores, inputs=inputs(root))
