"""The stage `conflicts` on a small project: every clip under every condition, facts read back, refusals by name."""

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import av
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders import conflicts
from mma_bench.builders.conflicts import context_seed, misleading_class, plan, with_contexts
from mma_bench.builders.dataset.incomplete import without_incomplete
from mma_bench.config import Params, load_params
from mma_bench.errors import ConfigError, DataError
from mma_bench.files import file_sha256
from mma_bench.media import edit as variants
from mma_bench.media.facts import media_facts
from mma_bench.schema import ALIGNED, FACTS, PAIRS, PAPERS_CONDITIONS, TEXT_CONDITIONS, VARIANTS, Condition
from mma_bench.tables import from_rows, read_table, write_table
from tests.clips import AAC, H264, make, picture, tone

PARAMS = Path(__file__).parents[2] / "params.yaml"
CLASSES = ("Cat", "Dog", "Train")
SHARED = (Condition.ALIGNED, *TEXT_CONDITIONS)


def clip_row(clip_id: str, split: str, class_name: str, **more: Any) -> dict[str, Any]:
    return {
        **{"clip_id": clip_id, "split": split, "class_name": class_name, "video_id": clip_id.split("_")[0]},
        **{"start_s": 30.0, "end_s": 31.0, "label_ids": [f"/m/{class_name.lower()}"], "judge": "specialist"},
        **{"source": "sample", "licence": f"licence of {class_name}", "human_verified": class_name != "Dog"},
        **{"path": f"data/normalised/{clip_id}.mp4", "sha256": "", **dict.fromkeys(FACTS)},
        **more,
    }


def pair_row(split: str, base: str, donor: str, rank: int = 0) -> dict[str, Any]:
    pair = {"split": split, "base_id": base, "donor_id": donor, "rank": rank}
    return {**pair, "visual_class": "?", "audio_class": "?", "class_distance": 3 + rank}


