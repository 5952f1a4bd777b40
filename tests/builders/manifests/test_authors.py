"""`mma-bench authors import`: a list in many forms gives one result; what is ambiguous is refused by its place."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mma_bench.builders import metadata
from mma_bench.builders.labels.decisions import read_decisions
from mma_bench.builders.labels.manifests import read_manifest
from mma_bench.builders.manifests import authors_import
from mma_bench.cli import main
from mma_bench.frozen import read_frozen_manifest
from mma_bench.pair_list import read_pairs
from tests.builders.manifests import lists
from tests.builders.publish.conftest import hub as hub
from tests.hub import Hub as StandIn
from tests.hub import Repo

OUT = Path("manifests/authors")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AudioSet's own ontology, and lists of a few segments."""
    official = {**lists.write_audioset(tmp_path / "audioset"), "ontology.json": metadata.locate()["ontology.json"]}
    monkeypatch.setattr(authors_import, "locate", lambda: official)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["authors", "import", *arguments])


def imported(files: dict[str, Any], *options: str) -> dict[str, Any]:
    result = run(str(lists.write(Path("list"), files)), *options)
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads((OUT / "import.json").read_text())
    return report


def refused(content: Any, *options: str) -> str:
    result = run(str(lists.write(Path("list"), {"clips.json": content}) / "clips.json"), *options)
    assert result.exit_code == 1, result.output
    assert not OUT.exists()
    return result.output


@pytest.mark.parametrize("form", lists.FORMS)
def test_every_form_gives_the_same_clips_and_pairs(form: str) -> None:
    report = imported(lists.FORMS[form])
    clips = {clip.clip_id: clip for clip in read_manifest(OUT / "clips.csv")}
    assert {name: (clip.video_id, clip.start_s, clip.split) for name, clip in clips.items()} == {
        name: (video, start, split) for name, (video, start, _, split) in lists.CLIPS.items()
    }
    assert clips["-0bbbbbbbbb_0"].end_s == 9.0  # as AudioSet's list says, where the list is silent
    assert {clip: by.label_ids for clip, by in clips.items()}["Church_bell_10000"] == (lists.VEHICLE,)
    pairs = {pair.base_id: (pair.donor_id, pair.donor_class) for pair in read_pairs(OUT / "pairs.csv")}
    named = not form.startswith("repdiff")
    assert pairs == {base: (donor if named else "", lists.CLIPS[donor][2]) for base, donor in lists.PAIRS}
    frozen = read_frozen_manifest(OUT / "frozen.csv")
    assert sorted(frozen["clip_id"]) == sorted(lists.CLIPS)
    assert [report["splits"][split]["clips"] for split in ("test", "train")] == [3, 2]
    assert report["label_filter"]["dropped: cross_tree"]["examples"] == ["Church_bell_10000"]
    assert report["label_filter"]["same class"]["clips"] == 4
    assert report["splits"]["train"]["clips_by_audioset_list"] == {"balanced_train": 1, "unbalanced_train": 1}


def test_a_folder_of_the_authors_media_is_read_by_its_names() -> None:
    folder = Path("media/test")
    folder.mkdir(parents=True)
    for name in ("YY0aaaaaaaaa.mp4", "Y-0bbbbbbbbb.mp4", "YY0aaaaaaaaa_repDiff_Canidae_0.mp4", "notes.txt"):
        (folder / name).touch()
    result = run("media")
    assert result.exit_code == 0, result.output
    pairs = read_pairs(OUT / "pairs.csv")
    assert [(pair.base_id, pair.donor_id, pair.donor_class) for pair in pairs] == [("Y0aaaaaaaaa_30000", "", "Canidae")]
    assert "clips whose class the list does not state; it is that of this project: 2" in result.output


def test_a_class_that_the_table_drops_is_kept_for_the_list() -> None:
    entries = [lists.entry("Y0aaaaaaaaa_30000", label="Male speech, man speaking"), lists.entry("-0bbbbbbbbb_0")]
    report = imported({"test.json": entries})
    assert report["classes"]["kept_for_this_list"] == {"/m/09x0r": "Speech"}
    assert report["classes"]["only_in_the_list"] == ["Speech"]
    decisions = {item.node_id: item for item in read_decisions(OUT / "class_decisions.csv")}
    assert (decisions["/m/09x0r"].action, decisions["/m/09x0r"].class_name) == ("keep", "Speech")
    table = metadata.locate()["ontology.json"]
    classes = authors_import.class_map(authors_import.load_ontology(table), list(decisions.values()), 3)
    assert classes.nodes["/m/09x0r"].class_name == "Speech"


