"""How the clip of each condition is written: for the build, and again for `publish rebuild`."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

from mma_bench.media import edit, picture_steps, sound_shift, sound_steps
from mma_bench.schema import Condition, Manipulation


@dataclass(frozen=True)
class Order:
    """The clip to write.

    Attributes:
        name: The row's id, from which all noise is drawn.
        base: Whose picture it is.
        donor: Whose sound is heard; None if it is the base's own.
        out: The MP4 file to write.
        slack_s: The donor's sound may end this much (in seconds) before the base's picture.
        manipulation: The step, where the condition has some.
        level: In the manipulation's unit; None if it has none.
    """

    name: str
    base: Path
    donor: Path | None
    out: Path
    slack_s: float
    manipulation: str | None = None
    level: float | None = None

    @property
    def step(self) -> Manipulation:
        """The manipulation of a condition with steps."""
        return Manipulation(self.manipulation or "")

    @property
    def amount(self) -> float:
        """The level of a manipulation that has one."""
        assert self.level is not None, self.name
        return self.level

    @property
    def sound(self) -> Path:
        """The donor of a condition with one."""
        assert self.donor is not None, self.name
        return self.donor

    @property
    def seed(self) -> int:
        """A 63-bit hash of the name."""
        return int.from_bytes(hashlib.blake2b(self.name.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Written:
    """What is to be known of a written clip besides its facts.

    Attributes:
        sound_of: The clip whose audio packets were copied; None if the sound was encoded.
        taken: How many of them, from the first; None: all.
        audio_sha256: The hash of the packets that the sound must have, where they are not simply those.
        level_measured: See `schema.VARIANTS`, as `base_likeness`.
    """

    sound_of: Path | None = None
    taken: int | None = None
    audio_sha256: str | None = None
    level_measured: float | None = None
    base_likeness: float | None = None


Writer: TypeAlias = Callable[[Order], Written]


def _misaligned(order: Order) -> Written:
    taken = edit.misalign(order.base, order.sound, order.out, slack_s=order.slack_s)
    return Written(order.sound, taken)


def _audio_removed(order: Order) -> Written:
    edit.remove_audio(order.base, order.out)
    return Written()


def _frames_zeroed(order: Order) -> Written:
    edit.zero_frames(order.base, order.out)
    return Written(order.base)


def _degraded_audio(order: Order) -> Written:
    level = sound_steps.degrade_audio(
        order.base, order.sound, order.out, snr_db=order.amount, seed=order.seed, slack_s=order.slack_s
    )
    return Written(level_measured=level)


def _mixed_audio(order: Order) -> Written:
    level = sound_steps.mix_audio(order.base, order.sound, order.out, level_db=order.amount, slack_s=order.slack_s)
    return Written(level_measured=level)


def _degraded_video(order: Order) -> Written:
    made = picture_steps.degrade_video(
        order.base,
        order.sound,
        order.out,
        manipulation=order.step,
        percent=order.amount,
        slack_s=order.slack_s,
    )
    return Written(order.sound, made.taken, level_measured=made.percent)


def _absent_audio(order: Order) -> Written:
    likeness = sound_steps.replace_audio(order.base, order.out, manipulation=order.step, seed=order.seed)
    return Written(base_likeness=likeness)


def _absent_video(order: Order) -> Written:
    likeness = picture_steps.replace_video(order.base, order.out, manipulation=order.step, seed=order.seed)
    return Written(order.base, base_likeness=likeness)


def _shifted_audio(order: Order) -> Written:
    made = sound_shift.shift_sound(order.base, order.out, shift_s=order.amount)
    return Written(audio_sha256=made.audio_sha256, level_measured=made.shift_s)


# Under every other condition the file is the aligned clip's own.
WRITERS: Final[Mapping[Condition, Writer]] = MappingProxyType(
    {
        Condition.MISALIGNED: _misaligned,
        Condition.THREE_WAY: _misaligned,  # for `publish rebuild`; the build points at the misaligned clip
        Condition.AUDIO_REMOVED: _audio_removed,
        Condition.FRAMES_ZEROED: _frames_zeroed,
        Condition.DEGRADED_AUDIO: _degraded_audio,
        Condition.MIXED_AUDIO: _mixed_audio,
        Condition.DEGRADED_VIDEO: _degraded_video,
        Condition.SHIFTED_AUDIO: _shifted_audio,
        Condition.ABSENT_AUDIO: _absent_audio,
        Condition.ABSENT_VIDEO: _absent_video,
    }
)
# In the fingerprint of a clip with steps, so that a change of what is written or measured makes it again.
STEPS_VERSION: Final = f"{sound_steps.VERSION}.{picture_steps.VERSION}.{sound_shift.VERSION}"
