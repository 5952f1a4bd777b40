"""Every promise about the SFT data, broken on purpose."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mma_bench import layout
from mma_bench.files import write_json
from mma_bench.schema import EXAMPLES
from mma_bench.training import sft
from tests.training.train_split import clips_of, digest, rows_of, write
from tests.validation.test_dvc import is_covered, stage
from tests.validation.world import World, suite_of

SETTINGS = {"seed": 1, "validation_share": 0.4, "donors": None, "classes": None}


class Tuning(World):
    """The world with a dataset of both splits and the SFT data made from it."""

    def __init__(self) -> None:
        super().__init__()
        self.raw["sft"] = SETTINGS | {"conditions": ["aligned", "misaligned"]}
        self.train = rows_of({"Bell": 6, "Cat": 5, "Dog": 6, "Hammer": 7}, donors=3)
        self.test = [_tested(row) for row in rows_of({"Bell": 1, "Cat": 1, "Dog": 1}, donors=1)]
        self.make()

    def make(self) -> None:
        """Run the stage on what there is."""
        table, counts = sft.examples(clips_of(self.train), self.params.sft)
        self.examples = table.to_dicts()
        self.facts: dict[str, Any] = counts

    def of(self, **wanted: Any) -> list[dict[str, Any]]:
        """The examples with these values."""
        found = [row for row in self.examples if all(row[key] == value for key, value in wanted.items())]
        assert found, wanted
        return found

    def write(self) -> None:
        """Also the dataset and the SFT data."""
        super().write()
        write(layout.PACKAGE, "train", self.train)
        write(layout.PACKAGE, "test", self.test)
        layout.SFT.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(self.examples, schema=EXAMPLES).write_parquet(layout.SFT / layout.SFT_EXAMPLES)
        write_json(layout.SFT / layout.SFT_FACTS, self.facts)


def _tested(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the test split: other clips with other media."""
    names = {key: f"test-{row[key]}" if row[key] else None for key in ("id", "base_id", "donor_id")}
    hashes = {key: digest(row["id"], key) for key in ("video_sha256", "audio_sha256")}
    return row | names | hashes


@pytest.fixture
def tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tuning:
    monkeypatch.chdir(tmp_path)
    return Tuning()


def _edit(values: dict[str, Any], **wanted: Any) -> Callable[[Tuning], None]:
    return lambda tuning: tuning.of(**wanted)[0].update(values)


def _drop(**wanted: Any) -> Callable[[Tuning], None]:
    return lambda tuning: tuning.examples.remove(tuning.of(**wanted)[-1])


def _double(tuning: Tuning) -> None:
    tuning.examples.append(dict(tuning.of(part="train")[0]))


def _one_base_moves(tuning: Tuning) -> None:
    """All examples of one aligned clip go to the other part; its misaligned clips stay."""
    base = tuning.of(part="validation", condition="misaligned")[0]["base_id"]
    for row in tuning.of(base_id=base, condition="aligned"):
        row["part"] = "train"


def _train_media(column: str) -> Callable[[Tuning], None]:
    """An aligned clip of the validation part has the picture or sound of one of the train part."""

    def fault(tuning: Tuning) -> None:
        ids = [tuning.of(part=part, condition="aligned")[0]["id"] for part in sft.PARTS]
        rows = [next(row for row in tuning.train if row["id"] == name) for name in ids]
        rows[1][column] = rows[0][column]

    return fault


def _test_media(column: str) -> Callable[[Tuning], None]:
    """A misaligned clip of the train part has the picture or sound of a test clip."""

    def fault(tuning: Tuning) -> None:
        name = tuning.of(part="train", condition="misaligned")[0]["id"]
        next(row for row in tuning.train if row["id"] == name)[column] = tuning.test[0][column]

    return fault


def _donor_is_a_test_clip(tuning: Tuning) -> None:
    name = tuning.of(part="train", condition="misaligned")[0]["id"]
    next(row for row in tuning.train if row["id"] == name)["donor_id"] = "test-bell-0"


def _no_validation(tuning: Tuning) -> None:
    tuning.examples = [row for row in tuning.examples if row["part"] == "train" or row["condition"] == "aligned"]


def _a_copy_in_validation(tuning: Tuning) -> None:
    for question in ("visual", "audio"):
        row = tuning.of(part="validation", question=question)[0]
        tuning.examples.append(row | {"copy": 1, "example_id": f"{row['id']}.{question}.1"})


def _another_condition(tuning: Tuning) -> None:
    tuning.raw["sft"]["conditions"] = ["aligned"]


def _answers_with_the_picture(tuning: Tuning) -> None:
    row = tuning.of(question="audio", condition="misaligned")[0]
    row["answer"] = row["visual_class"]


