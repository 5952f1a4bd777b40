"""Whether the clips were selected by a judge of the same model family, which favours clips it finds easy.

In: run.json, which has the model's identity and the judges' names from the dataset's column `judge`.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from mma_bench.evaluation.dataset import Benchmark

# Substrings of model and judge names that identify their family.
FAMILIES: Final = {
    "specialist": "YAMNet and EfficientNet-Lite2",
    "qwen": "Qwen",
    "gemini": "Gemini",
    "videollama": "VideoLLaMA",
    "pandagpt": "PandaGPT",
    "chatbridge": "ChatBridge",
}


def judges_of(run: Mapping[str, Any], dataset: Path | None) -> list[str]:
    """The judges that selected the clips: from run.json, else from the dataset; empty if neither records them."""
    if run.get("judge") or dataset is None:  # runs of older versions do not record them
        return list(run.get("judge", []))
    return Benchmark(str(dataset), split=run["split"]).judges()


def circular(run: Mapping[str, Any], judges: Iterable[str]) -> str | None:
    """A warning if the judge and the evaluated model are of the same family, else None."""
    settings = run["settings"]
    named = (run["model"], *map(settings.get, ("engine", "checkpoint", "model")))
    asked = {family for name in named for family in _families(name)}
    # If no judge is recorded, assume the default build's judge.
    judging = {family for judge in list(judges) or ["specialist"] for family in _families(judge)}
    both = sorted(FAMILIES[family] for family in asked & judging)
    if not both:
        return None
    return (
        f"The judge that selected these clips and the evaluated model are of the same family ({both[0]}): clips "
        "that this family finds hard were excluded, so its accuracy on aligned clips is inflated, and it has an "
        "advantage over other models under every condition."
    )


def _families(name: Any) -> list[str]:
    reduced = re.sub(r"[^a-z0-9]", "", str(name).casefold())
    return [family for family in FAMILIES if family in reduced]