def tables(clips: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    return from_rows(clips, ALIGNED), from_rows(pairs, PAIRS)


# The pure part.


@settings(max_examples=60, deadline=None)
@given(
    clip_id=st.text(min_size=1),
    classes=st.sets(st.text(min_size=1), min_size=2, max_size=12),
    new=st.text(min_size=1),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_a_caption_misleads_and_survives_growth(
    clip_id: str, classes: set[str], new: str, seed: int, data: st.DataObject
) -> None:
    own = data.draw(st.sampled_from(sorted(classes)))
    caption = misleading_class(clip_id, own, sorted(classes), seed)
    assert caption in classes - {own}
    # The order of the list says nothing; a new class takes the caption over or leaves it.
    assert misleading_class(clip_id, own, sorted(classes, reverse=True), seed) == caption
    assert misleading_class(clip_id, own, sorted(classes | {new}), seed) in {caption, new} - {own}


def test_captions_are_near_uniform_over_classes_and_change_with_the_seed() -> None:
    classes = [f"class {i}" for i in range(10)]
    captions = [misleading_class(f"clip {i}", classes[i % 10], classes, 1) for i in range(3000)]
    counts = Counter(captions)
    assert set(counts) == set(classes)
    # 300 each expected; five standard deviations either way.
    assert min(counts.values()) > 218
    assert max(counts.values()) < 382
    others = [misleading_class(f"clip {i}", classes[i % 10], classes, 2) for i in range(3000)]
    assert sum(a != b for a, b in zip(captions, others, strict=True)) > 2400


@settings(max_examples=50, deadline=None)
@given(clip_id=st.text(), seed=st.integers(0, 2**32))
def test_context_seeds_fit_63_bits_and_depend_on_clip_and_seed(clip_id: str, seed: int) -> None:
    value = context_seed(clip_id, seed)
    assert 0 <= value < 2**63
    assert value not in {context_seed(clip_id + "x", seed), context_seed(clip_id, seed + 1)}
    assert context_seed(clip_id, seed) == value


def test_seeds_are_the_same_in_every_process_and_version() -> None:
    assert context_seed("abc_30000", 2511) == 8169058823490739898
    assert misleading_class("abc_30000", "Cat", ["Bird", "Cat", "Dog", "Train"], 2511) == "Dog"


def test_plan_has_each_clip_under_each_condition_of_its_split() -> None:
    clips = [clip_row(f"{name}{i}", "test", name) for name in CLASSES for i in range(2)]
    clips += [clip_row("t1", "train", "Cat"), clip_row("t2", "train", "Dog")]
    class_of = {clip["clip_id"]: clip["class_name"] for clip in clips}
    pairs = [pair_row("test", "Cat0", "Dog1"), pair_row("train", "t1", "t2")]
    conditions = {"test": list(PAPERS_CONDITIONS), "train": [Condition.MISALIGNED, Condition.ALIGNED]}
    rows = plan(*tables(clips, pairs), conditions, 7)
    assert [(row["split"], row["condition"], row["id"]) for row in rows] == sorted(
        [("test", c, f"{clip['clip_id']}.{c}") for c in PAPERS_CONDITIONS if c != "misaligned" for clip in clips[:6]]
        + [("test", "misaligned", "Cat0.misaligned.Dog1")]
        + [("train", "aligned", "t1.aligned"), ("train", "aligned", "t2.aligned")]
        + [("train", "misaligned", "t1.misaligned.t2")]
    )
    for row in rows:
        assert ("caption" in row) == (row["condition"] == "misleading_caption")
        assert ("context_seed" in row) == (row["condition"] == "long_context")
        assert "context" not in row, "a text of tens of kilobytes"
        if row["condition"] == "misleading_caption":
            assert row["caption"] in set(CLASSES) - {row["visual_class"]}
        if row["condition"] != "misaligned":
            assert row["visual_class"] == row["audio_class"] == class_of[row["base_id"]]
            assert "donor_id" not in row


def test_each_clip_has_its_own_context_which_depends_on_the_seed_alone() -> None:
    clips = [clip_row(f"c{i}", "test", "Cat") for i in range(4)]

    def contexts(clips: list[dict[str, Any]], seed: int, words: int) -> dict[str, str]:
        rows = plan(*tables(clips, []), {"test": [Condition.LONG_CONTEXT]}, seed)
        return {row["base_id"]: row["context"] for row in with_contexts(rows, words)}

    texts = contexts(clips, 1, 50)
    assert len(set(texts.values())) == 4
    assert {len(text.split()) for text in texts.values()} == {50}
    assert contexts(clips[:1], 1, 50) == {"c0": texts["c0"]}
    assert contexts(clips, 2, 50)["c0"] != texts["c0"]
    assert contexts(clips, 1, 60)["c0"].startswith(texts["c0"])


def test_a_misaligned_row_tells_of_both_clips() -> None:
    clips = [clip_row("a", "test", "Cat"), clip_row("b", "test", "Dog", source="folder"), clip_row("c", "test", "Cat")]
    rows = plan(*tables(clips, [pair_row("test", "a", "b"), pair_row("test", "c", "a")]), {"test": ["misaligned"]}, 1)
    mixed, alike = rows
    assert (mixed["visual_class"], mixed["audio_class"], mixed["class_distance"]) == ("Cat", "Dog", 3)
    assert mixed["licence"] == "video: licence of Cat; audio: licence of Dog"
    assert mixed["source"] == "video: sample; audio: folder"
    assert mixed["human_verified"] is False  # the donor was not
    assert (mixed["video_id"], mixed["label_ids"], mixed["judge"]) == ("a", ["/m/cat"], "specialist")
    assert (alike["licence"], alike["source"], alike["human_verified"]) == ("licence of Cat", "sample", True)


def test_a_pair_with_an_unknown_clip_stops_the_stage() -> None:
    clips = [clip_row("a", "test", "Cat"), clip_row("b", "train", "Dog")]
    with pytest.raises(DataError, match=r"pairs\.parquet: b is not an aligned clip of split 'test'"):
        plan(*tables(clips, [pair_row("test", "a", "b")]), {"test": [Condition.MISALIGNED]}, 1)


def test_no_caption_can_mislead_among_clips_of_one_class() -> None:
    clips = [clip_row("a", "test", "Cat"), clip_row("b", "test", "Cat")]
    with pytest.raises(DataError, match=r"all clips of split 'test' are Cat.*\n.*conflicts\.conditions\.test"):
        plan(*tables(clips, []), {"test": [Condition.MISLEADING_CAPTION]}, 1)
    assert len(plan(*tables(clips, []), {"test": [Condition.LONG_CONTEXT]}, 1)) == 2


# The whole stage, under the paper's conditions; for the others see test_conflict_steps.py.


def papers_params() -> Params:
    found = load_params(PARAMS)
    conditions = found.conflicts.conditions | {"test": list(PAPERS_CONDITIONS)}
    return found.model_copy(update={"conflicts": found.conflicts.model_copy(update={"conditions": conditions})})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two test clips and one train clip of each class, on which the stage has run once."""
    root = tmp_path_factory.mktemp("project")
    rows = []
    for number, (split, name) in enumerate([("test", c) for c in CLASSES * 2] + [("train", c) for c in CLASSES]):
        clip_id = f"{name}{number}_30000"
        path = root / f"data/normalised/{clip_id}.mp4"
        inputs = (*picture(1, "64x48", "10"), *tone(1 + number % 2 / 4, 200 + 50 * number, 16000))
        make(path, *inputs, "-vf", f"hue=h={40 * number}", *H264, *AAC)
        file = {"path": path.relative_to(root).as_posix(), "sha256": file_sha256(path)}
        rows.append(clip_row(clip_id, split, name, **file, **media_facts(path)))
    ids = {split: [row["clip_id"] for row in rows if row["split"] == split] for split in ("test", "train")}
    pairs = [
        pair_row(split, base, ids[split][(number + 1 + rank) % len(ids[split])], rank)
        for split, ranks in (("test", 1), ("train", 2))
        for number, base in enumerate(ids[split])
        for rank in range(ranks)
    ]
    write_table(from_rows(rows, ALIGNED), root / layout.ALIGNED, ALIGNED, ["split", "clip_id"])
    write_table(from_rows(pairs, PAIRS), root / layout.PAIRS, PAIRS, ["split", "base_id", "rank"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        conflicts.main(papers_params())
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished project, which is the current folder."""
    root = tmp_path / "project"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def params() -> Params:
    return papers_params()


def table() -> pl.DataFrame:
    return read_table(layout.VARIANTS, VARIANTS)


def packet_hash(path: str, kind: str, first: int | None = None) -> str:
    """Its own few lines, so that a fault in the stage's hashing cannot hide."""
    digest = hashlib.sha256()
    with av.open(path) as container:
        payloads = [bytes(packet) for packet in container.demux(**{kind: 0}) if packet.size]
    for payload in payloads[:first]:
        digest.update(len(payload).to_bytes(8, "big") + payload)
    return digest.hexdigest()


def packet_count(path: str) -> int:
    with av.open(path) as container:
        return sum(1 for packet in container.demux(audio=0) if packet.size)


@pytest.mark.slow
def test_rows_hold_facts_of_the_written_files_and_promises_of_the_sources(project: Path) -> None:
    clips = {row["clip_id"]: row for row in read_table(layout.ALIGNED, ALIGNED).iter_rows(named=True)}
    rows = table().rows(named=True)
    assert len(rows) == 6 * 6 + 3 * (1 + 2)
    assert {row["status"] for row in rows} == {"ok"}
    for row in rows:
        base = clips[row["base_id"]]
        assert row["base_video_sha256"] == packet_hash(base["path"], "video")
        assert row["sha256"] == file_sha256(Path(row["path"]))
        assert {key: row[key] for key in FACTS} == media_facts(Path(row["path"]))
        if row["condition"] in SHARED:
            assert row["path"] == base["path"]
            assert row["source_audio_sha256"] == packet_hash(base["path"], "audio")
            continue
        assert row["path"] == f"data/variants/{row['split']}/{row['condition']}/{row['id']}.mp4"
        if row["condition"] == "misaligned":
            donor = clips[row["donor_id"]]
            promised = packet_hash(donor["path"], "audio", packet_count(row["path"]))
            assert row["source_audio_sha256"] == row["audio_sha256"] == promised
            assert row["video_sha256"] == row["base_video_sha256"]
        elif row["condition"] == "audio_removed":
            assert (row["source_audio_sha256"], row["audio_peak"]) == (None, 0.0)
            assert row["video_sha256"] == row["base_video_sha256"]
        else:
            assert row["source_audio_sha256"] == row["audio_sha256"] == packet_hash(base["path"], "audio")
            assert (row["luma_max"], row["motion"], row["frames"]) == (0.0, 0.0, base["frames"])
    assert json.loads(layout.metrics("conflicts").read_text()) == {
        "test": {"in": 36, "ok": 36},
        "train": {"in": 9, "ok": 9},
    }


def test_facts_are_read_from_the_file_not_assumed(
    project: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    # If black frames came out with the base's picture and sound silenced by mistake, the row would say so.
    monkeypatch.setattr(variants, "zero_frames", variants.remove_audio)
    payload = {"id": "x", "condition": "frames_zeroed", "folder": "out", "base": source_of("Cat0_30000")}
    row = conflicts.make_variant(payload)
    assert row["luma_max"] > 100
    assert row["audio_peak"] == 0.0
    assert row["audio_sha256"] != row["source_audio_sha256"] == packet_hash(payload["base"]["path"], "audio")


def source_of(clip_id: str) -> dict[str, Any]:
    clip = read_table(layout.ALIGNED, ALIGNED).row(by_predicate=pl.col("clip_id") == clip_id, named=True)
    return {
        "clip_id": clip_id,
        "path": clip["path"],
        "sha256": clip["sha256"],
        "found": file_sha256(Path(clip["path"])),
    }


@pytest.mark.slow
def test_a_second_run_does_nothing_and_strays_go(project: Path, params: Params) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in project.rglob("*.mp4")}
    written, ledger = layout.VARIANTS.read_bytes(), layout.ledger("conflicts").read_bytes()
    stray = layout.VARIANT_CLIPS / "test/misaligned/old.mp4"
    stray.write_bytes(b"of earlier pairs")
    conflicts.main(params)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in project.rglob("*.mp4")} == before
    assert layout.VARIANTS.read_bytes() == written
    assert layout.ledger("conflicts").read_bytes() == ledger


@pytest.mark.slow
def test_missing_and_changed_sources_are_refused_by_name_and_mended_by_their_return(
    project: Path, params: Params, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = layout.VARIANTS.read_bytes()
    gone, changed = Path("data/normalised/Cat0_30000.mp4"), Path("data/normalised/Dog1_30000.mp4")
    gone.rename("gone.mp4")
    shutil.copy(changed, "changed.mp4")
    changed.write_bytes(changed.read_bytes()[:-1])
    conflicts.main(params)

    rows = table().rows(named=True)
    touched = {"Cat0_30000": "source_missing", "Dog1_30000": "source_changed"}
    for row in rows:
        # The base is looked at first.
        clip_id = next((part for part in (row["base_id"], row["donor_id"]) if part in touched), None)
        assert (row["reason"], row["status"]) == ((touched[clip_id], "refused") if clip_id else ("", "ok"))
        if clip_id:
            assert f"data/normalised/{clip_id}.mp4" in row["detail"]
            assert [row[key] for key in ("path", "sha256", *FACTS)] == [None] * (2 + len(FACTS))
    # Each under six conditions; Cat0 sounds in one more, Dog1 in one of Cat0's.
    assert json.loads(layout.metrics("conflicts").read_text()) == {
        "test": {"in": 36, "source_changed": 6, "source_missing": 7, "ok": 23},
        "train": {"in": 9, "ok": 9},
    }
    on_disk = {path.as_posix() for path in layout.VARIANT_CLIPS.rglob("*.mp4")}
    assert on_disk == {row["path"] for row in rows if row["path"] and row["path"].startswith("data/variants")}

    Path("gone.mp4").rename(gone)
    Path("changed.mp4").rename(changed)
    conflicts.main(params)
    assert layout.VARIANTS.read_bytes() == whole


@pytest.mark.slow
def test_a_clip_that_breaks_is_refused_and_the_others_go_on(project: Path, params: Params) -> None:
    # A damaged file that the table of aligned clips vouches for: the stage finds it when it reads it.
    path = Path("data/normalised/Train2_30000.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    aligned = read_table(layout.ALIGNED, ALIGNED).with_columns(
        sha256=pl.when(pl.col("path") == path.as_posix()).then(pl.lit(file_sha256(path))).otherwise("sha256")
    )
    write_table(aligned, layout.ALIGNED, ALIGNED, ["split", "clip_id"])
    conflicts.main(params)
    rows = table().filter(pl.col("status") == "refused").rows(named=True)
    own = [row for row in rows if row["reason"] != "incomplete"]
    assert sorted(row["id"] for row in own) == [
        "Dog1_30000.misaligned.Train2_30000",
        "Train2_30000.audio_removed",
        "Train2_30000.frames_zeroed",
        "Train2_30000.misaligned.Cat3_30000",
    ]
    assert all(path.as_posix() in row["detail"] for row in own)
    # Conditions are compared clip by clip: the two clips are in none.
    assert sorted(row["base_id"] for row in rows) == ["Dog1_30000"] * 6 + ["Train2_30000"] * 6
    assert {row["detail"] for row in rows if row["base_id"] == "Dog1_30000" and row not in own} == {
        f"Dog1_30000.misaligned.Train2_30000: {own[0]['reason']}"
    }


@pytest.mark.parametrize(
    ("reason", "variant", "facts"),
    [
        ("silent", "misaligned", {"audio_peak": 0.0001}),
        ("silent", "frames_zeroed", {"audio_peak": 0.0001}),
        ("uncovered", "misaligned", {"audio_duration_s": 0.7}),
        ("", "audio_removed", {"audio_peak": 0.0}),
        ("", "misaligned", {"audio_duration_s": 0.8}),
    ],
)
def test_a_variant_that_cannot_be_used_takes_its_clip_along(
    params: Params, reason: str, variant: str, facts: dict[str, float]
) -> None:
    good = {"status": "ok", "reason": "", "detail": "", "audio_peak": 0.1, "path": "x.mp4"}
    good |= {"video_duration_s": 1.0, "audio_duration_s": 1.0}
    conditions = ("aligned", "misaligned", "audio_removed", "frames_zeroed")
    rows = [
        {**good, "id": f"{base}.{name}", "condition": name, "split": "test", "base_id": base}
        for base in ("a", "b")
        for name in conditions
    ]
    next(row for row in rows if row["id"] == f"a.{variant}").update(facts)
    found = without_incomplete(from_rows(rows, VARIANTS), params)
    of_a, of_b = (found.filter(pl.col("base_id") == base) for base in ("a", "b"))
    assert set(of_b["status"]) == {"ok"}
    due = {name: (reason if name == variant else "incomplete") if reason else "" for name in conditions}
    assert dict(of_a.select("condition", "reason").iter_rows()) == due
    assert of_a["path"].is_null().all() == bool(reason)
    assert found.schema == VARIANTS


@pytest.mark.slow
def test_another_seed_changes_prompts_and_touches_no_file(project: Path, params: Params) -> None:
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*.mp4")}
    old = table()
    changed = params.conflicts.model_copy(update={"seed": params.conflicts.seed + 1})
    conflicts.main(params.model_copy(update={"conflicts": changed}))
    new = table()
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*.mp4")} == before
    prompts = ["caption", "context_seed", "context"]
    assert new.drop(prompts).equals(old.drop(prompts))
    assert (new["context_seed"] != old["context_seed"]).sum() == 6


def test_conditions_left_out_leave_no_rows_and_no_files(project: Path, params: Params) -> None:
    fewer = params.conflicts.model_copy(update={"conditions": {"test": [Condition.ALIGNED]}})
    conflicts.main(params.model_copy(update={"conflicts": fewer}))
    assert table()["condition"].to_list() == ["aligned"] * 6
    assert not [path for path in layout.VARIANT_CLIPS.rglob("*") if path.is_file()]
    shutil.rmtree(layout.VARIANT_CLIPS)
    conflicts.main(params.model_copy(update={"conflicts": fewer}))
    assert layout.VARIANT_CLIPS.is_dir()  # an output of the stage, even if empty


def test_a_three_way_row_has_a_caption_of_a_third_class() -> None:
    clips = [clip_row(f"{name}{number}", "test", name) for name in CLASSES for number in range(3)]
    pairs = [pair_row("test", "Cat0", "Dog1"), pair_row("test", "Cat0", "Train1", 1), pair_row("test", "Dog0", "Cat1")]
    conditions = {"test": [Condition.MISALIGNED, Condition.THREE_WAY]}
    rows = [row for row in plan(*tables(clips, pairs), conditions, 7) if row["condition"] == "three_way"]
    assert [(row["id"], row["caption"]) for row in rows] == [
        ("Cat0.three_way.Dog1", "Train"),
        ("Dog0.three_way.Cat1", "Train"),
    ]


def test_three_way_needs_misaligned_and_a_third_class() -> None:
    clips = [clip_row("a", "test", "Cat"), clip_row("b", "test", "Dog")]
    pairs = [pair_row("test", "a", "b")]
    with pytest.raises(ConfigError, match="three_way without misaligned"):
        plan(*tables([*clips, clip_row("c", "test", "Train")], pairs), {"test": [Condition.THREE_WAY]}, 7)
    with pytest.raises(DataError, match="Cat or Dog, no caption can mislead"):
        plan(*tables(clips, pairs), {"test": [Condition.MISALIGNED, Condition.THREE_WAY]}, 7)
