"""The label filter: its rules as properties, its funnel, and the paper's counts on the real segment lists."""

import csv
import json
import random
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders import candidates as stage
from mma_bench.builders import metadata, ontology
from mma_bench.builders.candidates import REASONS, decide, funnel, rule_of
from mma_bench.builders.labels.decisions import read_decisions
from mma_bench.builders.labels.segments import read_audioset
from mma_bench.classes import ClassTable, LabelClass, Node, save_classes
from mma_bench.config import Params, load_params
from mma_bench.errors import DataError
from mma_bench.schema import CANDIDATES, LABEL_SETS
from mma_bench.tables import read_table

ROOT = Path(__file__).parents[2]


@st.composite
def class_tables(draw: st.DrawFn) -> ClassTable:
    """Class tables over random forests with several parents, some nodes classes, some absorbed, some dropped."""
    size = draw(st.integers(2, 12))
    ids = [f"n{number:02}" for number in range(size)]
    nodes: dict[str, Node] = {}
    classes = []
    for number, node_id in enumerate(ids):
        parents = draw(st.lists(st.sampled_from(ids[:number]), max_size=2, unique=True)) if number else []
        targets = {target for parent in parents for target in nodes[parent].class_nodes}
        if parents and draw(st.booleans()):  # absorbed into what its parents count as
            only = nodes[min(targets)].class_name if len(targets) == 1 else None
            nodes[node_id] = Node(node_id, tuple(sorted(parents)), 1, tuple(sorted(targets)), "depth", "", only)
        elif draw(st.booleans()):
            nodes[node_id] = Node(node_id, tuple(sorted(parents)), 1, (node_id,), "kept", "", f"C{number}")
            classes.append(LabelClass(f"C{number}", node_id, node_id, (node_id,), (node_id,)))
        else:
            step = draw(st.sampled_from(["restricted", "multi_parent", "actionless", "ambiguous", "uncurated"]))
            nodes[node_id] = Node(node_id, tuple(sorted(parents)), 1, (node_id,), step, "", None)
    return ClassTable(tuple(classes), nodes)


@st.composite
def filtered(draw: st.DrawFn) -> tuple[ClassTable, list[list[str]]]:
    table = draw(class_tables())
    label_set = st.lists(st.sampled_from(sorted(table.nodes)), min_size=1, max_size=5)
    return table, draw(st.lists(label_set, min_size=1, max_size=12))


def sets(label_sets: list[list[str]]) -> pl.DataFrame:
    return pl.DataFrame(
        {"label_ids": label_sets, "segments": range(1, len(label_sets) + 1)},
        schema={"label_ids": pl.List(pl.String), "segments": pl.Int64},
    )


def by_hand(table: ClassTable, label_ids: list[str]) -> tuple[list[str], list[str], str, str | None]:
    """Appendix A.2 for one clip, with plain sets."""
    kept = [label for label in label_ids if not any(label in table.ancestors[other] for other in label_ids)]
    nodes = sorted({node for label in kept for node in table.nodes[label].class_nodes})
    trees = [{r for r in table.ancestors[node] | {node} if not table.nodes[r].parents} for node in nodes]
    if not set.intersection(*trees):
        return kept, nodes, "cross_tree", None
    if len(nodes) > 1:
        return kept, nodes, "multi_class", None
    node = table.nodes[nodes[0]]
    return kept, nodes, "" if node.class_name else f"removed_{node.step}", node.class_name


@pytest.mark.slow
@given(filtered())
@settings(deadline=None, max_examples=150)
def test_the_filter_does_what_the_appendix_says(case: tuple[ClassTable, list[list[str]]]) -> None:
    table, label_sets = case
    decided = decide(sets(label_sets), rule_of(table))
    found = decided.select("leaves", "class_nodes", "reason", "class_name").rows()
    assert found == [by_hand(table, label_ids) for label_ids in label_sets]
    assert set(decided["reason"]) <= {"", *REASONS}


