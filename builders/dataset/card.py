"""The dataset card: every fact in it comes from the tables and counts of the very build that it describes.

In: the tables behind the packaged rows, the class list, the counts of all stages. Out: `README.md` as text, with the
metadata that the Hub and `load_dataset` read (configs, features, sizes) as YAML at its top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from mma_bench.builders.dataset.columns import COLUMNS
from mma_bench.files import file_sha256, fingerprint
from mma_bench.prompts import PROMPT_VERSION
from mma_bench.schema import STEPPED, Condition, Manipulation, Split
from mma_bench.visible import one_line

# The stages whose counts the card shows, in the order of dvc.yaml.
COUNTED_STAGES: Final = ("acquire", "normalise", "judge", "verify", "conflicts")
# What the paper reports, to say how this build compares: Table 7, section 3 and section 5.1.
PAPER_CANDIDATES: Final = {"eval": 3518, "balanced_train": 3892, "unbalanced_train": 182970}
PAPER_TEST_CLIPS: Final = 658
PAPER_DONORS: Final = 10

_CONDITIONS: Final = {
    Condition.ALIGNED: "Sight and sound of the same clip.",
    Condition.MISALIGNED: "The sound is replaced by that of a clip of another class.",
    Condition.AUDIO_REMOVED: "“Ears shut”: the sound is replaced by digital silence.",
    Condition.FRAMES_ZEROED: "“Eyes closed”: every frame is black.",
    Condition.MISLEADING_CAPTION: "The aligned clip; each question comes after a caption that names another class.",
    Condition.LONG_CONTEXT: "The aligned clip; the text in `context`, irrelevant words, follows the question.",
    Condition.DEGRADED_AUDIO: "Misaligned, with pink noise over the sound, in steps of the signal-to-noise ratio (dB).",
    Condition.MIXED_AUDIO: "The sound of another class over the clip's own, in steps of their ratio (dB).",
    Condition.DEGRADED_VIDEO: "Misaligned, with the picture blurred, darkened or faded, in steps (percent).",
    Condition.THREE_WAY: "Misaligned, and each question comes after a caption that names a third class.",
    Condition.SHIFTED_AUDIO: "The clip's own sound, so many seconds late (or early, if below 0).",
    Condition.ABSENT_AUDIO: "The sound is replaced by white noise or by room tone.",
    Condition.ABSENT_VIDEO: "Every frame is grey, noise, or the first frame.",
}

_UNITS: Final = {
    Manipulation.PINK_NOISE: "signal-to-noise ratio, dB",
    Manipulation.MIXTURE: "the other sound over the clip's own, dB",
    Manipulation.BLUR: "standard deviation, percent of the height",
    Manipulation.DARKNESS: "percent of the brightness taken away",
    Manipulation.LOW_CONTRAST: "percent of the contrast taken away",
    Manipulation.SHIFT: "seconds by which the sound is late",
}


@dataclass(frozen=True)
class Size:
    """What one split of one config takes: rows, bytes in memory, bytes of its files."""

    rows: int
    memory: int
    files: int

    def __add__(self, other: "Size") -> "Size":
        return Size(self.rows + other.rows, self.memory + other.memory, self.files + other.files)


@dataclass(frozen=True)
class CardFacts:
    """What a card is made from.

    Attributes:
        version: Of the dataset, e.g. 0.1.0.
        variants: Schema VARIANTS without `context`, refused rows included.
        aligned: Schema ALIGNED.
        options: Split → its sorted classes.
        classes: How many classes the pruned ontology keeps.
        funnel: Subset → {"segments": n, drop reason: n, ..., "candidates": n}.
        stages: Stage → split → {"in": n, reason: n, ..., "ok": n}.
        sizes: (condition, split) → size, for what is packaged.
        contents: Condition → what its shards hold, as `shards_content` gives it.
        only: The licences that the edition is restricted to; None: it is not.
    """

    version: str
    variants: pl.DataFrame
    aligned: pl.DataFrame
    options: Mapping[str, Sequence[str]]
    classes: int
    funnel: Mapping[str, Mapping[str, int]]
    stages: Mapping[str, Mapping[str, Mapping[str, int]]]
    sizes: Mapping[tuple[str, str], Size]
    contents: Mapping[str, str]
    only: Sequence[str] | None = None


def shards_content(folder: Path, condition: str) -> str:
    """`sha256:…` over a config's shards; in the card, because `load_dataset` looks rows up in its cache by the card.

    For a local folder, its cache does not depend on the shards: without this it gives the rows of another build that
    has as many rows of the same sizes.

    Args:
        folder: Of the dataset, with its shards.
        condition: The config's name.
    """
    return content_of({shard.name: file_sha256(shard) for shard in (folder / "data" / condition).glob("*.parquet")})


def content_of(shards: Mapping[str, str]) -> str:
    """The same of shards whose hashes are known: file name → SHA-256."""
    return "sha256:" + fingerprint([[name, shards[name]] for name in sorted(shards)])


def dataset_card(facts: CardFacts) -> str:
    """The card as Markdown with YAML metadata."""
    packaged = facts.variants.filter(pl.col("status") == "ok")
    text = (
        templates()
        .get_template("card.md")
        .render(
            facts=facts,
            packaged=packaged.height,
            splits=[str(split) for split in (Split.TRAIN, Split.TEST) if split in facts.options],
            conditions=_CONDITIONS,
            levels=_levels(packaged),
            columns=COLUMNS,
            prompt_version=PROMPT_VERSION,
            steps=list(dict.fromkeys(step for counts in facts.funnel.values() for step in counts)),
            class_rows=_class_rows(facts.aligned),
            licences=licences(facts.aligned),
            only=facts.only,
            composed=composed(facts.aligned),
            judges=facts.aligned["judge"].unique().sort().to_list(),
            reviewed=int(facts.aligned["human_verified"].sum()),
            test_clips=facts.aligned.filter(pl.col("split") == Split.TEST).height,
            donors=_donors(packaged),
            paper_candidates=PAPER_CANDIDATES,
            paper_test_clips=PAPER_TEST_CLIPS,
            paper_donors=PAPER_DONORS,
            reproduced={subset: facts.funnel.get(subset, {}).get("candidates") for subset in PAPER_CANDIDATES},
        )
    )
    head = yaml.safe_dump(_metadata(facts, packaged.height), sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{head}---\n{text}"


def licence_notice(aligned: pl.DataFrame, only: Sequence[str] | None = None) -> str:
    """`LICENSE.md`, which the card's metadata point to: the terms by source, as in the card.

    Args:
        aligned: Schema ALIGNED.
        only: As in `CardFacts`.
    """
    return (
        templates()
        .get_template("licences.md")
        .render(licences=licences(aligned), composed=composed(aligned), only=only)
    )


def credits(aligned: pl.DataFrame) -> str:
    """`CREDITS.md`: source and terms of every clip."""
    clips = aligned.select("clip_id", "source", "licence").sort("clip_id").to_dicts()
    return templates().get_template("credits.md").render(clips=clips)


def composed(aligned: pl.DataFrame) -> int:
    """How many clips are photo + sound and not recordings."""
    return aligned.filter(pl.col("source").str.contains("photo + sound", literal=True)).height


def templates(package: str = "mma_bench.builders.dataset") -> Environment:
    """A package's Markdown templates, with the filters `count` (a number with its thousands) and `cell`."""
    environment = Environment(  # noqa: S701  (Markdown, not HTML; cells of tables are escaped by `cell`)
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["count"] = lambda number: f"{int(number):,}"
    environment.filters["cell"] = _cell
    return environment


def _metadata(facts: CardFacts, rows: int) -> dict[str, Any]:
    reviewed = facts.aligned["human_verified"].any()
    return {
        "pretty_name": "MMA-Bench",
        "version": facts.version,
        "license": "other",
        "license_name": "per-clip",
        "license_link": "LICENSE.md",
        "language": ["en"],
        "task_categories": ["video-text-to-text", "video-classification", "audio-classification"],
        "annotations_creators": ["machine-generated", *(["expert-generated"] if reviewed else [])],
        "size_categories": [_size_category(rows)],
        "tags": ["multimodal", "audio-visual", "modality-conflict", "benchmark", "arxiv:2511.22826"],
        "configs": [
            {
                "config_name": str(condition),
                **({"default": True} if condition == Condition.ALIGNED else {}),
                "data_files": [{"split": split, "path": f"data/{condition}/{split}-*.parquet"} for split in splits],
            }
            for condition, splits in _configs(facts).items()
        ],
        "dataset_info": [
            {
                "config_name": str(condition),
                "description": facts.contents[condition],
                "features": [_feature(name) for name in COLUMNS],
                "splits": [
                    {"name": split, "num_bytes": size.memory, "num_examples": size.rows}
                    for split, size in splits.items()
                ],
                "download_size": sum(size.files for size in splits.values()),
                "dataset_size": sum(size.memory for size in splits.values()),
            }
            for condition, splits in _configs(facts).items()
        ],
    }


def _configs(facts: CardFacts) -> dict[Condition, dict[str, Size]]:
    """Condition → split → size, in the paper's order, without what has no rows."""
    configs: dict[Condition, dict[str, Size]] = {}
    for condition in Condition:
        for split in (Split.TRAIN, Split.TEST):
            if (condition, split) in facts.sizes:
                configs.setdefault(condition, {})[str(split)] = facts.sizes[condition, split]
    return configs


def _feature(name: str) -> dict[str, str]:
    kind = COLUMNS[name].kind
    return {"name": name, "list": "string"} if kind == "strings" else {"name": name, "dtype": kind}


def _size_category(rows: int) -> str:
    """The Hub's size categories."""
    if rows < 1_000:
        return "n<1K"
    bounds = ((10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for bound, name in bounds if rows < bound), "1M<n<10M")


def _class_rows(aligned: pl.DataFrame) -> list[tuple[str, dict[str, int]]]:
    """(class, split → aligned clips), sorted by class."""
    counted: dict[str, dict[str, int]] = {}
    for name, split, clips in aligned.group_by("class_name", "split").len().sort("class_name", "split").iter_rows():
        counted.setdefault(name, {})[split] = clips
    return list(counted.items())


def licences(aligned: pl.DataFrame) -> list[tuple[str, str, int]]:
    """(source, licence, aligned clips), most frequent first within a source."""
    grouped = aligned.group_by("source", "licence").len()
    return grouped.sort(["source", "len", "licence"], descending=[False, True, False]).rows()


def _levels(packaged: pl.DataFrame) -> list[tuple[str, str, str, str]]:
    """(condition, manipulation, unit of its level, the levels) of the conditions with steps, in their order."""
    found = packaged.filter(pl.col("manipulation").is_not_null())
    steps = found.group_by("condition", "manipulation").agg(pl.col("level").unique().sort())
    levels = {(condition, manipulation): values for condition, manipulation, values in steps.iter_rows()}
    return [
        (
            condition,
            step,
            _UNITS.get(step, "–"),
            ", ".join(f"{level:g}" for level in levels[condition, step] if level is not None) or "–",
        )
        for condition, manipulations in STEPPED.items()
        for step in manipulations
        if (condition, step) in levels
    ]


def _donors(packaged: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """Split → (fewest, most) misaligned variants of one clip that has any."""
    misaligned = packaged.filter(pl.col("condition") == Condition.MISALIGNED)
    per_clip = (
        misaligned.group_by("split", "base_id").len().group_by("split").agg(pl.min("len"), pl.max("len").alias("most"))
    )
    return {split: (fewest, most) for split, fewest, most in per_clip.iter_rows()}


def _cell(value: object) -> str:
    """Text that stays inside its cell of a Markdown table, is not markup and hides nothing."""
    text = one_line(str(value))
    for sign in ("\\", "|", "*", "_", "`", "[", "]", "<", ">", "&", "~", "$"):
        text = text.replace(sign, f"\\{sign}")
    return text
