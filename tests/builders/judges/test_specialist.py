"""The specialist as a judge: thresholds, closed senses, and each network once per clip."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mma_bench.builders.judges.contracts import Verdict, View
from mma_bench.builders.judges.specialist import SpecialistJudge
from mma_bench.config import JudgeParams
from mma_bench.models.specialist.specialist import Specialist
from mma_bench.schema import Modality


@pytest.fixture
def counted(
    specialist: Specialist, settings: JudgeParams, monkeypatch: pytest.MonkeyPatch
) -> tuple[SpecialistJudge, list[str]]:
    """A judge whose networks are counted and answer at once: a cat is seen, a dog is heard."""
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

    monkeypatch.setattr("mma_bench.models.specialist.specialist.EfficientNetLite2", lambda _: Eyes())
    monkeypatch.setattr("mma_bench.models.specialist.specialist.Yamnet", Ears)
    return SpecialistJudge(settings, dataclasses.replace(specialist)), runs


def view(frames: bool = True, audio: bool = True) -> View:
    return View(
        1.0, np.zeros((8, 4, 4, 3), np.uint8) if frames else None, np.zeros(16_000, np.float32) if audio else None
    )


def test_each_network_runs_once_for_the_four_checks(counted: tuple[SpecialistJudge, list[str]]) -> None:
    judge, runs = counted
    whole = view()
    asked = [judge.ask(whole.only("visual"), "visual", "Cat"), judge.ask(whole.only("audio"), "audio", "Canidae")]
    asked += [judge.ask(whole, "visual", "Cat"), judge.ask(whole, "audio", "Canidae")]
    assert asked == [Verdict(yes=True, score=1.0)] * 4
    assert judge.ask(whole, "visual", "Canidae") == judge.ask(whole, "audio", "Cat") == Verdict(yes=False, score=0.0)
    assert runs == ["sight", "hearing"]
    judge.ask(view(), "visual", "Cat")
    assert runs == ["sight", "hearing", "sight"], "another clip is looked at, even if its frames are equal"


def test_a_closed_sense_and_an_unknown_class_cannot_be_asked_about(counted: tuple[SpecialistJudge, list[str]]) -> None:
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
    counted: tuple[SpecialistJudge, list[str]], settings: JudgeParams, modality: Modality, threshold: float, yes: bool
) -> None:
    other = "audio" if modality == "visual" else "visual"
    reverse = 1.0 if yes else 0.0
    params = settings.model_copy(update={f"{modality}_threshold": threshold, f"{other}_threshold": reverse})
    judge = dataclasses.replace(counted[0], params=params)
    for sense in ("sees", "hears"):
        judge.specialist.__dict__[sense] = lambda _: {"Cat": 0.25}
    assert judge.ask(view(), modality, "Cat").yes is yes


def test_the_revision_changes_with_the_networks_and_the_parameters(
    specialist: Specialist, settings: JudgeParams
) -> None:
    changed = [
        settings.model_copy(update=update)
        for update in ({"frames": 4}, {"visual_threshold": 0.9}, {"audio_threshold": 0.9})
    ]
    judges = [SpecialistJudge(params, specialist) for params in (settings, *changed)]
    judges.append(SpecialistJudge(settings, dataclasses.replace(specialist, seen={**specialist.seen, "Cat": (281,)})))
    assert len({judge.revision for judge in judges}) == 5
