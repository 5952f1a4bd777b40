"""The specialist as a judge: a check passes if the score of its class reaches the threshold of its modality.

A network that gets one modality gives the same answer whether the other is present or not, so the cross-modal checks
repeat the unimodal ones by design, and each network runs once per clip.
"""

from dataclasses import dataclass

from mma_bench.builders.judges.contracts import Verdict, View, require_modality
from mma_bench.config import JudgeParams
from mma_bench.models.specialist.specialist import Specialist
from mma_bench.schema import Modality


@dataclass(frozen=True)
class SpecialistJudge:
    """A `Judge`.

    Attributes:
        params: Frames and thresholds.
        specialist: The two networks.
    """

    params: JudgeParams
    specialist: Specialist

    @property
    def name(self) -> str:
        return self.specialist.name

    @property
    def revision(self) -> str:
        return self.specialist.revision(self.params.model_dump())

    def knows(self, modality: Modality, class_name: str) -> bool:
        return class_name in (self.specialist.seen if modality == "visual" else self.specialist.heard)

    def ask(self, view: View, modality: Modality, class_name: str) -> Verdict:
        if not self.knows(modality, class_name):
            raise ValueError(f"{self.name} does not know {class_name} ({modality})")
        score = self.scores(view, modality)[class_name]
        threshold = self.params.visual_threshold if modality == "visual" else self.params.audio_threshold
        return Verdict(yes=score >= threshold, score=score)

    def scores(self, view: View, modality: Modality) -> dict[str, float]:
        """The score of every class that the judge knows in this modality."""
        require_modality(view, modality)
        if modality == "visual":
            assert view.frames is not None
            return self.specialist.sees(view.frames)
        assert view.audio is not None
        return self.specialist.hears(view.audio)
