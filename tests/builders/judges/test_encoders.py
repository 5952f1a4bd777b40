"""The encoders as a judge: thresholds by class, closed senses, and what is said where there are no thresholds."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mma_bench.builders import judge as stage
from mma_bench.builders.judges import open_for_calibration, open_judge, sample_rate
from mma_bench.builders.judges.contracts import Verdict, View
from mma_bench.builders.judges.encoders import EncoderJudge
from mma_bench.config import EncoderJudgeParams, JudgeParams
from mma_bench.errors import ConfigError, DataError
from mma_bench.files import file_sha256
from mma_bench.models.encoders.encoders import SAMPLE_RATE, Encoders
from mma_bench.models.encoders.prompts import read_prompts
from mma_bench.models.omni.load import Located
from mma_bench.schema import CHECKS, MODALITIES, Modality
from mma_bench.validation.verdicts import decision
from tests.clips import clip as make_clip
from tests.mma_bench.models.encoders.tiny_encoders import make


def view(sample_rate: int = SAMPLE_RATE) -> View:
    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), np.uint8)
    return View(1.0, frames, np.zeros(sample_rate, np.float32), sample_rate)


@pytest.fixture
def scored() -> tuple[EncoderJudge, list[str]]:
    """A judge whose encoders are counted and answer at once, with a threshold for each class and modality."""
    nowhere = Located(Path(), "")
    encoders = Encoders("encoders", nowhere, nowhere, read_prompts(None), "1")
    runs: list[str] = []

    def answers(sense: str, scores: dict[str, float]) -> Callable[[Any], dict[str, float]]:
        def run(_: Any) -> dict[str, float]:
            runs.append(sense)
            return scores

        return run

    encoders.__dict__["sees"] = answers("sight", {"Cat": 0.3, "Rain": 0.3})
    encoders.__dict__["hears"] = answers("hearing", {"Cat": 0.3, "Rain": 0.3})
    thresholds = {"visual": {"Cat": 0.3, "Rain": 0.31}, "audio": {"Cat": 0.31, "Rain": 0.3}}
    return EncoderJudge(encoders, thresholds), runs  # type: ignore[arg-type]


def test_each_class_has_its_own_threshold_in_each_modality(scored: tuple[EncoderJudge, list[str]]) -> None:
    judge, runs = scored
    whole = view()
    yes, no = Verdict(yes=True, score=0.3), Verdict(yes=False, score=0.3)
    assert (judge.ask(whole, "visual", "Cat"), judge.ask(whole, "visual", "Rain")) == (yes, no)
    assert (judge.ask(whole, "audio", "Cat"), judge.ask(whole, "audio", "Rain")) == (no, yes)
    assert runs == ["sight", "hearing"], "each encoder runs once for a clip"
    judge.ask(view(), "visual", "Cat")
    assert runs == ["sight", "hearing", "sight"], "another clip is looked at, even if its frames are equal"


def test_a_closed_sense_and_an_unknown_class_cannot_be_asked_about(scored: tuple[EncoderJudge, list[str]]) -> None:
    judge, runs = scored
    for sense, closed in (("visual", "audio"), ("audio", "visual")):
        with pytest.raises(ValueError, match=f"no {sense} content"):
            judge.ask(view().only(closed), sense, "Cat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="16000 Hz, not 48000"):
        judge.ask(view(16_000), "audio", "Cat")
    assert not judge.knows("visual", "Unicorn")
    with pytest.raises(ValueError, match="does not know Unicorn"):
        judge.ask(view(), "visual", "Unicorn")
    assert runs == []
    assert all(judge.knows(modality, "Rain") for modality in MODALITIES), "a class that ImageNet lacks"


class Project:
    """Tiny checkpoints and a params section, in the current folder."""

    def __init__(self, root: Path) -> None:
        self.params = EncoderJudgeParams.model_validate(
            {
                **{"name": "encoders", "prompts": None, "thresholds": "thresholds.csv", "frames": 2, "processes": 1},
                "picture": {"checkpoint": str(make("siglip", root / "picture")), "revision": None},
                "sound": {"checkpoint": str(make("clap", root / "sound")), "revision": None},
            }
        )
        self.encoders = Encoders.located(self.params)

    def write(self, judge: str | None = None, drop: tuple[Modality, str] | None = None, threshold: float = 0.0) -> None:
        with Path("thresholds.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["class", "modality", "threshold", "judge"])
            for modality in MODALITIES:
                for name in self.encoders.prompts[modality]:
                    if (modality, name) != drop:
                        writer.writerow([name, modality, threshold, judge or self.encoders.revision])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.mark.slow
def test_without_thresholds_it_says_what_to_do(project: Project) -> None:
    what_to_do = r"(.|\n)*hint: run `mma-bench judge calibrate` on labelled clips"
    with pytest.raises(ConfigError, match=rf"judge\.thresholds is null{what_to_do}"):
        open_judge(project.params.model_copy(update={"thresholds": None}))
    with pytest.raises(ConfigError, match=rf"thresholds\.csv does not exist{what_to_do}"):
        open_judge(project.params)
    Path("thresholds.csv").write_text("class,modality,threshold,judge\n")
    with pytest.raises(DataError, match=rf"has no thresholds{what_to_do}"):
        open_judge(project.params)
    project.write(judge="0123456789abcdef")
    with pytest.raises(ConfigError, match=rf"chosen for encoders of revision 0123456789abcdef{what_to_do}"):
        open_judge(project.params)
    project.write(drop=("audio", "Rain"))
    with pytest.raises(ConfigError, match=rf"no audio threshold for Rain{what_to_do}"):
        open_judge(project.params)


@pytest.mark.slow
def test_the_revision_changes_with_the_thresholds_but_not_while_they_are_chosen(project: Project) -> None:
    calibrating = open_for_calibration(project.params)
    revisions = []
    for threshold in (0.1, 0.2):
        project.write(threshold=threshold)
        revisions.append(open_judge(project.params).revision)
        assert open_for_calibration(project.params).revision == calibrating.revision
    assert len({calibrating.revision, *revisions}) == 3


@pytest.mark.slow
def test_what_is_seen_cannot_reach_the_check_of_hearing_nor_the_reverse(project: Project) -> None:
    judge, whole = open_for_calibration(project.params), view()
    assert whole.frames is not None
    assert whole.audio is not None
    noise = np.random.default_rng(1).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
    other = View(1.0, 255 - whole.frames, noise, SAMPLE_RATE)
    for modality in MODALITIES:
        score = judge.ask(whole, modality, "Cat").score
        swapped = View(
            1.0,
            whole.frames if modality == "visual" else other.frames,
            whole.audio if modality == "audio" else other.audio,
            SAMPLE_RATE,
        )
        assert judge.ask(swapped, modality, "Cat").score == judge.ask(swapped.only(modality), modality, "Cat").score
        assert judge.ask(swapped, modality, "Cat").score == score
        assert judge.ask(other, modality, "Cat").score != score


@pytest.mark.slow
def test_the_stage_judges_with_the_thresholds_and_the_gate_follows_them(project: Project) -> None:
    """CLAP gets its 48 kHz; nothing is refused as unknown."""
    path = make_clip(Path("a.mp4"))
    clips = [
        {"clip_id": name, "split": "test", "class_name": name, "path": str(path), "duration_s": 2.0}
        | {"sha256": file_sha256(path)}
        for name in ("Cat", "Rain")
    ]
    for threshold, status in ((0.0, "ok"), (1.0, "rejected")):
        project.write(threshold=threshold)
        table = stage.judged(clips, project.params, workers=8)
        assert table["status"].to_list() == [status] * 2
        for check in CHECKS:
            decided = table.select((pl.col(f"{check}_pass") == decision(check, project.params)).alias("same"))
            assert decided["same"].to_list() == [True, True]
    assert table["judge"].unique().to_list() == [project.encoders.name]


def test_the_others_get_16_khz(settings: JudgeParams) -> None:
    assert sample_rate(settings) == 16_000
