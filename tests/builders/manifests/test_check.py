"""`mma-bench candidates check`: what the filter will keep, and why not the rest, with another label set and its map."""

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mma_bench import layout
from mma_bench.builders import metadata
from mma_bench.builders.candidates import REASONS, candidates, decide, rule_of
from mma_bench.builders.labels.decisions import read_decisions
from mma_bench.builders.labels.manifests import read_manifest
from mma_bench.builders.labels.segments import read_clip_manifest
from mma_bench.builders.manifests import check as report
from mma_bench.builders.ontology import class_map, load_ontology
from mma_bench.classes import load_classes, save_classes
from mma_bench.cli import main
from mma_bench.errors import DataError

ROOT = Path(__file__).parents[3]
CAT, DOG, BARK, SPEECH, MUSIC = "/m/01yrx", "/m/0bt9lr", "/m/05tny_", "/m/09x0r", "/m/04rlf"


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's own class list."""
    path = tmp_path_factory.mktemp("classes") / "classes.json"
    ontology = load_ontology(metadata.locate()["ontology.json"])
    save_classes(class_map(ontology, read_decisions(ROOT / "builders/curation/class_decisions.csv"), 3), path)
    return path


@pytest.fixture
def project(tmp_path: Path, classes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    layout.CLASSES.parent.mkdir(parents=True)
    layout.CLASSES.write_bytes(classes.read_bytes())
    return tmp_path


def write(path: str, *rows: tuple[str, ...]) -> None:
    Path(path).parent.mkdir(exist_ok=True)
    with Path(path).open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def check(path: str = "mine/manifest.csv") -> Result:
    return CliRunner().invoke(main, ["candidates", "check", path])


def test_kept_and_dropped_clips_are_counted_with_reasons_and_examples(project: Path) -> None:
    write(
        "mine/manifest.csv",
        ("clip_id", "split", "label_ids"),
        *((f"cat-{at}", "eval", CAT) for at in range(4)),
        ("dog-1", "train", f"{DOG};{BARK}"),
        ("pets", "eval", f"{CAT};{DOG}"),
        ("film", "eval", f"{CAT};{SPEECH}"),
        *((f"talk-{at}", "eval", SPEECH) for at in range(5)),
    )
    done = check()
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "eval: 4 of 11 clips are kept",
        "  1 of 61 classes: Cat 4",
        "  cross_tree 1: labels of events without a common root, e.g. film (Cat, Speech)",
        "  multi_class 1: labels of several classes, e.g. pets (Cat, Dog)",
        "  removed_actionless 5: its label has no visible action or object, e.g. talk-0 (Speech); talk-1 (Speech); "
        "talk-2 (Speech)",
        "train: 1 of 1 clips are kept",
        "  1 of 61 classes: Canidae 1",
    ]
    assert set(REASONS) <= report._WHY.keys()


def test_it_says_what_the_filter_then_does(project: Path) -> None:
    """On the bundled sample, whose manifest is one."""
    table = load_classes(layout.CLASSES)
    lists = read_clip_manifest(ROOT / "sample/manifest.csv", "sample", table.nodes)
    kept = {
        name: candidates(segments, decide(segments.label_sets, rule_of(table))).height
        for name, segments in lists.items()
    }
    done = check(str(ROOT / "sample/manifest.csv"))
    assert f"eval: {kept['sample_eval']} of 27 clips are kept" in done.output
    assert f"train: {kept['sample_train']} of 11 clips are kept" in done.output


def test_unknown_labels_are_all_named_with_the_nearest(project: Path) -> None:
    write(
        "mine/manifest.csv",
        ("clip_id", "split", "label_ids"),
        ("a", "eval", CAT),
        ("b", "eval", "Violin"),
        ("c", "eval", "/m/01yrX"),
        ("d", "eval", "zzzz"),
        ("e", "eval", "zzzz"),
    )
    done = check()
    assert done.exit_code == 1
    assert "eval: 1 of 5 clips are kept" in done.output
    assert "not counted: 4 clips with 3 unknown labels" in done.output
    assert "'Violin' (mine/manifest.csv, line 3); nearest: Violin, fiddle (/m/07y_7)" in done.output
    assert "'/m/01yrX' (mine/manifest.csv, line 4); nearest: Cat (/m/01yrx)" in done.output
    assert "'zzzz' (mine/manifest.csv, line 5); none of AudioSet's is near; map it in labels.csv" in done.output
    assert "hint: correct them, or map them to AudioSet's labels in labels.csv" in done.output


def test_another_label_set_is_mapped_by_a_table_beside_the_manifest(project: Path) -> None:
    write(
        "mine/manifest.csv", ("clip_id", "split", "labels"), ("a", "eval", "puppy; woof woof"), ("b", "eval", "radio")
    )
    write("mine/labels.csv", ("label", "label_id"), ("puppy", DOG), ("woof woof", BARK), ("radio", MUSIC))
    done = check()
    assert done.exit_code == 0
    assert "  1 of 61 classes: Canidae 1" in done.output
    nodes = load_classes(layout.CLASSES).nodes
    lists = read_clip_manifest(Path("mine/manifest.csv"), "mine", nodes)
    assert lists["mine_eval"].rows.select("clip_id", "label_ids").collect().rows() == [
        ("a", [DOG, BARK]),
        ("b", [MUSIC]),
    ]
    write("mine/labels.csv", ("label", "label_id"), ("puppy", DOG), ("radio", MUSIC))
    assert "'woof woof' (mine/manifest.csv, line 2)" in check().output
    with pytest.raises(
        DataError, match=r"unknown label 'woof woof'(.|\n)*mma-bench candidates check mine/manifest\.csv"
    ):
        read_clip_manifest(Path("mine/manifest.csv"), "mine", nodes)


def test_clips_of_one_video_stay_together(project: Path) -> None:
    write(
        "mine/manifest.csv",
        ("clip_id", "split", "label_ids", "video"),
        ("a", "eval", CAT, "v.1"),
        ("b", "eval", CAT, ""),
    )
    assert [clip.video_id for clip in read_manifest(Path("mine/manifest.csv"))] == ["v.1", "b"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("a", "Test Set", CAT), "line 2, column 'split'"),
        (("../a", "eval", CAT), "line 2, column 'clip_id'"),
        (("a", "eval", f"{CAT},{DOG}"), "separate label ids by ';'"),
    ],
)
def test_a_wrong_row_is_named(rows: tuple[str, ...], message: str, project: Path) -> None:
    write("mine/manifest.csv", ("clip_id", "split", "label_ids"), rows)
    done = check()
    assert done.exit_code == 1
    assert message in done.output
    assert check("gone.csv").exit_code == 1


def test_without_the_class_list_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("mine/manifest.csv", ("clip_id", "split", "label_ids"), ("a", "eval", CAT))
    done = check()
    assert done.exit_code == 1
    assert "data/classes.json" in done.output
