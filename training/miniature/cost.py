"""What a remedy costs: processor time per question, of the plain model and of each remedy on the same clips.

It is measured in one process with one thread, after each has answered one clip, and includes decoding. The times of a
run's own jobs would not do: they include the start of a program, and two jobs run at a time.
"""

import time
from pathlib import Path
from typing import Any, Final

from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.protocols import Protocol, Sampling, prompts_of
from mma_bench.files import write_json
from mma_bench.models import load_config
from mma_bench.models.contracts import ClipTask
from mma_bench.models.omni.engine import OmniEngine, OmniSettings
from mma_bench.models.omni.load import load_thinker, locate
from mma_bench.schema import Condition
from mma_bench.training.miniature.seed import HERE, REMEDIES

CLIPS: Final = 12


def costs(model: Path, base: Path, dataset: Path, clips: int = CLIPS) -> dict[str, float]:
    """State → processor seconds per question, for `base` and each remedy.

    Args:
        model: The YAML file of the miniature's model.
        base: The checkpoint.
        dataset: The miniature's dataset.
        clips: Number of misaligned test clips.
    """
    shared = load_config(str(model)).settings | {"checkpoint": str(base)}
    loaded = load_thinker(locate(str(base), None, "config.json"), dtype="auto", device_map="cpu", attention="sdpa")
    tasks = _tasks(dataset, clips)
    states: dict[str, dict[str, Any]] = {"base": {}, **REMEDIES}
    found = {}
    for state, remedy in states.items():
        engine = OmniEngine(OmniSettings(**shared, **remedy), loaded=loaded)
        engine.answer(tasks[:1])
        began = time.process_time()
        answered = engine.answer(tasks)
        found[state] = (time.process_time() - began) / sum(map(len, answered))
    return found


def _tasks(dataset: Path, clips: int) -> list[ClipTask]:
    rows = list(Benchmark(str(dataset), split="test").rows(Condition.MISALIGNED))[:clips]
    return [
        ClipTask(
            row["id"],
            row["video"]["bytes"],
            row["condition"],
            row["visual_class"],
            row["audio_class"],
            tuple(prompts_of(row, (Protocol.FORCED_CHOICE,), Sampling())),
        )
        for row in rows
    ]


def main(base: Path, dataset: Path, out: Path) -> None:
    """Write the costs as JSON."""
    write_json(out, costs(HERE / "model.yaml", base, dataset))
