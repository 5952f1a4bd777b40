"""Whether a model is asked about clips that a judge of its own family chose, those that it finds easy.

In: what a run records of its model, and the names of the judges, from the dataset's column `judge`.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from mma_bench.evaluation.dataset import Benchmark
from mma_bench.schema import Condition

# Words in the names of models and judges that tell their family.
FAMILIES: Final = {
    "specialist": "YAMNet and EfficientNet-Lite2",
    "qwen": "Qwen",
    "gemini": "Gemini",
    "videollama": "VideoLLaMA",
    "pandagpt": "PandaGPT",
    "chatbridge": "ChatBridge",
}


def judges_of(run: Mapping[str, Any], dataset: Path | None) -> list[str]:
    """The judges that chose the clips: from the dataset, else from run.json; none where neither says."""
    if dataset is not None:
        rows = Benchmark(str(dataset), split=run["split"]).rows(Condition.ALIGNED, columns=("judge", "base_id"))
        return sorted({row["judge"] for row in rows})
    recorded = run.get("judge", [])
    return [recorded] if isinstance(recorded, str) else list(recorded)


def circular(run: Mapping[str, Any], judges: Iterable[str]) -> str | None:
    """What a reader has to know if the judge and the model asked are of one family, else None."""
    settings = run["settings"]
    named = (run["model"], *map(settings.get, ("engine", "checkpoint", "model")))
    asked = {family for name in named for family in _families(name)}
    # Where nobody says who judged, it may have been the default build's judge.
    judging = {family for judge in list(judges) or ["specialist"] for family in _families(judge)}
    both = sorted(FAMILIES[family] for family in asked & judging)
    if not both:
        return None
    return (
        f"The judge that chose these clips and the model asked are of one family ({both[0]}): clips that this family "
        "finds hard were left out, so its accuracy on aligned clips is no finding, and it has an advantage over other "
        "models under every condition."
    )


def _families(name: Any) -> list[str]:
    reduced = re.sub(r"[^a-z0-9]", "", str(name).casefold())
    return [family for family in FAMILIES if family in reduced]
