"""The zero-shot encoders as a judge: a check passes if the score of its class reaches the class's own threshold.

As with the specialist, the cross-modal checks repeat the unimodal ones by design, since neither encoder has access to
the other modality.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from mma_bench.builders.judges.contracts import Verdict, View, require_modality
from mma_bench.config import EncoderJudgeParams
from mma_bench.errors import ConfigError
from mma_bench.files import fingerprint
from mma_bench.models.encoders.encoders import SAMPLE_RATE, Encoders
from mma_bench.models.encoders.thresholds import CALIBRATE, Thresholds, read_thresholds
from mma_bench.schema import MODALITIES, Modality


@dataclass
class EncoderJudge:
    """A `Judge`.

    Attributes:
        encoders: Give the scores.
        thresholds: By modality and class; None while they are being chosen: every check passes.
    """

    encoders: Encoders
    thresholds: Thresholds | None
    _latest: dict[Modality, tuple[object, dict[str, float]]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def calibrated(cls, params: EncoderJudgeParams) -> Self:
        """With the thresholds of params.yaml.

        Raises:
            ConfigError: There are none, or they were chosen for other encoders, or a class has none; says what to do.
            MmaBenchError: A checkpoint is not available.
        """
        thresholds, chosen_for = read_thresholds(params)  # first: a download would take minutes
        encoders = Encoders.located(params)
        if chosen_for != {encoders.revision}:
            raise ConfigError(
                f"{params.thresholds}: the thresholds were chosen for encoders of revision "
                f"{', '.join(sorted(chosen_for))}, but those of params.yaml are of revision {encoders.revision}",
                hint=CALIBRATE,
            )
        for modality in MODALITIES:
            if missing := sorted(encoders.prompts[modality].keys() - thresholds[modality].keys()):
                raise ConfigError(f"{params.thresholds}: no {modality} threshold for {missing[0]}", hint=CALIBRATE)
        return cls(encoders, thresholds)

    @property
    def name(self) -> str:
        return self.encoders.name

    @cached_property
    def revision(self) -> str:
        return fingerprint(self.encoders.revision, self.thresholds)[:16]

    def knows(self, modality: Modality, class_name: str) -> bool:
        return class_name in self.encoders.prompts[modality]

    def ask(self, view: View, modality: Modality, class_name: str) -> Verdict:
        if not self.knows(modality, class_name):
            raise ValueError(f"{self.name} does not know {class_name} ({modality})")
        score = self.scores(view, modality)[class_name]
        threshold = 0.0 if self.thresholds is None else self.thresholds[modality][class_name]
        return Verdict(yes=score >= threshold, score=score)

    def scores(self, view: View, modality: Modality) -> dict[str, float]:
        """The score of every class that has prompts; those of the latest array are kept for its other checks."""
        require_modality(view, modality)
        content = view.frames if modality == "visual" else view.audio
        if modality not in self._latest or self._latest[modality][0] is not content:
            if modality == "visual":
                assert view.frames is not None
                found = self.encoders.sees(view.frames)
            else:
                assert view.audio is not None
                if view.sample_rate != SAMPLE_RATE:
                    raise ValueError(f"the sound has {view.sample_rate} Hz, not {SAMPLE_RATE}")
                found = self.encoders.hears(view.audio)
            self._latest[modality] = content, found
        return self._latest[modality][1]
