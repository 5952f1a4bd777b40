"""`mma-bench judge calibrate`: from labelled clips to a file of thresholds that the judge takes."""

import csv
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from click.testing import CliRunner, Result

from mma_bench import layout
from mma_bench.builders.judges import open_judge
from mma_bench.builders.labels import vggsounder
from mma_bench.config import load_params
from mma_bench.errors import DataError
from mma_bench.evaluation.judges import calibrate_build
from mma_bench.evaluation.judges.cli import judge
from mma_bench.executor.task import Task
from mma_bench.schema import NORMALISED
from mma_bench.tables import from_rows, write_table
from tests.browser import CHROMIUM, faults
from tests.clips import clip as make_clip
from tests.mma_bench.models.encoders.tiny_encoders import make

ROOT = Path(__file__).parents[3]
NUMBERS = range(30)
BOTH = ("visual", "audio")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    make("siglip", root / "picture")
    make("clap", root / "sound")
    return root


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoints: Path) -> Path:
    """Thirty clips of one class; VGGSounder says that those from 10 are seen and those from 20 heard."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"clip_id": f"cat{at:02}", "video_id": f"video{at:02}____", "start_s": 30.0, "split": "test", "status": "ok"}
        | {"class_name": "Cat", "sha256": f"{at:02}", "path": f"{at:02}.mp4", "duration_s": 2.0}
        for at in NUMBERS
    ]
    write_table(from_rows(rows, NORMALISED), layout.NORMALISED, NORMALISED, ["clip_id"])
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["judge"] = {
        **{"name": "encoders", "prompts": None, "thresholds": None, "frames": 2, "processes": 1},
        "picture": {"checkpoint": str(checkpoints / "picture"), "revision": None},
        "sound": {"checkpoint": str(checkpoints / "sound"), "revision": None},
    }
    Path("params.yaml").write_text(yaml.safe_dump(params))
    people = pl.DataFrame(
        [
            {"video_id": f"video{at:02}_____000030", "label": "cat meowing"} | {"modality": "AV" if at >= 20 else "V"}
            for at in NUMBERS
            if at >= 10
        ]
        + [{"video_id": f"video{at:02}_____000030", "label": "fire", "modality": "AV"} for at in range(5)]
    ).with_columns(pl.lit(False).alias(flag) for flag in ("background_music", "static_image", "voice_over"))
    monkeypatch.setattr(vggsounder, "read", lambda: vggsounder.labelled(people, {"cat meowing": "Cat", "fire": "Fire"}))
    return tmp_path


def labels(seen_from: int = 10, heard_from: int = 20) -> str:
    rows = [
        [f"cat{at:02}", "yes" if at >= seen_from else "no", "" if at == 25 else "yes" if at >= heard_from else "no"]
        for at in NUMBERS
    ]
    with Path("labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["clip_id", "visible", "audible"], *rows, ["elsewhere", "yes", "yes"]])
    return "labels.csv"


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clips are not decoded: their scores are their numbers."""

    def run(tasks: list[Task], *_: Any, **__: Any) -> list[dict[str, Any]]:
        scores = [int(task.payload["path"][:2]) / 100 for task in tasks]
        results = [
            {
                modality: {name: score if name == "Cat" else 0.05 for name in task.payload["classes"]}
                for modality in BOTH
            }
            for task, score in zip(tasks, scores, strict=True)
        ]
        return [{"key": task.key, "result": result} for task, result in zip(tasks, results, strict=True)]

    monkeypatch.setattr(calibrate_build, "run", run)


def calibrate(*arguments: str) -> Result:
    return CliRunner().invoke(judge, ["calibrate", *arguments], catch_exceptions=False)


