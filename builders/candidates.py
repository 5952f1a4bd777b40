"""Stage `candidates`: the label filter, which keeps the segments of exactly one class (appendix A.2).

In: AudioSet's three segment lists, the manifests of params.yaml, and classes.json. Out: candidates.parquet (the
remaining segments, with their class), label_sets.parquet (the outcome for every distinct label set, so that the reason
for any dropped segment can be looked up) and metrics/funnel.json (segments in, dropped by which rule, candidates out).

The rules, in the paper's order. Labels that are ancestors of another label of the clip are removed; the leaves that
remain are mapped to class-level nodes; a clip whose nodes have no common root (`cross_tree`) or that has several nodes
(`multi_class`) is dropped, since it shows more than one event; so is a clip of a node that is not a class
(`removed_...`, by the rule that removed it).
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import polars as pl

from mma_bench import layout
from mma_bench.builders.labels.segments import SegmentList, read_audioset, read_clip_manifest
from mma_bench.classes import ClassTable, Step, load_classes
from mma_bench.config import Params
from mma_bench.errors import DataError
from mma_bench.files import write_json
from mma_bench.schema import CANDIDATES, LABEL_SETS
from mma_bench.tables import write_table

AUDIOSET: Final = ("eval", "balanced_train", "unbalanced_train")  # each is read from <subset>_segments.csv
REASONS: Final = (
    "cross_tree",
    "multi_class",
    *(f"removed_{step}" for step in get_args(Step) if step not in ("kept", "depth", "absorbed")),
)


@dataclass(frozen=True)
class Rule:
    """The class table as relations between nodes. A node is represented by its index in `node_ids`.

    Attributes:
        node_ids: All node ids, sorted.
        above: label, ancestor: one row for each ancestor of a label.
        mapped: label, node: one row for each class-level node of a label.
        nodes: One row for each node: its `roots` (a bit for each root above it, itself included), and the `reason` and
            `class_name` of a clip with just this node.
    """

    node_ids: pl.Series
    above: pl.DataFrame
    mapped: pl.DataFrame
    nodes: pl.DataFrame


def rule_of(classes: ClassTable) -> Rule:
    """The label filter of a class table.

    Raises:
        DataError: The ontology has more than 64 roots.
    """
    place = {node_id: place for place, node_id in enumerate(sorted(classes.nodes))}
    roots = [node_id for node_id in place if not classes.nodes[node_id].parents]
    if len(roots) > 64:
        raise DataError(f"the ontology has {len(roots)} roots, at most 64 are expected", hint="correct ontology.json")
    rows = []
    for node_id in place:
        node, tree = classes.nodes[node_id], classes.ancestors[node_id] | {node_id}
        bits = sum(1 << number for number, root in enumerate(roots) if root in tree)
        rows.append((bits, "" if node.class_name else f"removed_{node.step}", node.class_name))
    above = [(place[node_id], place[other]) for node_id in place for other in sorted(classes.ancestors[node_id])]
    mapped = [(place[node_id], place[other]) for node_id in place for other in classes.nodes[node_id].class_nodes]
    return Rule(
        node_ids=pl.Series("node_ids", list(place), dtype=pl.String),
        above=pl.DataFrame(above, schema={"label": pl.Int64, "ancestor": pl.Int64}, orient="row"),
        mapped=pl.DataFrame(mapped, schema={"label": pl.Int64, "node": pl.Int64}, orient="row"),
        nodes=pl.DataFrame(
            rows, schema={"roots": pl.UInt64, "reason": pl.String, "class_name": pl.String}, orient="row"
        ),
    )


def decide(label_sets: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Decide what becomes of a clip with each label set.

    Args:
        label_sets: `label_ids`, lists of ids that are in the ontology, none of them empty.
        rule: The label filter.

    Returns:
        `label_sets` with leaves, class_nodes, reason and class_name as in LABEL_SETS, in the same order.
    """
    # A (set, node) pair is encoded as one number, so that joins and groups have one key; eager, since these are small.
    count = len(rule.node_ids)
    pair = pl.col("set") * count
    ids = label_sets.select("label_ids", set=pl.int_range(pl.len())).explode("label_ids")
    labels = ids.select("set", label=pl.col("label_ids").cast(pl.Enum(rule.node_ids)).to_physical().cast(pl.Int64))
    above = labels.join(rule.above, on="label").select(key=pair + pl.col("ancestor"))
    leaves = labels.with_columns(key=pair + pl.col("label")).join(above, on="key", how="anti", maintain_order="left")
    keys = leaves.join(rule.mapped, on="label").select(key=pair + pl.col("node"))["key"].unique().sort()
    nodes = pl.DataFrame({"set": keys // count, "node": keys % count}).with_columns(
        roots=rule.nodes["roots"].gather(keys % count)
    )
    by_set = nodes.group_by("set", maintain_order=True).agg("node", pl.col("roots").bitwise_and())
    alone = by_set["node"].list.len() == 1
    first = by_set["node"].list.first()
    several = pl.when(by_set["roots"] > 0).then(pl.lit("multi_class")).otherwise(pl.lit("cross_tree"))
    return label_sets.with_columns(
        leaves=_lists(leaves["set"], rule.node_ids.gather(leaves["label"])),
        class_nodes=_lists(nodes["set"], rule.node_ids.gather(nodes["node"])),
        reason=pl.when(alone).then(rule.nodes["reason"].gather(first)).otherwise(several),
        class_name=pl.when(alone).then(rule.nodes["class_name"].gather(first)),
    )


def _lists(sets: pl.Series, values: pl.Series) -> pl.Series:
    """The values of each set as a list; every set has at least one, and its rows are adjacent."""
    return pl.DataFrame({"set": sets, "value": values}).group_by("set", maintain_order=True).agg("value")["value"]


def candidates(segments: SegmentList, fates: pl.DataFrame) -> pl.DataFrame:
    """The segments whose label set has a class: schema CANDIDATES."""
    kept = fates.filter(pl.col("class_name").is_not_null())
    rows = segments.rows.filter(pl.col("labels").is_in(kept["labels"].implode()))
    class_name = pl.col("labels").replace_strict(kept["labels"], kept["class_name"], return_dtype=pl.String)
    return rows.with_columns(class_name=class_name).select(list(CANDIDATES)).collect()


def funnel(fates: pl.DataFrame) -> dict[str, int]:
    """One subset's counts: `segments`, each reason, `candidates`; the first is the sum of the others."""
    by_reason = dict(fates.group_by("reason").agg(pl.col("segments").sum()).iter_rows())
    counts = {reason: by_reason.get(reason, 0) for reason in REASONS}
    return {"segments": sum(by_reason.values()), **counts, "candidates": by_reason.get("", 0)}


def read_lists(
    folder: Path, manifests: Mapping[str, str], known: Iterable[str], *, audioset: bool = True
) -> Iterator[tuple[str, SegmentList]]:
    """Subset and list, one after the other: AudioSet's of `folder`, if they are wanted, then those of the manifests.

    Raises:
        DataError: As `read_audioset` and `read_clip_manifest`; or a manifest's subset has the name of another subset.
    """
    labels = frozenset(known)
    others: dict[str, SegmentList] = {}
    # First, since a mistake in a small manifest should not show after two million rows.
    for name, path in manifests.items():
        for subset, segments in read_clip_manifest(Path(path), name, labels).items():
            if subset in others or subset in AUDIOSET:
                raise DataError(
                    f"{path}: there is a subset {subset} already",
                    hint=f"rename candidates.manifests.{name} in params.yaml",
                )
            others[subset] = segments
    for subset in AUDIOSET if audioset else ():
        yield subset, read_audioset(folder / f"{subset}_segments.csv", subset, labels)
    yield from others.items()


def main(params: Params) -> None:
    """Run the stage."""
    classes = load_classes(layout.CLASSES)
    rule = rule_of(classes)
    passed, decided, funnels = [], [], {}
    settings = params.candidates
    for subset, segments in read_lists(layout.METADATA, settings.manifests, classes.nodes, audioset=settings.audioset):
        found = decide(segments.label_sets, rule)
        passed.append(candidates(segments, found))
        label_set = pl.col("label_ids").list.join(",")
        decided.append(found.with_columns(subset=pl.lit(subset), label_set=label_set).select(list(LABEL_SETS)))
        funnels[subset] = funnel(found)
    table, fates = pl.concat(passed), pl.concat(decided)
    _check_once(table)
    # Both at once: sorting and writing one table keeps only one core busy.
    with ThreadPoolExecutor(2) as pool:
        done = pool.submit(write_table, fates, layout.LABEL_SETS, LABEL_SETS, ["subset", "label_set"])
        write_table(table, layout.CANDIDATES, CANDIDATES, ["subset", "clip_id"])
        done.result()
    write_json(layout.FUNNEL, funnels)
    for subset, counts in funnels.items():
        print(f"candidates: {subset}: {counts['candidates']:,} of {counts['segments']:,} segments")


def _check_once(table: pl.DataFrame) -> None:
    """Refuse a clip in two subsets: from here on it would be two clips with one name."""
    twice = table["clip_id"].is_duplicated()
    if twice.any():
        clip_id, subsets = table["clip_id"].filter(twice)[0], table["subset"].filter(twice)[:2]
        raise DataError(
            f"clip {clip_id} is in {' and '.join(subsets)}", hint="remove or rename it in one of the two segment lists"
        )
