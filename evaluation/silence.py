"""What a model gets where the sound is removed: silence, or no audio track.

The paper replaces the sound by silence (sections 4.1.2, Table 2, Figure 4) and once speaks of stripping it (section
4.1.1). The dataset's `audio_removed` clips have a track of digital silence. By default models hear it, which takes as
many audio tokens as any sound; without the track there are no audio tokens at all.
"""

from enum import StrEnum

from mma_bench.schema import Condition


class Silence(StrEnum):
    """What becomes of the silent track of `audio_removed`."""

    KEEP = "keep"  # models hear silence
    DROP = "drop"  # models get no audio track


def hears(condition: str, silence: Silence) -> bool:
    """Whether a model gets the audio track of a clip under this condition."""
    return condition != Condition.AUDIO_REMOVED or silence is Silence.KEEP
