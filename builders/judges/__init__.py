"""Judges: who answers the yes/no checks of appendix B.1, "Is the cat clearly visible / audible in this video?".

`specialist` are two small networks, `omni` is the paper's judge through transformers, `omni_server` the same behind an
OpenAI-compatible server, `encoders` are two zero-shot encoders with thresholds of their own for every class.
"""

from typing import Final

from mma_bench import extras
from mma_bench.builders.judges.contracts import Judge
from mma_bench.config import EncoderJudgeParams, JudgeParams, JudgeSection, RayParams
from mma_bench.executor.memory import workers_that_fit
from mma_bench.media import SAMPLE_RATE

# Measured: 0.75 GB on clips of 1920×1080, 1.03 GB on clips of 3840×2160.
SPECIALIST_BYTES: Final = 1_000_000_000


def open_judge(params: JudgeSection) -> Judge:
    """The judge configured in params.yaml, its weights checked or fetched; networks load on first use.

    Raises:
        ConfigError: A setting of its model cannot be used, or a key is missing.
        MmaBenchError: Its weights or its client are not available.
        MissingExtra: It needs packages that are not installed.
    """
    if isinstance(params, JudgeParams):
        from mma_bench.builders.judges.specialist import SpecialistJudge
        from mma_bench.models.specialist.specialist import Specialist

        return SpecialistJudge(params, Specialist.fetched())
    if isinstance(params, EncoderJudgeParams):
        extras.require(f"judge: {params.name}", "local")
        from mma_bench.builders.judges.encoders import EncoderJudge

        return EncoderJudge.calibrated(params)
    if params.name == "omni":
        extras.require(f"judge: {params.name}", "local")
        from mma_bench.builders.judges.omni import OmniJudge

        return OmniJudge.located(params)
    from mma_bench.builders.judges.omni_server import OmniServerJudge

    return OmniServerJudge.configured(params)


def open_for_calibration(params: JudgeSection) -> Judge:
    """The same judge for choosing thresholds: its scores and its revision do not depend on any."""
    if isinstance(params, JudgeParams):
        return open_judge(params.model_copy(update={"visual_threshold": 0.0, "audio_threshold": 0.0}))
    if isinstance(params, EncoderJudgeParams):
        extras.require(f"judge: {params.name}", "local")
        from mma_bench.builders.judges.encoders import EncoderJudge
        from mma_bench.models.encoders.encoders import Encoders

        return EncoderJudge(Encoders.located(params), None)
    return open_judge(params)


def sample_rate(params: JudgeSection) -> int:
    """Of the sound that the judge is given, in Hz."""
    if isinstance(params, EncoderJudgeParams):
        from mma_bench.models.encoders import encoders

        return encoders.SAMPLE_RATE
    return SAMPLE_RATE


def worker_count(params: JudgeSection, workers: int, title: str, ray: RayParams | None = None) -> int:
    """Processes for a judge: its own number, or of the specialist as many of `workers` as fit into memory.

    On Ray, which knows the memory of its machines, it is all of `workers`.
    """
    if not isinstance(params, JudgeParams):
        return params.processes
    return workers if ray is not None else workers_that_fit(workers, SPECIALIST_BYTES, title)
