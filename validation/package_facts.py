"""Facts about the packaged dataset: what its rows, files and configs are compared with.

Of all rows, only the ids and the variants that they are compared with are in memory, without the irrelevant texts.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import polars as pl

from mma_bench import layout
from mma_bench.licences import licence_of
from mma_bench.prompts import NONE_OF_THE_ABOVE, caption_question, forced_choice, misleading_caption, with_short_answer
from mma_bench.schema import MODALITIES, VARIANTS, Condition
from mma_bench.validation.accounts import differs_in
from mma_bench.validation.inputs import Inputs
from mma_bench.validation.package_rows import COLUMNS, REFERENCE, with_hashed_context


def licence_facts(inputs: Inputs, aligned: pl.DataFrame) -> pl.DataFrame:
    """The good variants with the licences of the clips that they show (`base_licence`) and sound like.

    A variant without a donor has the sound of its base. A licence is "" if none lets the media be passed on.
    """
    licences = {clip: licence_of(terms) or "" for clip, terms in aligned.select("clip_id", "licence").iter_rows()}
    variants = pl.concat(inputs.parts(layout.VARIANTS, VARIANTS, ["id", "base_id", "donor_id", "status"]))
    good = variants.filter(pl.col("status") == "ok").select("id", "base_id", pl.coalesce("donor_id", "base_id"))
    of_base, of_donor = (
        pl.Series(f"{who}_licence", [licences.get(clip, "") for clip in good[f"{who}_id"]], dtype=pl.String())
        for who in ("base", "donor")
    )
    return good.with_columns(of_base, of_donor)


class Truth:
    """What the rows of the dataset are compared with: the good variants, and the class list of each split.

    Args:
        variants: Parts of VARIANTS, with the columns of REFERENCE and `status`.
        aligned: Schema ALIGNED.
    """

    def __init__(self, variants: Iterable[pl.DataFrame], aligned: pl.DataFrame) -> None:
        import pyarrow as pa

        good = (with_hashed_context(part.filter(pl.col("status") == "ok").select(REFERENCE)) for part in variants)
        # As Arrow's oldest types: polars' strings are views into the buffers of the parts, which are half empty.
        oldest = pl.CompatLevel.oldest()
        self._variants = pa.concat_tables(part.to_arrow(compat_level=oldest) for part in good).combine_chunks()
        self.ids = pl.Series("id", pl.from_arrow(self._variants["id"]))
        rows = pl.DataFrame({"id": self.ids}).with_row_index("row").sort("id", "row")
        self._sorted_ids, self._rows = rows["id"], rows["row"]
        classes = aligned.group_by("split").agg(pl.col("class_name").unique())
        self._options = {split: sorted(names) for split, names in classes.iter_rows()}

    def facts(self, packaged: pl.DataFrame) -> pl.DataFrame:
        """One row per packaged row, next to its expected values.

        `altered`: the first column that differs from the variant; `misplaced`: not the config or split of its condition
        and clip; `due_...`: the expected texts.
        """
        good = self._named(packaged["id"])
        shared = [name for name in REFERENCE if name in COLUMNS and name != "id"]
        truth = packaged.select("id").join(
            good.select("id", "split", "condition", "manipulation", "caption", "visual_class", "audio_class"),
            on="id",
            how="left",
            maintain_order="left",
        )
        due = [_due(row, self._options.get(row["split"], [])) for row in truth.iter_rows(named=True)]
        placed = (packaged["config"] == truth["condition"]) & (packaged["folder_split"] == truth["split"])
        return packaged.with_columns(
            differs_in(packaged, good, "id", shared).alias("altered"),
            (~placed).fill_null(True).alias("misplaced"),
            pl.col("options").list.join(", "),
            *pl.DataFrame(due, schema=dict.fromkeys(_DUE, pl.String())),
        ).drop("label_ids")

    def _named(self, ids: pl.Series) -> pl.DataFrame:
        """The variants with these ids, the first of each, and perhaps others.

        A join with all variants would take its time for each part.
        """
        if self.ids.is_empty():
            places = pl.Series([], dtype=pl.UInt32())
        else:
            places = self._sorted_ids.search_sorted(ids).clip(upper_bound=len(self.ids) - 1).unique()
        found = self._variants.take(self._rows[places].to_arrow())
        return pl.DataFrame(pl.from_arrow(found)).cast({name: VARIANTS[name] for name in REFERENCE})


_TEXTS = ("question", "question_short_answer", "answer", "abstention_answer")
_DUE = (
    "due_options",
    "due_text_question",
    "due_text_answer",
    *(f"due_{sense}_{text}" for sense in ("visual", "audio") for text in _TEXTS),
)


def _due(row: Mapping[str, Any], options: list[str]) -> dict[str, str | None]:
    """The texts of one row, by the paper: questions, and correct answers with and without "None of the above"."""
    gone = {
        "visual": row["condition"] == Condition.FRAMES_ZEROED or row["manipulation"] in ("grey", "pixel_noise"),
        "audio": row["condition"] == Condition.AUDIO_REMOVED or row["manipulation"] in ("white_noise", "room_tone"),
    }
    texts: dict[str, str | None] = {"due_options": ", ".join(options)}
    three_way, caption = row["condition"] == Condition.THREE_WAY, row["caption"] or ""
    texts["due_text_question"] = caption_question(options, caption) if three_way else None
    texts["due_text_answer"] = caption if three_way else None
    for sense in MODALITIES:
        answer = row[f"{sense}_class"]
        misled = row["condition"] == Condition.MISLEADING_CAPTION
        asked = misleading_caption(sense, options, caption)
        plain = with_short_answer(asked) if three_way else forced_choice(sense, options)
        texts |= {
            f"due_{sense}_question": asked if misled else plain,
            f"due_{sense}_question_short_answer": with_short_answer(asked) if misled else None,
            f"due_{sense}_answer": answer,
            f"due_{sense}_abstention_answer": NONE_OF_THE_ABOVE if gone[sense] else answer,
        }
    return texts


def file_facts(found: Mapping[str, str], checksums: str, head: Mapping[str, Any]) -> pl.DataFrame:
    """One row per file of the dataset: does it match its checksum, and does the card list it?

    Args:
        found: Path inside the dataset → SHA-256.
        checksums: The list, lines of `<sha256>  <path>`.
        head: See `card_head`.

    Returns:
        `file`; `state`: "as listed", "changed", "missing" or "unlisted"; `kind`: "shard" or "other"; `in_card`:
        whether the card's configs name it for the config and split of its path.
    """
    listed = {path: sha256 for sha256, _, path in (line.partition("  ") for line in checksums.splitlines())}
    patterns = _patterns(head)

    def state(path: str) -> str:
        if path not in found:
            return "missing"
        if path not in listed:
            return "unlisted"
        return "as listed" if found[path] == listed[path] else "changed"

    files = sorted({*found, *listed})
    return pl.DataFrame(
        {
            "file": files,
            "state": [state(path) for path in files],
            "kind": ["shard" if path.endswith(".parquet") else "other" for path in files],
            "in_card": [_is_named(Path(path), patterns) for path in files],
        },
        schema={"file": pl.String(), "state": pl.String(), "kind": pl.String(), "in_card": pl.Boolean()},
    )


def _patterns(head: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """(config, split) → the pattern of its files."""
    return {
        (config["config_name"], files["split"]): files["path"]
        for config in head.get("configs", [])
        for files in config["data_files"]
    }


def config_facts(packaged: pl.DataFrame, head: Mapping[str, Any], due: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """One row per config and split that exists or is expected: its rows, and the number that the card states.

    Args:
        packaged: See `packaged_ids`.
        head: See `card_head`.
        due: Split → the conditions that params.yaml configures for it.
    """
    announced = {
        f"{info['config_name']}, {split['name']}": split["num_examples"]
        for info in head.get("dataset_info", [])
        for split in info["splits"]
    }
    rows = {
        f"{config}, {split}": n for config, split, n in packaged.group_by("config", "folder_split").len().iter_rows()
    }
    keys = sorted({*announced, *rows, *(f"{name}, {split}" for split, names in due.items() for name in names)})
    return pl.DataFrame(
        {
            "config": keys,
            "rows": [rows.get(key, 0) for key in keys],
            "announced": [announced.get(key, 0) for key in keys],
        },
        schema={"config": pl.String(), "rows": pl.Int64(), "announced": pl.Int64()},
    )


def _is_named(path: Path, patterns: Mapping[tuple[str, str], str]) -> bool:
    return fnmatch(path.as_posix(), patterns.get((path.parent.name, path.name.partition("-")[0]), ""))
