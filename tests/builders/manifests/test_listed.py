"""Lists in the forms in which others publish them: each is read to its known truth, or refused by its place."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_bench.builders.manifests.listed import read_list
from mma_bench.builders.manifests.listed_clips import Named, cut_of
from mma_bench.builders.manifests.listed_fields import plain
from mma_bench.errors import ConfigError, DataError
from mma_bench.pair_list import read_pairs
from tests.builders.manifests import lists
from tests.builders.manifests.test_authors import OUT, imported, refused, run
from tests.builders.manifests.test_authors import project as project

CAT, DOG, BELL = "Y0aaaaaaaaa", "-0bbbbbbbbb", "Church_bell"
CAT_ID, DOG_ID, BELL_ID = f"{CAT}_30000", f"{DOG}_0", f"{BELL}_10000"


def entry(video: str, label: str, **other: Any) -> dict[str, Any]:
    return {"youtube_id": video, "label": label, **other}


BOTH = [entry(CAT, "Cat"), entry(DOG, "Dog")]


def clips() -> set[str]:
    return {row.split(",")[0] for row in (OUT / "clips.csv").read_text().splitlines()[1:]}


def pairs() -> set[tuple[str, str, str]]:
    return {(pair.base_id, pair.donor_id, pair.donor_class) for pair in read_pairs(OUT / "pairs.csv")}


@pytest.mark.parametrize(
    ("content", "paired"),
    [
        ({"clips": BOTH, "misaligned": [{"base": CAT, "donor": DOG}]}, (CAT_ID, DOG_ID, "Canidae")),
        ({"videos": BOTH, "misaligned": [f"Y{CAT}_repDiff_Dog_0.mp4"]}, (CAT_ID, "", "Canidae")),
        ({"aligned": BOTH, "repdiff": [f"Y{CAT}_repDiff_Dog_0.mp4"], "license": "CC BY"}, (CAT_ID, "", "Canidae")),
        ({"aligned": {CAT: "Cat", DOG: "Dog"}, "conflict": [{"clip": CAT, "audio": DOG}]}, (CAT_ID, DOG_ID, "Canidae")),
    ],
)
def test_all_parts_of_a_list_are_read(content: Any, paired: tuple[str, str, str]) -> None:
    imported({"test.json": content})
    assert clips() == {CAT_ID, DOG_ID}
    assert pairs() == {paired}


def test_a_part_beside_a_holder_is_read() -> None:
    imported({"list.json": {"data": [entry(CAT, "Cat", split="test")], "train": [entry("dddddddddd1", "Cat")]}})
    assert clips() == {CAT_ID, "dddddddddd1_20000"}


def test_what_stands_beside_the_parts_is_reported() -> None:
    about = {"license": "CC BY", "info": {"description": "MMA-Bench"}, "version": 1, "classes": ["Cat", "Dog"]}
    report = imported({"list.json": {**about, "test": BOTH}})
    assert clips() == {CAT_ID, DOG_ID}
    assert set(report["fields_not_read"]) == set(about)


@pytest.mark.parametrize("about", [{"more": BOTH}, {"more": [f"Y{CAT}.mp4"]}, {"more": {CAT: "Cat"}}, {CAT: "Cat"}])
def test_clips_beside_the_parts_are_refused(about: dict[str, Any]) -> None:
    said = refused({"test": [entry(DOG, "Dog")], **about})
    assert f"clips.json, {next(iter(about))!r}: holds clips, but is no part of the list by its name" in said


@pytest.mark.parametrize("value", [81, 30.0, None, True, {}, {"score": 0.9}, []])
def test_a_clip_without_an_entry_is_refused(value: Any) -> None:
    assert f"clips.json, 'test', '{CAT}': " in refused({"test": {CAT: value, DOG: "Dog"}})


LINES = [json.dumps({**row, "split": "test"}) for row in BOTH]
ODD = [json.dumps({**row, "title": "a\u2028b\u0085c"}, ensure_ascii=False) for row in BOTH]


@pytest.mark.parametrize(
    "files",
    [
        {"list.json": "\n".join(LINES)},
        {"list.jsonl": json.dumps({"test": BOTH})},
        {"test.jsonl": json.dumps(BOTH, indent=1)},
        {"test.jsonl": "\r\n".join(ODD)},
        {"mma_benchmark.json": json.dumps({"test": BOTH, "train": []})},
        {"mma_benchmark_test.json": json.dumps(BOTH)},
        {"test/clips.json": json.dumps(BOTH), "package.json": '{"name": "lists", "scripts": {"test": "x"}}'},
        {f"test/aligned/Cat/Y{CAT}.MP4": "", f"test/aligned/Dog/Y{DOG}.mp4": ""},
    ],
)
def test_usual_files_are_read(files: dict[str, str]) -> None:
    for name, text in files.items():
        (Path("list") / name).parent.mkdir(parents=True, exist_ok=True)
        (Path("list") / name).write_text(text, newline="")
    result = run("list")
    assert result.exit_code == 0, result.output
    assert clips() == {CAT_ID, DOG_ID}


def test_a_path_that_names_both_splits_is_refused() -> None:
    Path("list/train").mkdir(parents=True)
    Path("list/train/test.json").write_text(json.dumps(BOTH))
    assert "list/train/test.json: its path names train and test" in run("list").output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([entry(CAT, "Cat", url=f"https://www.youtube.com/watch?v={CAT}&t=1m30s", start=30)], "is 30 s and 90 s"),
        ([entry(CAT, "Cat", url=f"https://youtu.be/{CAT}#t=50", start=30)], "is 30 s and 50 s"),
        ([{"url": f"https://youtu.be/{CAT}?t=soon", "label": "Cat"}], "does not name a video"),
        ([{"url": "https://[x", "label": "Cat"}], "does not name a video"),
        ([{"id": 12345678901, "label": "Cat"}], "id 12345678901 does not name a video"),
        ([*BOTH, {"base": CAT, "donor": {"audio_id": DOG, "audio_start": 50}}, entry(DOG, "Dog", start=0)],
         f"donor {DOG}_50000 is not in the list"),
        ([*BOTH, {"base": CAT, "donor": {"id": DOG, "start": 0}, "audio_start": 50}],
         f"start of {DOG} is 0 s and 50 s"),
        ([*BOTH, {"base": CAT, "donor": DOG, "donor_start": 0, "donor_end": 3}],
         f"donor {DOG_ID} ends at 3 s, but at 9"),
        ([entry(CAT, "Cat", start=30), entry(CAT, "Cat", start=50), {"base": f"{CAT}_30", "donor": f"{CAT}_50"}],
         f"donor {CAT}_50000 is of the same video as {CAT}_30000"),
        ([*BOTH, {"video": CAT, "label": "Cat", "misaligned": f"Y{DOG}_repDiff_Vehicle_0.mp4"}],
         f"the entry names {CAT} and misaligned names {DOG}"),
        ([*BOTH, f"Y{CAT}_repDiff_Cat_0.mp4"], "the sound has the class of the picture, Cat"),
        ([{"file": f"Y{CAT}_repDiff_Dog_0.mp4", "label": "Dog"}], "the sound has the class of the picture, Canidae"),
        ([*BOTH, {"base": CAT, "donor": {"file": f"Y{DOG}_repDiff_Cat_0.mp4"}}], "a misaligned clip cannot be a donor"),
        ({"aligned": [f"Y{CAT}.mp4"], "misaligned": [f"Y{DOG}.mp4"]}, "may be one clip with its sound, or a clip each"),
        ([entry(CAT, "Cat", start=30000.5)], "start 30000.5 may be seconds or milliseconds"),
        ([entry(CAT, "Cat", start=599_999_999)], "start 599999999 is not a time in a video"),
        ([entry(CAT, "etc")], "label 'etc' is not in AudioSet's ontology"),
        ([entry(CAT, "Cat中!")], "is not in AudioSet's ontology"),
        ([entry(CAT, "x" * 100_000)], f"label '{'x' * 79}… is not in"),
        ([entry(CAT, "Dog\ud800")], "half of a character"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_by_its_place(content: Any, said: str) -> None:
    output = refused(content, "--split", "test")
    assert said in output
    assert len(output) < 1000


def test_both_names_of_one_clip_each_are_read_as_parts() -> None:
    content = {"aligned": [f"Y{CAT}.mp4"], "misaligned": [f"Y{DOG}_repDiff_Cat_0.mp4"]}
    imported({"test.json": content})
    assert clips() == {CAT_ID, DOG_ID}
    assert pairs() == {(DOG_ID, "", "Cat")}


@pytest.mark.parametrize("turn", [1, -1])
def test_the_order_of_the_entries_changes_nothing(turn: int) -> None:
    content = [entry(CAT, "Cat"), entry(CAT, "Cat", start=50, end=55), {"base": CAT, "donor": DOG}, entry(DOG, "Dog")]
    imported({"test.json": content[::turn]})
    assert "Y0aaaaaaaaa_50000" in (OUT / "clips.csv").read_text()
    assert "50.000,55.000" in (OUT / "clips.csv").read_text()
    assert clips() == {f"{CAT}_50000", DOG_ID}
    assert pairs() == {(f"{CAT}_50000", DOG_ID, "Canidae")}


@pytest.mark.parametrize("turn", [1, -1])
def test_a_sound_named_by_class_and_by_donor_is_one_pair(turn: int) -> None:
    content = [*BOTH, f"Y{CAT}_repDiff_Dog_0.mp4", {"base": CAT, "donor": DOG}]
    report = imported({"test.json": content[::turn]})
    assert pairs() == {(CAT_ID, DOG_ID, "Canidae")}
    assert report["notes"] == {"pairs listed twice": 1}


def test_misaligned_clips_of_one_class_are_told_from_pairs_listed_twice() -> None:
    report = imported({"test.json": [*BOTH, *(f"Y{CAT}_repDiff_Dog_{number}.mp4" for number in (0, 1, 1, 2))]})
    assert pairs() == {(CAT_ID, "", "Canidae")}
    assert report["notes"] == {"misaligned clips of the same class as another; one is made": 3}


def test_an_address_gives_its_times() -> None:
    assert cut_of(f"https://www.youtube.com/embed/{CAT}?start=90&end=100") == cut_of(f"{CAT}_90_100")
    named = cut_of(f"https://youtu.be/{CAT}?t=1h2m3s")
    assert named is not None
    assert named.clip == Named(CAT, 3_723_000)


def test_dropped_classes_with_the_same_first_word_keep_apart() -> None:
    labels = ("Inside, small room", "Inside, public space")
    for order in (labels, labels[::-1]):
        imported({"test.json": [entry(video, label) for video, label in zip((CAT, DOG), order, strict=True)]})
        decisions = (OUT / "class_decisions.csv").read_text()
        assert "Inside_small_room" in decisions
        assert "Inside_public_space" in decisions


def test_audiosets_own_label_texts_are_read() -> None:
    imported({"test.json": [entry(CAT, f"{lists.CAT},{lists.ANIMAL}"), entry(DOG, "Dog")]})
    assert clips() == {CAT_ID, DOG_ID}


def test_a_mistyped_path_is_not_sought_on_the_hub() -> None:
    assert "lists/test.json does not exist" in run("lists/test.json").output
    assert "no list is named" in run("").output
    assert run("/dev/null").exit_code == 2


def test_a_field_name_with_control_characters_is_shown_without_them() -> None:
    lists.write(Path("list"), {"test.json": [entry(CAT, "Cat", **{"a\x1b[31m": 1})]})
    result = run("list")
    assert result.exit_code == 0
    assert "fields that are not read: a\ufffd[31m" in result.output


KEYS = ["test", "clips", "misaligned", "aligned", "youtube_id", "label", "donor", "start", "name", CAT]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
NAMES = st.sampled_from([CAT, f"Y{DOG}.mp4", "Cat", "Dog", f"Y{CAT}_repDiff_Dog_0.mp4"])
JSON = st.recursive(
    LEAVES | NAMES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=11), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_read_or_refused_by_its_place(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "test.json"
    path.write_text(json.dumps(value))
    try:
        found, _ = read_list(path, {plain("Cat"), plain("Dog"), "church_bell"}, "test.json")
    except (ConfigError, DataError) as error:
        said = str(error)
    else:
        said = "" if found else "nothing was found"
    assert said == "" or "test.json" in said
