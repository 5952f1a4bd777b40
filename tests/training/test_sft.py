"""The examples to tune on: shares, parts, prompts, and what is left out and why."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.cli import main as cli
from mma_bench.config import SftParams, load_params
from mma_bench.errors import ConfigError, DataError, MmaBenchError
from mma_bench.evaluation.protocols import Protocol, Sampling, prompts_of
from mma_bench.schema import EXAMPLES
from mma_bench.tables import read_table
from mma_bench.training import hold_out, sft
from mma_bench.training.cli_sft import sft as command
from tests.training.train_split import clips_of, rows_of, write

PER_CLASS = {"Bell": 9, "Cat": 4, "Dog": 7, "Hammer": 12, "Owl": 1}
ROOT = Path(__file__).parents[2]
SIZED = r"set exactly one of validation_share and validation_questions|\(6\) is not a multiple of 4"


def settings_of(**changed: Any) -> SftParams:
    plain: dict[str, Any] = {"seed": 1, "validation_share": 0.3, "donors": None, "classes": None}
    return SftParams.model_validate(plain | {"conditions": ["aligned", "misaligned"]} | changed)


def made(rows: list[dict[str, Any]], **changed: Any) -> tuple[pl.DataFrame, dict[str, Any]]:
    return sft.examples(clips_of(rows), settings_of(**changed))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return rows_of(PER_CLASS, donors=3)


def test_every_clip_is_asked_both_questions_with_the_answer_of_the_modality(rows: list[dict[str, Any]]) -> None:
    table, _ = made(rows)
    for (_, _), asked in table.group_by("id", "copy"):
        assert sorted(asked["question"]) == ["audio", "visual"]
    assert table.filter(
        pl.col("answer") != pl.coalesce(pl.when(question="visual").then("visual_class"), "audio_class")
    ).is_empty()
    crossed = table.filter(pl.col("condition") == "misaligned")
    assert (crossed["visual_class"] != crossed["audio_class"]).all()


def test_prompts_are_character_by_character_those_of_the_evaluation(rows: list[dict[str, Any]]) -> None:
    table, _ = made(rows)
    by_id = {row["id"]: row for row in rows}
    for example in table.iter_rows(named=True):
        asked = prompts_of(by_id[example["id"]], [Protocol.FORCED_CHOICE], Sampling())
        texts = {prompt.key.partition(".")[0]: prompt.text for prompt in asked}
        assert example["prompt"] == texts[example["question"]]


@pytest.mark.parametrize("donors", [1, 2, 3, 4])
def test_the_train_part_has_equal_shares_and_copies_differ_by_one(donors: int) -> None:
    table, facts = made(rows_of(PER_CLASS, donors=donors), validation_share=0.4)
    train = table.filter(pl.col("part") == "train")
    counts = dict(train.group_by("condition").len().iter_rows())
    assert counts["aligned"] == counts["misaligned"]
    for condition, clips in train.group_by("condition"):
        times = clips.group_by("id").agg(pl.col("copy").max() + 1)["copy"]
        assert times.max() - times.min() <= 1  # type: ignore[operator]
        stated = facts["copies"]["train"][condition[0]]
        assert (stated["fewest"], stated["most"]) == (times.min(), times.max())


def test_ten_donors_without_validation_give_ten_copies_as_in_the_paper() -> None:
    classes = {f"C{number:02}": 2 for number in range(12)}
    table, facts = made(rows_of(classes, donors=10), validation_share=0)
    assert facts["copies"]["train"]["aligned"] == {"clips": 24, "fewest": 10, "most": 10}
    assert (
        facts["examples"]["train"]["aligned"]
        == facts["examples"]["train"]["misaligned"]
        == {
            "visual": 240,
            "audio": 240,
        }
    )
    assert set(table["part"]) == {"train"}


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=4, max_size=7),
    share=st.floats(0.05, 0.7),
    seed=st.integers(0, 2**31),
    donors=st.integers(1, 3),
)
def test_no_clip_is_seen_or_heard_on_both_sides(sizes: list[int], share: float, seed: int, donors: int) -> None:
    rows = rows_of({f"C{index}": size for index, size in enumerate(sizes)}, donors)
    placed = sft.parted(clips_of(rows), settings_of(validation_share=share, seed=seed))
    assert placed.height == len(rows)  # nothing vanishes
    used = placed.filter(pl.col("reason") == "")
    sides: dict[str, set[str]] = {part: set() for part in sft.PARTS}
    for part, base, donor in used.select("part", "base_id", "donor_id").iter_rows():
        sides[part] |= {base, donor or base}
    assert not sides["train"] & sides["validation"]
    # Whatever is left out does lie on two sides.
    held = hold_out.held_out(clips_of(rows).filter(pl.col("condition") == "aligned"), share, seed)
    left = placed.filter(pl.col("reason") == "crosses_parts")
    assert all((base in held) != (donor in held) for base, donor in left.select("base_id", "donor_id").iter_rows())
    # Near-stratified: of each class, the share rounded down or up.
    for index, size in enumerate(sizes):
        count = sum(name.startswith(f"c{index}-") for name in held)
        assert abs(count - share * size) < 1


def test_a_clip_whose_picture_and_sound_lie_on_two_sides_is_left_out_and_counted(rows: list[dict[str, Any]]) -> None:
    _, facts = made(rows)
    counts = facts["clips"]["misaligned"]
    assert counts["crosses_parts"] > 0
    assert counts["in"] == counts["crosses_parts"] + counts["ok"] == 3 * sum(PER_CLASS.values())


def questions(count: int, **changed: Any) -> dict[str, Any]:
    """The settings of a validation part with so many questions."""
    return {"validation_share": None, "validation_questions": count} | changed


@pytest.mark.parametrize("count", [4, 16, 32])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_number_of_validation_questions_is_met_exactly_and_balanced(count: int, seed: int) -> None:
    rows = rows_of({f"C{number}": 9 for number in range(6)}, 5)
    table, facts = made(rows, **questions(count, seed=seed))
    validation = table.filter(pl.col("part") == "validation")
    assert validation.height == count
    assert validation.group_by("condition", "question").len()["len"].to_list() == [count // 4] * 4
    assert validation["copy"].max() == 0
    assert facts["examples"]["validation"]["aligned"] == {"visual": count // 4, "audio": count // 4}
    donors = {row["id"]: row["donor_id"] or row["base_id"] for row in rows}
    sides: dict[str, set[str]] = {part: set() for part in sft.PARTS}
    for part, clip, base in table.select("part", "id", "base_id").iter_rows():
        sides[part] |= {base, donors[clip]}
    assert not sides["train"] & sides["validation"]


def test_no_more_clips_are_held_out_than_the_questions_need() -> None:
    """One group fewer would not do, more questions hold out more, and each class gives its share."""
    rows = rows_of({f"C{number}": 10 for number in range(6)}, 5)
    clips = clips_of(rows)
    aligned = clips.filter(pl.col("condition") == "aligned")
    held: list[frozenset[str]] = []
    for count in (8, 24, 48):
        own = hold_out.held_out_for(clips, aligned, settings_of(**questions(count)))
        inside = clips.filter(pl.col("base_id").is_in(list(own)) & hold_out.SOUND.is_in(list(own)))
        there = dict(inside.group_by("condition").len().iter_rows())
        assert min(there.values()) >= count // 4
        shares = [share / 1000 for share in range(1001)]
        (first, *_) = [share for share in shares if hold_out.held_out(aligned, share, 1) >= own]
        assert hold_out.held_out(aligned, first, 1) == own  # what a share holds out
        less = next(kept for share in reversed(shares) if (kept := hold_out.held_out(aligned, share, 1)) < own)
        inside = clips.filter(pl.col("base_id").is_in(list(less)) & hold_out.SOUND.is_in(list(less)))
        few = dict.fromkeys(("aligned", "misaligned"), 0) | dict(inside.group_by("condition").len().iter_rows())
        assert min(few.values()) < count // 4
        held.append(own)
    assert held[0] < held[1] < held[2]


def test_a_surplus_of_the_validation_part_is_left_out_and_counted() -> None:
    rows = rows_of({f"C{number}": 9 for number in range(6)}, 5)
    placed = sft.parted(clips_of(rows), settings_of(**questions(16)))
    assert placed.height == len(rows)
    used = placed.filter((pl.col("reason") == "") & (pl.col("part") == "validation"))
    surplus = placed.filter(pl.col("reason") == "beyond_questions")
    assert used.group_by("condition").len()["len"].to_list() == [4, 4]
    assert surplus.height > 0
    assert set(surplus["part"]) == {"validation"}
    for condition, own in used.group_by("condition"):
        rest = surplus.filter(pl.col("condition") == condition[0])["order"]
        assert rest.is_empty() or own["order"].max() < rest.min()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("changed", "cells"),
    [
        ({"donors": 1, "validation_questions": 120}, {"aligned": 60, "misaligned": 60}),
        ({"conditions": ["misaligned"]}, {"misaligned": 16}),
        ({"conditions": ["aligned"]}, {"aligned": 16}),
        ({"classes": ["C0", "C1", "C2", "C3"]}, {"aligned": 8, "misaligned": 8}),
    ],
    ids=str,
)
def test_the_other_settings_hold_with_a_number_of_questions(changed: dict[str, Any], cells: dict[str, int]) -> None:
    table, _ = made(rows_of({f"C{number}": 12 for number in range(6)}, 5), **questions(16, **changed))
    validation = table.filter(pl.col("part") == "validation")
    assert dict(validation.group_by("condition").len().iter_rows()) == cells


def test_the_order_of_the_rows_does_not_matter_for_the_questions_and_the_seed_does() -> None:
    rows = rows_of({f"C{number}": 9 for number in range(6)}, 5)
    first, again, other = (
        set(made(own, **questions(16, seed=seed))[0].filter(pl.col("part") == "validation")["example_id"])
        for own, seed in ((rows, 1), (rows[::-1], 1), (rows, 2))
    )
    assert first == again != other


def test_too_many_validation_questions_are_refused_with_the_number_there_is(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="136 needs 34 aligned clips, but only 33 can be used"):
        made(rows, **questions(136))


def test_the_facts_have_the_parameters_of_the_file_and_no_others(bench: Path) -> None:
    """So that a new parameter with a default does not change what was made without it."""
    import yaml

    assert CliRunner().invoke(command, []).exit_code == 0
    written = yaml.safe_load((ROOT / "params.yaml").read_text())["sft"]
    assert json.loads(Path("data/sft/facts.json").read_text())["params"] == written


@pytest.mark.parametrize("medium", ["video_sha256", "audio_sha256"])
def test_clips_with_the_same_picture_or_sound_share_a_part(rows: list[dict[str, Any]], medium: str) -> None:
    """A chain: each of the three shares a medium with the next."""
    chain = ["hammer-0", "hammer-5", "hammer-9"]
    for seed in range(8):
        other = "audio_sha256" if medium == "video_sha256" else "video_sha256"
        changed = [dict(row) for row in rows]
        for row in changed:
            if row["id"] in (f"{chain[0]}.aligned", f"{chain[1]}.aligned"):
                row[medium] = "same"
            if row["id"] in (f"{chain[1]}.aligned", f"{chain[2]}.aligned"):
                row[other] = "same too"
        aligned = clips_of(changed).filter(pl.col("condition") == "aligned")
        assert len({name in hold_out.held_out(aligned, 0.5, seed) for name in chain}) == 1


def test_one_more_clip_moves_at_most_one_other() -> None:
    before = clips_of(rows_of(PER_CLASS, 1)).filter(pl.col("condition") == "aligned")
    for class_name in PER_CLASS:
        grown = clips_of(rows_of(PER_CLASS | {class_name: PER_CLASS[class_name] + 1}, 1))
        after = hold_out.held_out(grown.filter(pl.col("condition") == "aligned"), 0.3, 1)
        new = f"{class_name.lower()}-{PER_CLASS[class_name]}"
        moved = hold_out.held_out(before, 0.3, 1) ^ (after - {new})
        assert len(moved) <= 1


def test_the_order_of_the_rows_does_not_matter_and_the_seed_does(rows: list[dict[str, Any]]) -> None:
    table, facts = made(rows)
    again, facts_again = made(rows[::-1])
    assert table.sort("example_id").equals(again.sort("example_id"))
    assert facts == facts_again
    other, _ = made(rows, seed=2)
    assert set(other.filter(pl.col("part") == "validation")["id"]) != set(
        table.filter(pl.col("part") == "validation")["id"]
    )


def test_a_bound_on_donors_keeps_so_many_of_each_clip(rows: list[dict[str, Any]]) -> None:
    table, facts = made(rows, donors=1)
    of_base = table.filter(pl.col("condition") == "misaligned").group_by("base_id").agg(pl.col("id").n_unique())
    assert of_base["id"].max() == 1
    assert facts["clips"]["misaligned"]["beyond_donors"] > 0
    assert sum(n for reason, n in facts["clips"]["misaligned"].items() if reason != "in") == len(rows) * 3 // 4


def test_some_classes_alone_are_seen_and_heard(rows: list[dict[str, Any]]) -> None:
    table, facts = made(rows, classes=["Cat", "Hammer", "Bell"], validation_share=0)
    assert {*table["visual_class"], *table["audio_class"]} == {"Bell", "Cat", "Hammer"} == set(facts["classes"])
    assert table["options"][0].to_list() == sorted(PER_CLASS)  # the prompt stays that of the evaluation
    assert facts["clips"]["aligned"]["unchosen_class"] == 8


def test_a_share_of_the_classes_is_drawn_by_the_seed(rows: list[dict[str, Any]]) -> None:
    names = [f"C{index}" for index in range(58)]
    half = sft.chosen_classes(names, 0.5, seed=1)
    assert len(half) == 29
    assert half != sft.chosen_classes(names, 0.5, seed=2)
    assert set(sft.chosen_classes(names, 0.25, seed=1)) < set(half)


@pytest.mark.parametrize("condition", ["aligned", "misaligned"])
def test_one_condition_alone_is_not_repeated(rows: list[dict[str, Any]], condition: str) -> None:
    table, facts = made(rows, conditions=[condition])
    assert set(table["condition"]) == {condition}
    assert table["copy"].max() == 0
    other = {"aligned", "misaligned"} - {condition}
    assert facts["clips"][other.pop()]["ok"] == 0


def test_an_unknown_class_is_named(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="no class 'Kraken'"):
        made(rows, classes=["Cat", "Kraken"])


def test_a_part_without_a_condition_is_refused_with_the_reasons() -> None:
    with pytest.raises(
        DataError, match=r"validation part has no misaligned clip \(left out: 7 crosses_parts\)"
    ) as told:
        made(rows_of(PER_CLASS, donors=1), validation_share=0.2)
    hinted = re.search(r"set sft.validation_share to ([0-9.]+)", str(told.value))
    assert hinted is not None
    made(rows_of(PER_CLASS, donors=1), validation_share=float(hinted[1]))


def test_a_train_split_too_small_to_hold_any_out_says_so() -> None:
    with pytest.raises(DataError, match=r"set sft\.validation_share to 0, that is, without a validation part"):
        made(rows_of({"Cat": 1, "Dog": 1}, donors=1), validation_share=0.1)


def test_no_train_split_gives_no_examples_whatever_is_asked_for() -> None:
    table, facts = made([], classes=["Cat"])
    assert table.schema == EXAMPLES
    assert table.is_empty()
    assert facts["classes"] == []


@pytest.mark.parametrize(("column", "role"), [("base_id", "picture"), ("donor_id", "sound")])
def test_a_misaligned_clip_of_no_aligned_clip_is_named(rows: list[dict[str, Any]], column: str, role: str) -> None:
    lost = next(row for row in rows if row["donor_id"]) | {column: "ghost-1", "id": "x.misaligned.y"}
    with pytest.raises(DataError, match=rf"x\.misaligned\.y has the {role} of ghost-1"):
        made([*rows, lost])


def test_an_answer_that_is_not_offered_is_named(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match=r"bell-0\.aligned: the visual answer 'Bell' is not among"):
        made([row | {"options": ["Cat", "Dog"]} if row["id"] == "bell-0.aligned" else row for row in rows])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]]) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mma-bench", "train", rows)
    return tmp_path


def test_the_command_writes_the_same_bytes_again(bench: Path) -> None:
    assert CliRunner().invoke(command, []).exit_code == 0
    assert CliRunner().invoke(command, ["--out", "again"]).exit_code == 0
    for name in (layout.SFT_EXAMPLES, layout.SFT_FACTS, layout.SFT_CLASSES):
        assert Path("data/sft", name).read_bytes() == Path("again", name).read_bytes()
    table = read_table(layout.SFT / layout.SFT_EXAMPLES, EXAMPLES)
    assert table["example_id"].is_sorted()
    assert table["example_id"].is_unique().all()
    facts = json.loads(Path("data/sft/facts.json").read_text())
    for part, conditions in facts["examples"].items():
        for condition, questions in conditions.items():
            for question, count in questions.items():
                assert count == table.filter(part=part, condition=condition, question=question).height
    assert Path("data/sft/classes.txt").read_text().splitlines() == facts["classes"]
    assert set(facts["dataset"]["sha256"]) == {"aligned", "misaligned"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dataset", "nowhere"], "'nowhere' is not a directory"),
        (["--params", "none.yaml"], "none.yaml does not exist"),
        (["--revision", "v1"], "--revision applies to datasets on the Hub"),
    ],
)
def test_a_mistake_is_told_with_its_mend(bench: Path, arguments: list[str], says: str) -> None:
    error = CliRunner().invoke(command, arguments).exception
    assert isinstance(error, MmaBenchError)
    assert says in error.message
    assert error.hint


def test_a_dataset_without_misaligned_clips_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    write(tmp_path / "bench", "train", [row for row in rows if not row["donor_id"]])
    with pytest.raises(ConfigError, match="no condition 'misaligned' in split train"):
        sft.main(settings_of(), dataset=str(tmp_path / "bench"), out=tmp_path / "out")


@pytest.mark.parametrize(
    "changed",
    [
        {"validation_share": 1.0},
        {"donors": 0},
        {"classes": []},
        {"classes": 0.0},
        {"conditions": []},
        {"conditions": ["aligned", "aligned"]},
        {"conditions": ["audio_removed"]},
        {"validation_questions": 8},
        {"validation_share": None},
        {"validation_questions": 6, "validation_share": None},
    ],
    ids=str,
)
def test_values_that_make_no_sense_are_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    import yaml

    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["sft"] |= changed
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match=f"sft.{next(iter(changed))}|'conditions' names one twice|{SIZED}"):
        load_params(tmp_path / "params.yaml")


def test_the_gate_is_a_command() -> None:
    assert "sft" in CliRunner().invoke(cli, ["validate", "--help"]).output
