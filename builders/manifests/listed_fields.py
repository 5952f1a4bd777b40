"""The fields of a published clip list: one declared mapping from the names that such lists use to what they mean.

The names in the authors' own lists are not documented, so each role accepts the usual ones. Names are compared in lower
case with every other sign than letters and digits as `_`. A field that is not listed here is not used, and the report
of the import names it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

Role: TypeAlias = Literal[
    "clip", "start", "start_ms", "end", "end_ms", "span", "label", "split",
    "donor", "donor_start", "donor_start_ms", "donor_end", "donor_end_ms", "donor_label",
]  # fmt: skip

NAMES: Final[Mapping[Role, str]] = {
    "clip": """clip clip_id clip_name video video_id video_name video_path video_file video_filename videos
        youtube_id youtube ytid yt_id yid id name file file_name filename file_path path url link key base base_id
        base_clip base_video original original_id original_clip original_video visual visual_id visual_clip
        visual_video source_video original_video aligned aligned_video aligned_id output output_path output_file""",
    "start": "start start_s start_sec start_seconds start_time start_time_s start_time_seconds begin t_start "
    "video_start visual_start base_start original_start",
    "start_ms": "start_ms start_time_ms begin_ms",
    "end": "end end_s end_sec end_seconds end_time end_time_s end_time_seconds t_end video_end visual_end "
    "base_end original_end",
    "end_ms": "end_ms end_time_ms",
    "span": "span times timestamps time_range time_span segment interval",
    "label": """label labels label_name label_id label_ids class class_name class_label category gt gt_label gt_class
        ground_truth mid display_name visual_label visual_class visual_gt visual_answer video_label video_class
        video_gt gt_visual gt_video visual_ground_truth video_ground_truth base_label base_class original_label
        original_class""",
    "split": "split subset set partition",
    "donor": """donor donor_id donor_clip donor_video donors audio audios audio_from audio_replaced_with audio_id
        audio_clip audio_video audio_video_id audio_file audio_path audio_source audio_youtube_id source_audio sound
        sound_id sound_clip replacement replacement_id replacement_clip replacement_video replacement_audio replacing
        replacing_id replacing_clip replacing_video replaced_by replaced_with replaced_audio rep_id rep_clip
        rep_video swap swap_id swapped_with swapped_audio misaligned_with misaligned_audio misaligned
        misaligned_clips pairs""",
    "donor_start": "donor_start audio_start audio_start_s audio_start_time replacement_start replacing_start "
    "sound_start",
    "donor_start_ms": "donor_start_ms audio_start_ms replacement_start_ms",
    "donor_end": "donor_end audio_end audio_end_s audio_end_time replacement_end replacing_end sound_end",
    "donor_end_ms": "donor_end_ms audio_end_ms replacement_end_ms",
    "donor_label": """donor_label donor_class gt_audio gt_sound audio_ground_truth audio_label audio_class audio_gt
        audio_answer audio_category sound_label sound_class new_label new_class rep_label rep_class replacement_label
        replacement_class replacing_label replacing_class replaced_label replaced_class swapped_label swapped_class
        misaligned_label misaligned_class""",
}
# Role of a clip → that of a donor.
OF_DONOR: Final[Mapping[Role, Role]] = {
    "clip": "donor", "start": "donor_start", "start_ms": "donor_start_ms", "end": "donor_end",
    "end_ms": "donor_end_ms", "label": "donor_label",
}  # fmt: skip
_ROLES: Final[Mapping[str, Role]] = {name: role for role, names in NAMES.items() for name in names.split()}

# Keys of the file itself: what holds the entries, and splits, under the names that lists give them.
HOLDERS: Final = frozenset({"data", "clips", "videos", "samples", "items", "entries", "examples", "annotations"})
KINDS: Final = frozenset({"aligned", "misaligned", "original", "conflict", "repdiff"})
_LISTS: Final = frozenset({"list", "set", "split", "pairs"})  # words that say nothing about the entries
SPLITS: Final[Mapping[str, Literal["test", "train"]]] = {
    "test": "test", "eval": "test", "evaluation": "test",
    "train": "train", "training": "train", "tune": "train", "finetune": "train",
}  # fmt: skip


def plain(name: str) -> str:
    """A name as it is compared: `Start-Time` → `start_time`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def split_in(text: str) -> Literal["test", "train"] | None:
    """The split that a name states, such as `mma_train_clips.json`; None if it states none or both."""
    found = {SPLITS[word] for word in plain(text).split("_") if word in SPLITS}
    return found.pop() if len(found) == 1 else None


def is_part(key: str) -> bool:
    """Whether a key names a part of the list, by split, by kind or both: `test`, `misaligned`, `test_misaligned`."""
    words = plain(key).split("_")
    return bool(set(words) & (SPLITS.keys() | KINDS)) and set(words) <= SPLITS.keys() | KINDS | HOLDERS | _LISTS


def by_role(entry: Mapping[str, Any]) -> dict[Role, list[tuple[str, Any]]]:
    """Role → the entry's (field, value) pairs; fields without a value are left out."""
    found: dict[Role, list[tuple[str, Any]]] = {}
    for name, value in entry.items():
        role = _ROLES.get(plain(name))
        if role is not None and value not in (None, "", [], {}):
            found.setdefault(role, []).append((name, value))
    return found


def unused(entry: Mapping[str, Any]) -> Iterator[str]:
    """The fields of an entry that have no role."""
    return (name for name in entry if plain(name) not in _ROLES)
