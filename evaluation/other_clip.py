"""The condition `other_clip`: a question with the clip of another class; its right answer stays that of the row.

Together with `no_clip` it tells what accuracy the text alone gives. A model that has not seen the answers is at chance
without a clip, and below chance with another one if it trusts the clip. Chen et al., "Are We on the Right Way for
Evaluating Large Vision-Language Models?" (arXiv 2403.20330), ask without the image; the clip of another class is added
here, since a model may refuse to answer about nothing.
"""

import hashlib
from collections.abc import Mapping

from mma_bench.errors import DataError


def drawn(classes: Mapping[str, str], where: str) -> dict[str, str]:
    """The other clip of each clip, of another class, by rendezvous hashing: near-uniform, stable as clips are added.

    Args:
        classes: Clip → class, which picture and sound share.
        where: The dataset, for messages.

    Raises:
        DataError: All clips are of one class.
    """
    if len(set(classes.values())) < 2:
        raise DataError(
            f"{where}: all {len(classes)} clips are of one class, so no clip can be shown in place of another",
            hint="leave out the condition other_clip, or raise --limit",
        )
    return {
        clip: max((other for other in classes if classes[other] != own), key=lambda other: (_hash(clip, other), other))
        for clip, own in classes.items()
    }


def _hash(*parts: str) -> bytes:
    return hashlib.blake2b("\x1f".join(("other_clip", *parts)).encode(), digest_size=8).digest()
