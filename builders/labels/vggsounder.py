"""VGGSounder: for each label of 12,014 clips, whether people saw it, heard it or both (Apache-2.0).

In: the labels, by content hash, and `builders/curation/vggsounder_classes.csv`, which maps each of the 309 labels to
one of the benchmark's classes, if any. Out: what is known about a segment, and VGGSounder's vote on a clip.

A clip has a vote only if one of its labels is the candidate's class. The vote is a pass if people saw and heard
every label of the clip, so that nothing else is heard over it, and flagged neither background music nor a still image
nor a voice-over.

Only one CSV of the wheel is needed, so it is extracted from the wheel by its hash; as a dependency the package would be
installed and imported just for that file.

Source: Zverev et al., VGGSounder: Audio-Visual Evaluations for Foundation Models (2025); PyPI `vggsounder` 1.0.
"""

from importlib.resources import files
from pathlib import Path
from typing import Final

import polars as pl
from pydantic import Field

from mma_bench.csv_rows import CsvRow, Filled, read_rows
from mma_bench.errors import DataError
from mma_bench.fetch import Wheel, file_by_hash

NAME: Final = "vggsounder"

_WHEEL: Final = ("vggsounder==1.0", "c5d9dadcbad8a23379c0f977d96b6a14c627f623933f20185f4431c0eeb5537a")
_CSV_SHA256: Final = "400979ea3dee34bed145d3fd96966e16689352df63b645c4730caf8eb2cacb06"
_FLAGS: Final = ("background_music", "static_image", "voice_over")
_SEGMENT: Final = ("video_id", "start_s")

# A labelled segment. Its classes are the benchmark's classes of its labels, distinct and sorted.
LABELLED: Final = {
    "video_id": pl.String(),
    "start_s": pl.Float64(),
    "clean": pl.Boolean(),  # every label is seen and heard, and nothing is flagged
    "seen": pl.List(pl.String()),  # classes that people saw
    "heard": pl.List(pl.String()),  # classes that people heard
    "classes": pl.List(pl.String()),  # seen or heard
}


def locate() -> Path:
    """The published labels, fetched into the cache if missing.

    Raises:
        FetchError: They are not available.
    """
    wheel = Wheel(*_WHEEL, members=("vggsounder/data/vggsounder.csv",))
    return file_by_hash("vggsounder.csv", _CSV_SHA256, [wheel])


class _Label(CsvRow):
    label: Filled
    class_name: str = Field(validation_alias="class")


def class_map() -> dict[str, str | None]:
    """VGGSounder's label → the benchmark's class, or None."""
    rows = read_rows(files("mma_bench.builders") / "curation" / "vggsounder_classes.csv", _Label, unique=["label"])
    return {row.label: row.class_name or None for row in rows}


def labelled(published: pl.DataFrame, classes: dict[str, str | None]) -> pl.DataFrame:
    """One row of LABELLED per segment.

    Args:
        published: video_id (`<YouTube id>_<start in seconds, six digits>`), label, modality (A, V, AV) and the flags.
        classes: As `class_map` gives them.

    Raises:
        DataError: A label missing from the map, or an invalid modality or id.
    """
    if strange := sorted(set(published["label"]) - classes.keys()):
        raise DataError(
            f"VGGSounder's label {strange[0]!r} is not in the table", hint="add it to vggsounder_classes.csv"
        )
    if strange := sorted(set(published["modality"]) - {"A", "V", "AV"}):
        raise DataError(f"VGGSounder's modality {strange[0]!r} is unknown", hint="use the published file")
    ids = published["video_id"].str.extract_groups(r"^(?<video_id>.{11})_(?<start_s>[0-9]{6})$").struct.unnest()
    if ids["start_s"].has_nulls():
        raise DataError("a video_id of VGGSounder has no start in seconds", hint="use the published file")

    def classes_in(*modalities: str) -> pl.Expr:
        there = pl.col("class").filter(pl.col("modality").is_in(modalities))
        return there.drop_nulls().unique().sort()

    rows = published.drop("video_id").with_columns(
        ids["video_id"],
        ids["start_s"].cast(pl.Float64()),
        pl.col("label").replace_strict(classes, return_dtype=pl.String()).alias("class"),
    )
    return (
        rows.group_by(_SEGMENT)
        .agg(
            clean=(pl.col("modality") == "AV").all() & ~pl.any_horizontal(_FLAGS).any(),
            seen=classes_in("V", "AV"),
            heard=classes_in("A", "AV"),
            classes=classes_in("A", "V", "AV"),
        )
        .select(list(LABELLED))
        .sort(_SEGMENT)
    )


def read() -> pl.DataFrame:
    """The published labels as LABELLED."""
    return labelled(pl.read_csv(locate()), class_map())


def join_labels(clips: pl.DataFrame, segments: pl.DataFrame) -> pl.DataFrame:
    """The clips labelled in VGGSounder, each with the columns of LABELLED and `vote`.

    Args:
        clips: With video_id, start_s and class_name. Segments match by video and start.
        segments: As `read` gives them.

    Returns:
        `vote`: True or False; null if no label of the clip is its class.
    """
    counts = pl.col("classes").list.contains(pl.col("class_name"))
    passes = pl.col("clean") & pl.col("seen").list.contains(pl.col("class_name"))
    return clips.join(segments, on=_SEGMENT, how="inner", maintain_order="left").with_columns(
        vote=pl.when(counts).then(passes)
    )


def votes(clips: pl.DataFrame, segments: pl.DataFrame) -> dict[str, bool]:
    """VGGSounder's vote by clip, for clips that have one. Args as in `join_labels`, with clip_id."""
    return dict(join_labels(clips, segments).drop_nulls("vote").select("clip_id", "vote").iter_rows())
