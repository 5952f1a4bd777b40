"""Judges: who answers the yes/no checks of appendix B.1, "Is the cat clearly visible / audible in this video?".

`specialist` are two small networks, `omni` is the paper's judge through transformers, `omni_server` the same behind an
OpenAI-compatible server.
"""

from mma_bench.builders.judges.contracts import Judge
from mma_bench.config import JudgeParams, OmniJudgeParams


def open_judge(params: JudgeParams | OmniJudgeParams) -> Judge:
    """The judge configured in params.yaml, its weights checked or fetched; networks load on first use.

    Raises:
        ConfigError: A setting of its model cannot be used, or a key is missing.
        MmaBenchError: Its weights or its client are not available.
    """
    if isinstance(params, JudgeParams):
        from mma_bench.builders.judges.specialist import SpecialistJudge
        from mma_bench.models.specialist.specialist import Specialist

        return SpecialistJudge(params, Specialist.fetched())
    if params.name == "omni":
        from mma_bench.builders.judges.omni import OmniJudge

        return OmniJudge.located(params)
    from mma_bench.builders.judges.omni_server import OmniServerJudge

    return OmniServerJudge.configured(params)
