"""Drops aligned clips that cannot be in the dataset together with the others, each with its reason.

What a clip is on its own was checked by `normalise` and the judge. The rules here are about clips beside each other:

| reason | meaning |
|---|---|
| `other_licence` | its terms are none of `package.licences`, if there are any |
| `same_video`, `same_picture`, `same_sound` | a train clip shares its source video or a stream with a test clip |
| `same_file` | both were made from one file, under two ids; cut for its split, each has its own streams |
| `near_duplicate` | the perceptual hash of a train clip differs from a test clip's in few bits |
| `no_donor` | too few classes have a sound that is long enough for the clip's misaligned variants |

Of a test and a train clip that share something, the train clip is dropped: models are compared on the test split.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from mma_bench.licences import licence_of
from mma_bench.near_hashes import Hashes, nearest_within
from mma_bench.schema import Split

_SHARED: Final = {
    "same_video": "video_id",
    "same_file": "source_sha256",
    "same_picture": "video_sha256",
    "same_sound": "audio_sha256",
}


def unlicensed(clips: pl.DataFrame, licences: Sequence[str] | None) -> dict[str, tuple[str, str]]:
    """Clip → the reason to drop it and its terms; none if all licences are allowed.

    Args:
        clips: Columns clip_id, licence.
        licences: The allowed ones, see `mma_bench.licences`; None allows all.
    """
    if licences is None:
        return {}
    return {
        clip_id: ("other_licence", terms)
        for clip_id, terms in clips.select("clip_id", "licence").iter_rows()
        if licence_of(terms) not in licences
    }


def leaks(clips: pl.DataFrame, bits: int) -> dict[str, tuple[str, str]]:
    """Train clip → the reason to drop it and the test clip that it resembles.

    Args:
        clips: Columns clip_id, split, video_id, source_sha256 (of the file as it was acquired), video_sha256,
            audio_sha256, phash (16 hex digits).
        bits: Perceptual hashes that differ in at most this many bits, 0 to 64, count as one picture.
    """
    test, train = (clips.filter(pl.col("split") == split).sort("clip_id") for split in (Split.TEST, Split.TRAIN))
    found: dict[str, tuple[str, str]] = {}
    for reason, column in _SHARED.items():
        first = test.unique(column, keep="first", maintain_order=True).select(column, twin="clip_id")
        for clip_id, twin in train.join(first, on=column, how="inner").select("clip_id", "twin").iter_rows():
            found.setdefault(clip_id, (reason, twin))
    for clip_id, twin in _near(test, train, bits):
        found.setdefault(clip_id, ("near_duplicate", twin))
    return found


def _near(test: pl.DataFrame, train: pl.DataFrame, bits: int) -> Iterator[tuple[str, str]]:
    """(train clip, nearest test clip) where the perceptual hashes are at most `bits` apart."""
    if test.is_empty() or train.is_empty():
        return
    _, nearest = nearest_within(_hashes(train), _hashes(test), bits)
    for row in np.flatnonzero(nearest >= 0).tolist():
        yield train["clip_id"][row], test["clip_id"][int(nearest[row])]


def _hashes(clips: pl.DataFrame) -> Hashes:
    return np.array([int(text, 16) for text in clips["phash"]], dtype=np.uint64)


def without_donors(clips: pl.DataFrame, donors: Mapping[str, int], slack_s: float) -> list[str]:
    """The clips that have fewer than `donors[split]` classes with a usable donor; see the stage `pair`.

    A dropped clip is no donor either, so the rule is applied until it drops nothing. A split that has too few classes
    for any clip is left as it is: what is wrong there is the number, and `pair` says so.

    Args:
        clips: Columns clip_id, split, video_id, class_name, video_duration_s, audio_duration_s (seconds).
        donors: Split → donors per clip.
        slack_s: A donor's sound may end this much before the base's picture.
    """
    dropped: list[str] = []
    for (split,), rows in clips.group_by("split"):
        needed, left = donors.get(str(split), 0), rows
        while left["class_name"].n_unique() > needed:
            enough = _classes_with_a_donor(left, slack_s) >= needed
            if enough.all():
                break
            dropped += left.filter(~enough)["clip_id"].to_list()
            left = left.filter(enough)
    return sorted(dropped)


def _classes_with_a_donor(clips: pl.DataFrame, slack_s: float) -> pl.Series:
    """For each clip, the number of other classes with a long enough sound that is not from the clip's own video."""
    # The longest sound of a class serves every clip but those of its own video; these need that of another video.
    longest = (
        clips.group_by("class_name", "video_id")
        .agg(pl.col("audio_duration_s").max())
        .sort("audio_duration_s", descending=True)
        .group_by("class_name")
        .agg(
            first_s=pl.first("audio_duration_s"),
            video=pl.first("video_id"),
            second_s=pl.col("audio_duration_s").get(1, null_on_oob=True),
        )
        .sort("class_name")
    )
    needed_s = clips["video_duration_s"].to_numpy()[:, None] - slack_s
    own_class = clips["class_name"].to_numpy()[:, None] == longest["class_name"].to_numpy()
    own_video = clips["video_id"].to_numpy()[:, None] == longest["video"].to_numpy()
    sound_s = np.where(own_video, longest["second_s"].fill_null(-1.0).to_numpy(), longest["first_s"].to_numpy())
    return pl.Series("classes", ((sound_s >= needed_s) & ~own_class).sum(axis=1), dtype=pl.Int64())