def test_the_report_tells_how_the_list_differs() -> None:
    lists.write(Path("list"), {"test.json": [lists.entry(clip, mood="calm") for clip in list(lists.CLIPS)[:3]]})
    output = run("list").output
    assert "test: 3 clips of 3 classes (paper: 658 of 49)" in output
    assert "train: 0 clips of 0 classes (paper: 1,207 of 58)" in output
    assert "this project's label filter, dropped: cross_tree: 1 clips, e.g. Church_bell_10000" in output
    assert "fields that are not read: mood" in output
    with (OUT / "pairs.csv").open() as stream:
        assert list(csv.DictReader(stream)) == []


CAT, DOG = "Y0aaaaaaaaa_30000", "-0bbbbbbbbb_0"
ENTRY, OTHER = lists.entry(CAT, split="test"), lists.entry(DOG, split="test")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{**ENTRY, "video_id": "zzzzzzzzzzz"}],
         "entry 0: youtube_id names Y0aaaaaaaaa and video_id names zzzzzzzzzzz"),
        ([{**ENTRY, "file": "Y0aaaaaaaaa_50000.mp4"}], "entry 0: the start of Y0aaaaaaaaa is 30 s and 50 s"),
        ([{**ENTRY, "class": "Dog"}], "entry 0: labels of several classes: Canidae, Cat"),
        ([{**ENTRY, "label": "Unicorn"}], "entry 0: label 'Unicorn' is not in AudioSet's ontology"),
        ([{**ENTRY, "label": 3}], "entry 0: label 3 is not a label"),
        ([ENTRY, {**ENTRY, "label": "Dog"}], f"entry 1: the class of {CAT} is Canidae, but Cat in"),
        ([ENTRY, {**ENTRY, "split": "train"}], f"entry 1: the split of {CAT} is train, but test in"),
        ([ENTRY, {**ENTRY, "start_seconds": 50, "end_seconds": 60, "split": "train"}],
         "entry 1: video Y0aaaaaaaaa is in train, but in test in"),
        ([{**ENTRY, "split": "validation"}], "entry 0: 'validation' is not a split"),
        ([lists.entry(CAT)], "entry 0: its split is not stated"),
        ([{"label": "Cat", "split": "test"}], "entry 0: no field names the clip; its fields are label, split"),
        ([{**ENTRY, "youtube_id": "too short"}], "entry 0: youtube_id 'too short' does not name a video"),
        ([{"id": "zzzzzzzzzzz", "label": "Cat", "split": "test"}],
         "its start is not stated, and zzzzzzzzzzz is not in"),
        ([{**ENTRY, "start_seconds": "soon"}], "entry 0: start_seconds 'soon' is not a time"),
        ([{**ENTRY, "end_seconds": 30}], "entry 0: Y0aaaaaaaaa has an end (30 s) that is not after a start"),
        ([{**ENTRY, "end_seconds": 55}], "entry 0: 25 s are longer than AudioSet's 10 s"),
        ([{**ENTRY, "donor_id": "zzzzzzzzzzz_30"}], "donor zzzzzzzzzzz_30000 is not in the list, and its class is not"),
        ([ENTRY, {**OTHER, "donor_id": "Y0aaaaaaaaa", "donor_class": "Truck"}],
         f"entry 1: donor {CAT} is Vehicle, but Cat"),
        ([{**ENTRY, "donors": ["-0bbbbbbbbb", "Church_bell_10"], "donor_class": "Dog"}], "2 sounds, but 1 labels"),
        ([{**ENTRY, "video": "Y0aaaaaaaaa_repDiff_Cat_0.mp4", "donor": "-0bbbbbbbbb"}, OTHER],
         "donor -0bbbbbbbbb_0 is Cat, but Canidae"),
        ([{**ENTRY, "label": "Hiss"}], "entry 0: label 'Hiss' is no class of its own: in the ontology it belongs to"),
        ([{**ENTRY, "label": "Animal"}], "entry 0: label 'Animal' and class"),
        ([{**ENTRY, "donor": 5}], "entry 0: donor 5 names neither a video of YouTube nor a label"),
        ([3], "entry 0: 3 is not an entry"),
        ([ENTRY, {"foo": 1}], "entry 1: no clip is named"),
        ({"test": [ENTRY, {}]}, "'test', entry 1: no clip is named"),
        ({"train_aligned": [ENTRY]}, "'train_aligned', entry 0: of test and of train"),
        ({"test": {"train": [ENTRY]}}, "'test', 'train': train inside of test"),
        ({"first": {"second": {"third": [ENTRY]}}}, "neither a split, a clip, a class nor a field"),
    ],
)  # fmt: skip
def test_what_is_ambiguous_is_refused_by_its_place(content: Any, said: str) -> None:
    assert said in refused(content)


