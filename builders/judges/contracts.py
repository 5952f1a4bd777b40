"""A judge's input and answer, and the Protocol.

The stage decodes a clip once and hands a judge a `View` of it. A view carries arrays and no path, so the withheld
modality cannot be reached in any way: that is what makes the unimodal checks unimodal.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mma_bench.media import SAMPLE_RATE
from mma_bench.schema import Modality


@dataclass(frozen=True, eq=False)
class View:
    """A judge's input for one clip.

    Attributes:
        duration_s: Of the clip, in seconds.
        frames: uint8 [T, height, width, 3] RGB, evenly spread over the clip, in native geometry; None: withheld.
        audio: float32 [samples] mono, -1 to 1; None: withheld.
        sample_rate: Of the audio, in Hz.
    """

    duration_s: float
    frames: NDArray[np.uint8] | None
    audio: NDArray[np.float32] | None
    sample_rate: int = SAMPLE_RATE

    def only(self, modality: Modality) -> "View":
        """The same clip with the other modality withheld."""
        if modality == "visual":
            return replace(self, audio=None)
        return replace(self, frames=None)


@dataclass(frozen=True)
class Verdict:
    """A judge's answer to one check.

    Attributes:
        yes: Whether the class is clearly visible, or audible.
        score: 0 (surely not) to 1 (surely).
        words: The judge's reply; None if it does not generate text.
    """

    yes: bool
    score: float
    words: str | None = None


class Judge(Protocol):
    """Answers checks, deterministically: the same question about the same view gets the same answer on every run.

    Attributes:
        name: For the verdicts and the dataset card.
        revision: Changes with anything that an answer depends on: weights, class maps, thresholds, rules.
    """

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    def knows(self, modality: Modality, class_name: str) -> bool:
        """Whether the judge could answer yes at all for this class; if not, it must not be asked."""

    def ask(self, view: View, modality: Modality, class_name: str) -> Verdict:
        """Answer the check of `modality` for `class_name` from the modalities in `view`.

        Raises:
            ValueError: The modality in question is withheld, or the judge does not know the class.
        """


def require_modality(view: View, modality: Modality) -> None:
    """Raises ValueError if the modality in question is withheld."""
    if (view.frames if modality == "visual" else view.audio) is None:
        raise ValueError(f"the view has no {modality} content to ask about")