FAULTS: dict[str, Callable[[Tuning], None]] = {
    "example_id_is_unique": _double,
    "example_id_names_clip_question_and_copy": _edit({"example_id": "cat"}, part="train"),
    "row_says_what_the_dataset_says": _edit({"id": "test-cat-0.aligned"}, part="train"),
    "part_is_known": _edit({"part": "test"}, part="train"),
    "prompt_is_that_of_the_paper": _edit({"prompt": "What do you see?"}, question="visual"),
    "answer_is_among_the_options": _edit({"answer": "Kraken"}, question="visual"),
    "answer_is_the_class_of_the_modality_asked": _answers_with_the_picture,
    "classes_are_the_chosen_ones": lambda tuning: tuning.raw["sft"].update(classes=["Bell", "Cat", "Dog"]),
    "clip_is_asked_both_questions": _drop(part="validation", question="audio"),
    "copies_run_from_0": _edit({"copy": 7}, part="train", copy=0),
    "validation_repeats_nothing": _a_copy_in_validation,
    "conditions_have_equal_shares": _drop(part="train", condition="aligned", question="visual"),
    "part_has_every_condition": _no_validation,
    "nothing_else_is_in_a_part": _another_condition,
    "donors_are_no_more_than_asked": lambda tuning: tuning.raw["sft"].update(donors=1),
    "clip_is_in_one_part": _one_base_moves,
    "clip_is_not_in_the_test_split": _donor_is_a_test_clip,
    "picture_is_in_one_part": _train_media("video_sha256"),
    "picture_is_not_in_the_test_split": _test_media("video_sha256"),
    "sound_is_in_one_part": _train_media("audio_sha256"),
    "sound_is_not_in_the_test_split": _test_media("audio_sha256"),
    "counts_are_those_of_the_facts": lambda tuning: tuning.facts["examples"]["train"]["aligned"].update(audio=1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_promise_is_refused_by_name(tuning: Tuning, name: str) -> None:
    tuning.assert_refused("sft", name, lambda _: FAULTS[name](tuning))


def test_every_promise_has_its_fault(tuning: Tuning) -> None:
    assert tuning.promise_names("sft") == list(FAULTS)


@pytest.mark.slow
def test_a_number_of_validation_questions_is_a_promise(tuning: Tuning) -> None:
    tuning.raw["sft"] |= {"validation_share": None, "validation_questions": 12}
    tuning.make()
    name = "validation_has_the_stated_questions"
    assert sorted(tuning.promise_names("sft")) == sorted([*FAULTS, name])
    tuning.assert_refused("sft", name, _drop(part="validation"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"donors": 1},
        {"classes": ["Bell", "Cat", "Hammer"]},
        {"classes": 0.75},
        {"validation_share": 0},
        {"conditions": ["aligned"]},
        {"conditions": ["misaligned"]},
        {"validation_share": None, "validation_questions": 12},
    ],
    ids=str,
)
def test_what_the_stage_makes_passes(tuning: Tuning, changed: dict[str, Any]) -> None:
    tuning.raw["sft"] |= changed
    tuning.make()
    tuning.write()
    tuning.check("sft")


@pytest.mark.slow
def test_the_stage_passes_on_clips_that_share_a_sound(tuning: Tuning) -> None:
    for row in tuning.train:
        if row["id"] in ("hammer-0.aligned", "hammer-5.aligned", "bell-2.aligned"):
            row["audio_sha256"] = "same"
    tuning.make()
    tuning.write()
    tuning.check("sft")


def test_the_sound_that_a_misaligned_clip_was_cut_from_counts_too(tuning: Tuning) -> None:
    """Its own packets may be fewer than the donor's, so that only the donor's aligned clip has the test clip's hash."""
    donor = tuning.of(part="train", condition="misaligned")[0]["id"].rpartition(".")[2]
    tuning.examples = [row for row in tuning.examples if row["id"] != f"{donor}.aligned"]
    next(row for row in tuning.train if row["id"] == f"{donor}.aligned")["audio_sha256"] = "whole"
    tuning.test[0]["audio_sha256"] = "whole"
    tuning.assert_refused("sft", "sound_is_not_in_the_test_split", lambda _: None)


def test_every_file_that_the_gate_reads_is_a_dependency(tuning: Tuning) -> None:
    from mma_bench.validation.inputs import Inputs

    tuning.write()
    inputs = Inputs()
    suite_of("sft").frames(inputs, tuning.params)
    deps = stage("sft")["deps"]
    assert inputs.sha256
    assert [path for path in inputs.sha256 if not is_covered(path, deps)] == []
    assert json.dumps(deps).count("training/sft.py") == 1