def test_a_list_that_is_not_json_or_has_a_key_twice_is_refused() -> None:
    Path("list.json").write_text('{"test": [{"id": "Y0aaaaaaaaa", "id": "-0bbbbbbbbb"}]}')
    assert "key 'id' occurs twice in one object" in run("list.json").output
    Path("list.json").write_text("[" * 100_000)
    assert "list.json is nested too deeply" in run("list.json").output
    Path("list.json").write_bytes(b"\xff\xfe\x00")
    assert run("list.json").exit_code == 1
    Path("list.json").write_text("[]")
    assert (run("list.json").exit_code, "has no entries" in run("list.json").output) == (2, True)
    assert "does not exist" in run("nowhere.json").output
    Path("list.csv").write_text("youtube_id,label")
    assert "list.csv is not JSON (.json, .jsonl)" in run("list.csv").output
    assert "--revision applies to datasets on the Hub" in run("list.json", "--revision", "1").output


def test_a_list_on_the_hub_is_fetched_without_its_media(hub: StandIn) -> None:
    files = {
        name: json.dumps(content).encode() for name, content in lists.FORMS["aligned_and_misaligned_apart"].items()
    }
    hub.repos["dataset", "someone/lists"] = Repo()
    commit = hub.repos["dataset", "someone/lists"].commit(
        {**files, "README.md": b"# Lists", "media/clip.mp4": b"media"}
    )
    result = run("someone/lists", "--revision", commit)
    assert result.exit_code == 0, result.output
    assert len(read_manifest(OUT / "clips.csv")) == len(lists.CLIPS)
    assert not hub.sent("mp4")
    report = json.loads((OUT / "import.json").read_text())
    assert (report["source"], report["revision"]) == ("someone/lists", commit)


def test_a_list_that_the_hub_lacks_is_said_to_be_missing(hub: StandIn) -> None:
    result = run("someone/nothing")
    assert result.exit_code != 0
    assert "someone/nothing" in result.output
    assert "check ORG/NAME" in result.output
    hub.repos["dataset", "someone/odd"] = Repo()
    hub.repos["dataset", "someone/odd"].commit({"test.json": b'[{"label": "Cat"}]'})
    assert "error: someone/odd/test.json, entry 0: no field names the clip" in run("someone/odd").output
    hub.repos["dataset", "someone/pictures"] = Repo()
    hub.repos["dataset", "someone/pictures"].commit({"a.png": b"png"})
    assert "someone/pictures holds neither JSON (.json, .jsonl) nor media" in run("someone/pictures").output


def test_donors_outside_of_the_list_are_replaced_by_their_class_and_counted() -> None:
    entry = lists.entry(CAT, split="test", audio_id="zzzzzzzzzzz_30", audio_label="Dog")
    report = imported({"clips.json": [entry, OTHER]})
    assert report["notes"] == {"donors that are not in the list; a clip of their class is taken": 1}
    assert [(pair.donor_id, pair.donor_class) for pair in read_pairs(OUT / "pairs.csv")] == [("", "Canidae")]


def test_an_aligned_entry_may_state_the_class_of_both_senses() -> None:
    entries = [{**ENTRY, "audio_label": "Cat"}, {**OTHER, "audio_id": "-0bbbbbbbbb"}]
    assert imported({"clips.json": entries})["pairs"]["pairs"] == 0