@pytest.mark.slow
@given(filtered())
@settings(deadline=None, max_examples=60)
def test_removing_ancestors_twice_changes_nothing(case: tuple[ClassTable, list[list[str]]]) -> None:
    table, label_sets = case
    once = decide(sets(label_sets), rule_of(table))
    twice = decide(once.select("segments", label_ids="leaves"), rule_of(table))
    fate = ["leaves", "class_nodes", "reason", "class_name"]
    assert twice.select(fate).equals(once.select(fate))


@pytest.mark.slow
@given(filtered(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_the_order_of_rows_and_labels_does_not_matter(
    case: tuple[ClassTable, list[list[str]]], rng: random.Random
) -> None:
    table, label_sets = case
    shuffled = [rng.sample(label_ids, len(label_ids)) for label_ids in label_sets]
    order = rng.sample(range(len(label_sets)), len(label_sets))
    fate = ["class_nodes", "reason", "class_name"]
    first = decide(sets(label_sets), rule_of(table)).select(fate).rows()
    second = decide(sets([shuffled[place] for place in order]), rule_of(table)).select(fate).rows()
    assert second == [first[place] for place in order]


@pytest.mark.slow
@given(filtered())
@settings(deadline=None, max_examples=60)
def test_the_funnel_adds_up(case: tuple[ClassTable, list[list[str]]]) -> None:
    table, label_sets = case
    counts = funnel(decide(sets(label_sets), rule_of(table)))
    assert list(counts) == ["segments", *REASONS, "candidates"]
    assert counts["segments"] == sum(range(1, len(label_sets) + 1))
    assert counts["segments"] == counts["candidates"] + sum(counts[reason] for reason in REASONS)


def test_too_many_roots_are_refused() -> None:
    nodes = {f"r{number}": Node("", (), 1, (f"r{number}",), "uncurated", "", None) for number in range(65)}
    with pytest.raises(DataError, match="65 roots"):
        rule_of(ClassTable((), nodes))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on the official metadata with the stage run once."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        layout.METADATA.mkdir(parents=True)
        for name, source in metadata.locate().items():
            (layout.METADATA / name).symlink_to(source)
        table = read_decisions(ROOT / "builders/curation/class_decisions.csv")
        save_classes(ontology.class_map(ontology.load_ontology(layout.ONTOLOGY), table, 3), layout.CLASSES)
        stage.main(params())
    return folder


def params(**manifests: Path) -> Params:
    chosen = load_params(ROOT / "params.yaml")
    named = {name: str(path) for name, path in manifests.items()} or {"sample": str(ROOT / "sample/manifest.csv")}
    return chosen.model_copy(update={"candidates": chosen.candidates.model_copy(update={"manifests": named})})


@pytest.mark.slow
def test_the_funnel_ends_in_the_papers_counts(project: Path) -> None:
    funnels = json.loads((project / layout.FUNNEL).read_text())
    ends = {subset: (counts["segments"], counts["candidates"]) for subset, counts in funnels.items()}
    assert ends == {
        "eval": (20_371, 3_518),
        "balanced_train": (22_160, 3_892),
        "unbalanced_train": (2_041_789, 182_970),
        "sample_eval": (27, 21),
        "sample_train": (11, 11),
    }
    for counts in funnels.values():
        assert sum(counts.values()) == 2 * counts["segments"]


@pytest.mark.slow
def test_each_class_has_the_count_of_the_curation_table(project: Path) -> None:
    table = read_table(project / layout.CANDIDATES, CANDIDATES)
    found = Counter(table.select("subset", "class_name").rows())
    with (ROOT / "builders/curation/class_decisions.csv").open(encoding="utf-8", newline="") as stream:
        kept = [row for row in csv.DictReader(stream) if row["decision"] == "keep"]
    for subset in stage.AUDIOSET:
        expected = {(subset, row["class"]): int(row[subset]) for row in kept}
        assert {key: found[key] for key in expected} == expected
    assert len(kept) == 61


def test_candidates_are_sorted_and_as_published(project: Path) -> None:
    table = read_table(project / layout.CANDIDATES, CANDIDATES)
    assert table.select("subset", "clip_id").rows() == sorted(table.select("subset", "clip_id").rows())
    yip = table.filter(pl.col("subset") == "sample_eval", pl.col("clip_id") == "duck-1").row(0, named=True)
    assert yip == {
        "subset": "sample_eval",
        "clip_id": "duck-1",
        "video_id": "gc-duck",
        "start_s": 0.0,
        "end_s": 10.0,
        "label_ids": ["/m/025rv6n", "/m/09ddx", "/m/07qdb04"],
        "class_name": "Fowl",
    }


def test_the_fate_of_any_segment_can_be_looked_up(project: Path) -> None:
    fates = read_table(project / layout.LABEL_SETS, LABEL_SETS)
    known = read_audioset(project / layout.METADATA / "eval_segments.csv", "eval", _labels(project))
    row = known.rows.select("clip_id", "label_ids").first().collect().row(0, named=True)
    assert row["clip_id"] == "--4gqARaEJE_0"
    fate = fates.filter(pl.col("subset") == "eval", pl.col("label_set") == ",".join(row["label_ids"])).row(
        0, named=True
    )
    assert fate["leaves"] == ["/m/07q6cd_", "/m/0bt9lr"]  # Squeak, which is of doors or a brief tone, and Dog
    assert fate["class_nodes"] == ["/m/01z5f", "/m/02dgv", "/t/dd000138"]
    assert (fate["reason"], fate["class_name"]) == ("cross_tree", None)
    assert fates.group_by("subset").agg(pl.col("segments").sum()).sum()["segments"].item() == 2_084_320 + 38


def _labels(project: Path) -> frozenset[str]:
    return frozenset(entry["id"] for entry in json.loads((project / layout.ONTOLOGY).read_text()))


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    outputs = (layout.CANDIDATES, layout.LABEL_SETS, layout.FUNNEL)
    before = [path.read_bytes() for path in outputs]
    stage.main(params())
    assert [path.read_bytes() for path in outputs] == before


@pytest.fixture
def tiny(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose segment lists have one row or none, in the current folder; returns where manifests go."""
    monkeypatch.chdir(tmp_path)
    layout.METADATA.mkdir(parents=True)
    layout.CLASSES.write_bytes((project / layout.CLASSES).read_bytes())
    for subset in stage.AUDIOSET:
        row = 'ABCDEFGHIJK, 0.000, 10.000, "/m/01yrx"\n' if subset == "eval" else ""
        (layout.METADATA / f"{subset}_segments.csv").write_text(f"# YTID\n{row}")
    return tmp_path


def clip(folder: Path, name: str, clip_id: str, split: str) -> Path:
    path = folder / f"{name}.csv"
    path.write_text(f"clip_id,split,label_ids\n{clip_id},{split},/m/01yrx\n")
    return path


def test_a_list_without_rows_is_counted(tiny: Path) -> None:
    stage.main(params(a=clip(tiny, "a", "cat-1", "eval")))
    funnels = json.loads(layout.FUNNEL.read_text())
    assert {subset: counts["candidates"] for subset, counts in funnels.items()} == {
        "eval": 1,
        "balanced_train": 0,
        "unbalanced_train": 0,
        "a_eval": 1,
    }


def test_a_clip_in_two_subsets_is_named(tiny: Path) -> None:
    with pytest.raises(DataError, match="clip ABCDEFGHIJK_0 is in eval and a_train"):
        stage.main(params(a=clip(tiny, "a", "ABCDEFGHIJK_0", "train")))
    assert not layout.CANDIDATES.exists()


def test_a_subset_with_the_name_of_another_is_named(tiny: Path) -> None:
    with pytest.raises(DataError, match=r"a subset balanced_train already(.|\n)*candidates\.manifests\.balanced"):
        stage.main(params(balanced=clip(tiny, "a", "cat-1", "train")))


def test_a_manifest_is_checked_before_audioset_is_read(tiny: Path) -> None:
    (layout.METADATA / "eval_segments.csv").unlink()
    with pytest.raises(DataError, match="line 2, column 'split': '' is not the name of a split"):
        stage.main(params(a=clip(tiny, "a", "cat-1", "")))
