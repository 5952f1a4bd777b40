"""mma-bench: builds, checks and packages a benchmark of sight, sound and text in conflict (arXiv 2511.22826).

`builders` turns AudioSet into aligned clips and conflict variants, `validation` gates every table between two stages,
`evaluation` queries models and scores their answers, `training` tunes them. The names in `__all__` are the stable
public API for notebooks; docs/python.md shows each. They are imported on first use.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mma_bench.errors import MmaBenchError
    from mma_bench.evaluation.dataset import Benchmark, load_benchmark
    from mma_bench.evaluation.infer import Plan, infer
    from mma_bench.evaluation.parse import parse_answer
    from mma_bench.evaluation.predictions import Prediction, read_predictions
    from mma_bench.evaluation.protocols import OptionOrder, Protocol, Sampling, prompts_of
    from mma_bench.evaluation.score import score
    from mma_bench.models import open_engine
    from mma_bench.models.contracts import Answer, ClipTask, Engine, Prompt

__all__ = [
    "Answer",
    "Benchmark",
    "ClipTask",
    "Engine",
    "MmaBenchError",
    "OptionOrder",
    "Plan",
    "Prediction",
    "Prompt",
    "Protocol",
    "Sampling",
    "infer",
    "load_benchmark",
    "open_engine",
    "parse_answer",
    "prompts_of",
    "read_predictions",
    "score",
]

__version__ = version("mma-bench")

_MODULES: Final = {
    "mma_bench.errors": ("MmaBenchError",),
    "mma_bench.evaluation.dataset": ("Benchmark", "load_benchmark"),
    "mma_bench.evaluation.infer": ("Plan", "infer"),
    "mma_bench.evaluation.parse": ("parse_answer",),
    "mma_bench.evaluation.predictions": ("Prediction", "read_predictions"),
    "mma_bench.evaluation.protocols": ("OptionOrder", "Protocol", "Sampling", "prompts_of"),
    "mma_bench.evaluation.score": ("score",),
    "mma_bench.models": ("open_engine",),
    "mma_bench.models.contracts": ("Answer", "ClipTask", "Engine", "Prompt"),
}
_HOME: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, from the module that defines it (PEP 562): `import mma_bench` itself loads nothing heavy."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
