"""Invariants of `candidates.parquet`: each segment has one label of a kept class, no video is in both splits."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import permutations

import polars as pl

from mma_bench import layout
from mma_bench.classes import ClassTable, load_classes
from mma_bench.config import Params
from mma_bench.schema import CANDIDATES, LABEL_SETS, Split
from mma_bench.validation.accounts import counts_beside
from mma_bench.validation.expect import above, absent, at_least, at_most, equal, holds, matches, one_of, unique
from mma_bench.validation.inputs import Inputs
from mma_bench.validation.leaks import shared_with
from mma_bench.validation.promises import Frames, Promise

TABLE = layout.CANDIDATES

# AudioSet's own subsets stay separate, whichever of them a profile uses.
_SIDES = {"eval": Split.TEST, "balanced_train": Split.TRAIN, "unbalanced_train": Split.TRAIN}
_MAX_S = 10.0  # AudioSet's segments
_ROUNDING_S = 1e-6  # 33.7 - 23.7 is a little more than 10
_SAFE_ID = r"^(?!.*\.\.)[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}$"


def frames(inputs: Inputs, params: Params) -> Frames:
    """Read the tables and compute the facts."""
    candidates = inputs.table(layout.CANDIDATES, CANDIDATES)
    label_sets = inputs.table(layout.LABEL_SETS, LABEL_SETS)
    classes = load_classes(inputs.note(layout.CLASSES))
    funnel: dict[str, dict[str, int]] = inputs.json(layout.FUNNEL)
    return {
        "rows": candidate_facts(candidates, classes, _SIDES | params.subsets()).with_columns(
            pl.any_horizontal(
                pl.col("subset").is_in(list(_SIDES | params.subsets())),
                *(pl.col("subset").str.starts_with(f"{name}_") for name in params.candidates.manifests),
            ).alias("subset_is_known")
        ),
        "label_sets": label_set_facts(label_sets, classes),
        "classes": class_facts(classes),
        "funnel": funnel_facts(funnel, candidates, label_sets),
    }


def candidate_facts(candidates: pl.DataFrame, classes: ClassTable, sides: Mapping[str, Split]) -> pl.DataFrame:
    """The table without its labels, and facts derived from them.

    `kept`: the class is in the list; `labels`, `distinct_labels`: counts; `stray_label`: the first that is neither of
    the class nor an ancestor of another label, null if there is none; `length_s`; `twin`: a candidate of the same
    video in the other split, null if there is none.
    """
    table = candidates.with_columns(
        pl.col("label_ids").list.join(",").alias("text"),
        pl.col("subset").replace_strict({name: str(side) for name, side in sides.items()}, default=None).alias("split"),
    )
    kinds = table.select("text", "class_name").unique(maintain_order=True)
    strays = [stray_label(text.split(","), class_name, classes) for text, class_name in kinds.iter_rows()]
    kinds = kinds.with_columns(pl.Series("stray_label", strays, dtype=pl.String()))
    return (
        table.with_columns(
            pl.col("class_name").is_in(classes.names).alias("kept"),
            pl.col("label_ids").list.len().alias("labels"),
            pl.col("label_ids").list.n_unique().alias("distinct_labels"),
            (pl.col("end_s") - pl.col("start_s")).alias("length_s"),
            shared_with(table, "video_id").alias("twin"),
        )
        .join(kinds, on=["text", "class_name"], how="left", maintain_order="left")
        .select("clip_id", pl.exclude("clip_id", "label_ids", "text"))
    )


def stray_label(label_ids: Sequence[str], class_name: str, classes: ClassTable) -> str | None:
    """The first label that is neither of the class nor an ancestor of another label, or None.

    If there is none, the labels without ancestors map to this class only.
    """
    above_others = frozenset[str]().union(*(classes.ancestors.get(label, frozenset()) for label in label_ids))
    for label in label_ids:
        node = classes.nodes.get(label)
        if node is None:
            return f"{label} (not in the ontology)"
        if node.class_name != class_name and label not in above_others:
            return f"{label} ({node.name})"
    return None


def label_set_facts(label_sets: pl.DataFrame, classes: ClassTable) -> pl.DataFrame:
    """The label sets that map to a class, with `ancestor_pair`: two leaves, one above the other, or null."""
    kept = label_sets.filter(pl.col("class_name").is_not_null())
    leaves = kept["leaves"].list.join(",")
    pairs = {text: _ancestor_pair(text.split(","), classes) for text in leaves.unique()}
    found = pl.Series("ancestor_pair", [pairs[text] for text in leaves], dtype=pl.String())
    return kept.select("label_set", "subset", found)


def _ancestor_pair(leaves: Sequence[str], classes: ClassTable) -> str | None:
    for upper, lower in permutations(leaves, 2):
        if upper in classes.ancestors.get(lower, frozenset()):
            return f"{classes.nodes[upper].name} above {classes.nodes[lower].name}"
    return None


def class_facts(classes: ClassTable) -> pl.DataFrame:
    """Class → `below`, a class that is its ontology ancestor, or null; `step`, the pruning result of its node."""
    of_node = {item.node_id: item.name for item in classes.classes}
    rows = [
        {
            "class_name": item.name,
            "below": min((of_node[node] for node in classes.ancestors[item.node_id] & of_node.keys()), default=None),
            "step": classes.nodes[item.node_id].step,
        }
        for item in classes.classes
    ]
    return pl.DataFrame(rows, schema={"class_name": pl.String(), "below": pl.String(), "step": pl.String()})


def funnel_facts(
    funnel: Mapping[str, Mapping[str, int]], candidates: pl.DataFrame, label_sets: pl.DataFrame
) -> pl.DataFrame:
    """Each count of the funnel next to the counted rows or label sets; `segments` next to the sum of the others."""
    said = {f"{subset}.{step}": count for subset, counts in funnel.items() for step, count in counts.items()}
    counted = {f"{subset}.segments": sum(counts.values()) - counts["segments"] for subset, counts in funnel.items()}
    counted |= {f"{subset}.candidates": rows for subset, rows in candidates.group_by("subset").len().iter_rows()}
    dropped = label_sets.filter(pl.col("reason") != "").group_by("subset", "reason").agg(pl.col("segments").sum())
    counted |= {f"{subset}.{reason}": segments for subset, reason, segments in dropped.iter_rows()}
    return counts_beside(said, counted)


_rule = partial(Promise, hint="run `mma-bench build candidates` again, then `dvc repro`")
# AudioSet's own lists are checked by hash, so what can be wrong is a manifest.
_segment = partial(Promise, hint="correct the clip in its manifest (candidates.manifests), then run `dvc repro`")


def promises(params: Params) -> list[Promise]:
    """All promises, in page order."""
    subsets = sorted(_SIDES | params.subsets())
    return [
        Promise(
            "subset_is_known",
            f"A candidate is from a manifest or a published subset, or one that a split uses: {', '.join(subsets)}.",
            "Table 7",
            holds("subset_is_known"),
            "run `mma-bench build candidates` again, then `dvc repro`",
            show=("subset",),
        ),
        _segment(
            "clip_is_unique", "No segment is a candidate twice.", "appendix A.2", unique("clip_id"), show=("subset",)
        ),
        _segment(
            "id_is_safe_as_a_file_name",
            "A clip's id can be a file name: letters, digits, '-', '_' and single dots.",
            "the build",
            matches("clip_id", _SAFE_ID),
        ),
        _segment("segment_ends_after_it_starts", "A segment has a positive length.", "section 3", above("length_s", 0)),
        _segment(
            "segment_is_not_too_long",
            f"A segment lasts at most {_MAX_S:g} s, as AudioSet's do.",
            "section 3",
            at_most("length_s", _MAX_S + _ROUNDING_S),
        ),
        _rule(
            "labels_are_kept",
            "A candidate carries its labels as published, at least one.",
            "appendix A.2",
            at_least("labels", 1),
        ),
        _segment(
            "label_is_given_once",
            "No label is given twice to a candidate.",
            "appendix A.2",
            equal("labels", "distinct_labels"),
        ),
        _rule(
            "class_is_kept",
            "A candidate's class is in the class list.",
            "appendix A.1",
            holds("kept"),
            show=("class_name",),
        ),
        _rule(
            "label_is_single",
            "Once ancestors are removed, each remaining label maps to the candidate's class and no other.",
            "appendix A.2",
            absent("stray_label"),
            show=("class_name",),
        ),
        _rule(
            "leaves_hold_no_ancestor_pair",
            "Among the labels that determine a candidate's class, none is an ancestor of another.",
            "appendix A.2",
            absent("ancestor_pair"),
            frame="label_sets",
        ),
        _segment(
            "source_video_is_on_one_side",
            "No source video has candidates in both splits.",
            "section 3",
            absent("twin"),
            show=("video_id",),
        ),
        Promise(
            "no_class_is_above_another",
            "No class is an ancestor of another: a clip of the lower class would belong to both.",
            "appendix A.1",
            absent("below"),
            "absorb or drop one of the two in the curation table",
            frame="classes",
        ),
        Promise(
            "class_survived_the_pruning",
            "The pruning keeps the ontology node of each class.",
            "appendix A.1",
            one_of("step", ["kept"]),
            "run `mma-bench build ontology` again, then `dvc repro`",
            frame="classes",
        ),
        _rule(
            "funnel_adds_up",
            "Segments in equal candidates out plus those each rule dropped, and each count matches the tables.",
            "Table 7",
            equal("reported", "counted"),
            frame="funnel",
        ),
    ]
