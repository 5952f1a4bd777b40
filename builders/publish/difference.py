"""The difference between two releases, row by row, and the size of the change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from mma_bench.builders.publish.manifest import Release
from mma_bench.builders.publish.release import Level
from mma_bench.schema import Condition

_SHOWN: Final = 5  # names per line
_MEDIA: Final = ("video_sha256", "audio_sha256")
_ANSWERS: Final = ("visual_class", "audio_class")
_DESCRIBED: Final = (
    *("class_distance", "label_ids", "start_s", "end_s", "human_verified", "judge", "licence", "source"),
    "prompt_version",
)


@dataclass(frozen=True)
class Difference:
    """Sorted names of what differs; a clip is `<id> (<split>)`, a pair `<base> + <donor>`.

    Attributes:
        rows_added, rows_removed: Of clips in both releases; rows of pairs are counted as pairs.
        pairs_changed: Pairs added or removed among clips in both releases.
        reworded: Rows whose questions or options differ, with the same class list, class and caption.
        described: Rows whose description changed: licence, source, judge, labels, times.
        only_removed: Clips were removed and none added, so changed pairs are a consequence of the removal.
    """

    clips_added: list[str]
    clips_removed: list[str]
    rows_added: list[str]
    rows_removed: list[str]
    relabelled: list[str]
    re_encoded: list[str]
    pairs_added: list[str]
    pairs_removed: list[str]
    pairs_changed: list[str]
    reprompted: list[str]
    reworded: list[str]
    described: list[str]
    classes_added: list[str]
    classes_removed: list[str]
    conditions_added: list[str]
    conditions_removed: list[str]
    columns_added: list[str]
    columns_removed: list[str]

    @property
    def only_removed(self) -> bool:
        return bool(self.clips_removed) and not self.clips_added

    def reasons(self) -> dict[Level, list[str]]:
        """Level → the reasons that make the change at least that large, as sentences."""
        pairs = Level.PATCH if self.only_removed else Level.MINOR
        found: dict[Level, list[str]] = {level: [] for level in Level}
        for level, what, names in (
            (Level.MAJOR, "classes removed from the options", self.classes_removed),
            (Level.MAJOR, "classes new among the options", self.classes_added),
            (Level.MAJOR, "conditions removed", self.conditions_removed),
            (Level.MAJOR, "columns removed or of another type", self.columns_removed),
            (Level.MAJOR, "rows relabelled", self.relabelled),
            (Level.MAJOR, "rows with other wording or options", self.reworded),
            (Level.MINOR, "conditions new", self.conditions_added),
            (Level.MINOR, "columns new", self.columns_added),
            (Level.MINOR, "clips added", self.clips_added),
            (Level.MINOR, "rows re-encoded", self.re_encoded),
            (Level.MINOR, "rows with another caption or context", self.reprompted),
            (pairs, "pairs changed among clips that stay", self.pairs_changed),
            (Level.MINOR, "rows added to clips that stay", self.rows_added),
            (Level.PATCH, "clips removed", self.clips_removed),
            (Level.PATCH, "rows removed of clips that stay", self.rows_removed),
            (Level.PATCH, "rows described otherwise", self.described),
        ):
            if names:
                found[level].append(f"{len(names)} {what}: {_some(names)}")
        return found

    @property
    def level(self) -> Level:
        """How large the change is: the largest of its reasons."""
        return max((level for level, reasons in self.reasons().items() if reasons), default=Level.NONE)

    def lines(self) -> list[str]:
        """The reasons, the largest first, one per line."""
        by_level = sorted(self.reasons().items(), reverse=True)
        return [f"{level}: {reason}" for level, reasons in by_level for reason in reasons]


def difference(old: Release, new: Release) -> Difference:
    """Compare two releases row by row; media are compared by packet hashes."""
    both = old.manifest.join(new.manifest, on="id", suffix="_new", how="inner")
    old_clips, new_clips = _clips(old.manifest), _clips(new.manifest)
    old_pairs, new_pairs = _pairs(old.manifest), _pairs(new.manifest)
    stay = old_clips & new_clips
    relabelled = _changed(both, _ANSWERS)
    prompted = _changed(both, ("caption", "context_seed"))
    old_options, new_options = _options(old.classes), _options(new.classes)
    # Changed options reword every question of the split; the class list reports this once.
    same_list = pl.col("split").is_in([split for split in old.classes if old.classes[split] == new.classes.get(split)])
    reworded = set(_changed(both.filter(same_list), ("asked_sha256",))) - {*relabelled, *prompted}
    rows, new_rows = _unpaired(old.manifest, stay), _unpaired(new.manifest, stay)
    old_conditions, new_conditions = _conditions(old.manifest), _conditions(new.manifest)
    typed, new_typed = ({f"{name}: {kind}" for name, kind in release.columns.items()} for release in (old, new))
    return Difference(
        clips_added=_named(new_clips - old_clips),
        clips_removed=_named(old_clips - new_clips),
        rows_added=sorted(new_rows - rows),
        rows_removed=sorted(rows - new_rows),
        relabelled=relabelled,
        re_encoded=_changed(both, _MEDIA),
        pairs_added=_joined(new_pairs - old_pairs),
        pairs_removed=_joined(old_pairs - new_pairs),
        pairs_changed=_joined(p for p in old_pairs ^ new_pairs if {(p[0], p[1]), (p[0], p[2])} <= stay),
        reprompted=sorted(set(prompted) - set(relabelled)),
        reworded=sorted(reworded),
        described=_changed(both, _DESCRIBED),
        classes_added=sorted(new_options - old_options),
        classes_removed=sorted(old_options - new_options),
        conditions_added=sorted(new_conditions - old_conditions),
        conditions_removed=sorted(old_conditions - new_conditions),
        columns_added=sorted(new_typed - typed) if not typed - new_typed else sorted(_new_by_name(new_typed, typed)),
        columns_removed=sorted(typed - new_typed),
    )


def _new_by_name(new: set[str], old: set[str]) -> set[str]:
    """Columns that are new by name, not only by type."""
    names = {column.partition(": ")[0] for column in old}
    return {column for column in new - old if column.partition(": ")[0] not in names}


def _changed(both: pl.DataFrame, columns: Iterable[str]) -> list[str]:
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_new")) for name in columns)
    return both.filter(differs)["id"].sort().to_list()


def _clips(manifest: pl.DataFrame) -> set[tuple[str, str]]:
    """(split, clip) of every base and donor."""
    bases = manifest.select("split", pl.col("base_id").alias("clip"))
    donors = manifest.select("split", pl.col("donor_id").alias("clip")).drop_nulls()
    return set(pl.concat([bases, donors]).unique().iter_rows())


def _pairs(manifest: pl.DataFrame) -> set[tuple[str, str, str]]:
    """(split, base, donor)."""
    rows = manifest.filter(pl.col("condition") == Condition.MISALIGNED)
    return set(rows.select("split", "base_id", "donor_id").iter_rows())


def _unpaired(manifest: pl.DataFrame, clips: set[tuple[str, str]]) -> set[str]:
    """Ids of the rows of these clips that are not pairs."""
    rows = manifest.filter(pl.col("condition") != Condition.MISALIGNED).select("id", "split", "base_id")
    return {name for name, split, base in rows.iter_rows() if (split, base) in clips}


def _options(classes: Mapping[str, list[str]]) -> set[str]:
    return {f"{name} ({split})" for split, names in classes.items() for name in names}


def _conditions(manifest: pl.DataFrame) -> set[str]:
    return {f"{condition} ({split})" for condition, split in manifest.select("condition", "split").unique().iter_rows()}


def _named(clips: Iterable[tuple[str, str]]) -> list[str]:
    return sorted(f"{clip} ({split})" for split, clip in clips)


def _joined(pairs: Iterable[tuple[str, str, str]]) -> list[str]:
    return sorted(f"{base} + {donor}" for _, base, donor in pairs)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