def rows() -> list[dict[str, str]]:
    with Path("thresholds/encoders.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
@pytest.mark.usefixtures("planned")
def test_the_thresholds_are_those_of_the_rule_and_the_judge_takes_them(project: Path) -> None:
    done = calibrate("--labels", labels(), "--positives", "9", "--precision", "1")
    assert (
        "visual: 30 clips labelled by labels.csv, 30 questions, 20 of them to be answered yes: threshold 0.1"
        in done.output
    )
    assert (
        "audio: 29 clips labelled by labels.csv, 29 questions, 9 of them to be answered yes: threshold 0.2"
        in done.output
    )
    assert "thresholds/encoders.csv: name it in judge.thresholds" in done.output
    written = {(row["class"], row["modality"]): row for row in rows()}
    assert len(written) == 2 * 61, "every class has a threshold in each modality"
    cat = written["Cat", "visual"]
    assert (cat["threshold"], cat["chosen_on"], cat["pairs"], cat["positives"]) == ("0.1", "class", "30", "20")
    assert (cat["precision"], cat["recall"]) == ("1.000", "1.000")
    rain = written["Rain", "audio"]
    assert (rain["threshold"], rain["chosen_on"], rain["pairs"], rain["precision"]) == ("0.2", "all", "0", "")

    params = load_params(Path("params.yaml")).judge.model_copy(update={"thresholds": "thresholds/encoders.csv"})
    assert open_judge(params).knows("visual", "Rain")
    report = json.loads(Path("reports/judges/calibrate.json").read_text())
    assert report["modalities"]["audio"]["held_out"]["precision"]["n"] > 0
    page = Path("reports/judges/calibrate.html").read_text()
    for statement in ("labels.csv", "Operating point", "held-out", "its own questions", "Average precision"):
        assert statement in page
    before = Path("thresholds/encoders.csv").read_bytes(), page
    calibrate("--labels", "labels.csv", "--positives", "9", "--precision", "1")
    assert (Path("thresholds/encoders.csv").read_bytes(), Path("reports/judges/calibrate.html").read_text()) == before
    if CHROMIUM is not None:
        assert faults(Path("reports/judges/calibrate.html").resolve()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("planned")
def test_of_vggsounder_only_clips_with_their_class_among_its_labels_count(project: Path) -> None:
    done = calibrate("--precision", "0.9")
    assert "visual: 20 clips labelled by vggsounder, 40 questions, 20 of them to be answered yes" in done.output
    assert (
        "audio: 20 clips labelled by vggsounder, 40 questions, 10 of them to be answered yes: threshold" in done.output
    )
    (entry,) = (row for row in rows() if (row["class"], row["modality"]) == ("Cat", "audio"))
    assert (entry["threshold"], entry["pairs"]) == ("0.2", "20")
    others = [row for row in rows() if row["class"] != "Cat" and row["modality"] == "audio" and row["pairs"] != "0"]
    assert sum(int(row["pairs"]) for row in others) == 20, "one class each that nobody saw or heard"
    assert {row["positives"] for row in others} == {"0"}


@pytest.mark.slow
@pytest.mark.usefixtures("planned")
def test_what_cannot_be_calibrated_says_why(project: Path) -> None:
    nobody = Path("nobody.csv")
    nobody.write_text("clip_id,visible,audible\nelsewhere,yes,yes\n")
    with pytest.raises(DataError, match=r"nobody\.csv labels none of the 30 clips(.|\n)*label a hundred clips"):
        calibrate("--labels", "nobody.csv")
    nobody.write_text("clip_id,visible,audible\ncat00,maybe,yes\n")
    with pytest.raises(DataError, match="line 2, column 'visible'"):
        calibrate("--labels", "nobody.csv")
    upside_down = [["clip_id", "visible", "audible"]]
    upside_down += [[f"cat{at:02}", "no" if at > 3 else "yes", "yes"] for at in NUMBERS]
    with Path("wrong.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(upside_down)
    with pytest.raises(DataError, match=r"no visual threshold reaches a precision of 0\.95 on 30 labelled questions"):
        calibrate("--labels", "wrong.csv")
    assert not Path("thresholds").exists()


@pytest.mark.slow
def test_clips_are_scored_by_the_judge_itself(project: Path) -> None:
    make_clip(Path("00.mp4"))
    params = load_params(Path("params.yaml")).judge
    payload = {"path": "00.mp4", "duration_s": 2.0, "classes": ["Cat", "Unicorn"]}
    found = calibrate_build.score_clip(params.model_dump_json(), payload)
    assert found.keys() == {"visual", "audio"}
    assert all(0 < score < 1 for of_modality in found.values() for score in of_modality.values())
    assert all(of_modality.keys() == {"Cat"} for of_modality in found.values()), "it knows no unicorn"
