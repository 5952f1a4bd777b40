"""The stage `judge`: what a judge gets for each check, what becomes of its answers, the real judge on real clips."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from mma_bench import layout
from mma_bench.builders import judge as stage
from mma_bench.builders.judges.contracts import Verdict, View
from mma_bench.builders.normalise import normalise_clip
from mma_bench.builders.sources.composition import compose
from mma_bench.config import load_params
from mma_bench.errors import InvalidInput
from mma_bench.evaluation.judges.calibrate import read_sample_media
from mma_bench.executor import memory
from mma_bench.files import file_sha256
from mma_bench.schema import CHECKS, NORMALISED, VERDICTS, Modality
from mma_bench.tables import from_rows, outcome_counts, read_table, write_table
from tests.clips import clip as make_clip
from tests.judges import read_calibration

ROOT = Path(__file__).parents[2]


class Spy:
    """Knows all classes but `Rain` by sight; answers with given scores, yes from 0.5; keeps what it was given."""

    name, revision = "spy", "1"

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.asked: list[tuple[Modality, str, View]] = []

    def knows(self, modality: Modality, class_name: str) -> bool:
        return (modality, class_name) != ("visual", "Rain")

    def ask(self, view: View, modality: Modality, class_name: str) -> Verdict:
        self.asked.append((modality, class_name, view))
        score = self.scores[len(self.asked) - 1]
        return Verdict(score >= 0.5, score)


def whole_view() -> View:
    return View(2.0, np.ones((8, 4, 4, 3), np.uint8), np.ones(32_000, np.float32))


def test_unimodal_checks_lack_the_other_modality_and_crossmodal_checks_have_both() -> None:
    spy, whole = Spy(1, 1, 1, 1), whole_view()
    assert stage.four_checks(spy, whole, "Cat")["audio_crossmodal_pass"] is True
    (sight, sight_view), (hearing, hearing_view), *cross = [(modality, view) for modality, _, view in spy.asked]
    assert (sight, hearing, [modality for modality, _ in cross]) == ("visual", "audio", ["visual", "audio"])
    assert sight_view.audio is None
    assert sight_view.frames is whole.frames
    assert hearing_view.frames is None
    assert hearing_view.audio is whole.audio
    assert all(view is whole for _, view in cross)
    # No attribute leads back to the file, in which the other modality lies.
    assert set(vars(sight_view)) == {"duration_s", "frames", "audio", "sample_rate"}


@examples(max_examples=60, deadline=None)
@given(scores=st.tuples(*[st.sampled_from([0.0, 0.49, 0.5, 1.0])] * 4))
def test_a_clip_passes_if_all_four_checks_say_yes_and_else_names_the_first_no(scores: tuple[float, ...]) -> None:
    result = stage.four_checks(Spy(*scores), whole_view(), "Cat")
    assert [result[f"{check}_score"] for check in CHECKS] == list(scores), "all four are asked and kept"
    assert [result[f"{check}_pass"] for check in CHECKS] == [score >= 0.5 for score in scores]
    failed = [check for check, score in zip(CHECKS, scores, strict=True) if score < 0.5]
    if failed:
        assert (result["status"], result["reason"]) == ("rejected", failed[0])
        question = "clearly visible" if failed[0].startswith("visual") else "clearly audible"
        assert question in result["detail"]
        assert f"{scores[CHECKS.index(failed[0])]:g}" in result["detail"]
    else:
        assert "status" not in result


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 2 s."""
    return make_clip(tmp_path_factory.mktemp("tiny") / "tiny.mp4")


def payload(path: Path, class_name: str = "Cat") -> dict[str, Any]:
    return {"clip_id": "a", "path": str(path), "duration_s": 2.0, "class_name": class_name}


def test_the_judge_gets_the_decoded_clip(tiny: Path) -> None:
    spy = Spy(1, 1, 1, 1)
    stage.judge_clip(spy, 5, payload(tiny))
    view = spy.asked[2][2]
    assert view.frames is not None
    assert view.audio is not None
    assert (view.frames.shape, view.frames.dtype) == ((5, 120, 160, 3), np.uint8)
    assert np.abs(np.diff(view.frames.astype(int), axis=0)).mean(axis=(1, 2, 3)).min() > 1, "frames differ: they spread"
    assert view.audio.dtype == np.float32
    assert len(view.audio) == pytest.approx(32_000, abs=1_100)
    assert np.sqrt(np.mean(view.audio**2)) == pytest.approx(0.088, abs=0.01)
    assert view.duration_s == 2.0


def test_a_class_that_the_judge_cannot_know_is_refused_before_anything_is_decoded() -> None:
    with pytest.raises(InvalidInput, match="spy has no visual counterpart of Rain") as error:
        stage.judge_clip(Spy(), 8, payload(Path("no such file.mp4"), "Rain"))
    assert error.value.reason == "class_unknown_to_judge"


def test_the_fingerprint_holds_all_that_a_verdict_depends_on() -> None:
    clip = {**payload(Path("a.mp4")), "split": "test", "sha256": "0"}
    spies = [Spy(), Spy(), Spy()]
    spies[1].revision, spies[2].name = "2", "other"
    tasks = [stage.task_of(clip, spy) for spy in spies]
    tasks += [stage.task_of({**clip, **other}, spies[0]) for other in ({"sha256": "1"}, {"class_name": "Dog"})]
    assert len({task.fingerprint for task in tasks}) == 5
    assert stage.task_of(clip, Spy()) == tasks[0]
    assert "sha256" not in tasks[0].payload
    renamed = stage.task_of({**clip, "clip_id": "b", "split": "train", "path": "b.mp4"}, spies[0])
    assert (renamed.key, renamed.fingerprint) == (tasks[0].key, tasks[0].fingerprint), "the same bytes"
    assert len({task.key for task in tasks if task is not tasks[2]}) == 4, "what was asked of one stays when another is"


def test_each_class_has_its_own_prompt_hash() -> None:
    assert stage.prompt_sha256("Cat") != stage.prompt_sha256("Dog")
    assert stage.prompt_sha256("Cat") == stage.prompt_sha256("Cat")
    assert len(stage.prompt_sha256("Cat")) == 64


OUTCOMES = st.sampled_from(["ok", "visual_unimodal", "audio_unimodal", "corrupt_stream"])


@examples(max_examples=40, deadline=None)
@given(reasons=st.lists(st.tuples(st.sampled_from(["test", "train"]), OUTCOMES), max_size=12))
def test_every_clip_has_a_row_and_the_counts_add_up(reasons: list[tuple[str, str]]) -> None:
    clips, entries = [], []
    for number, (split, reason) in enumerate(reasons):
        clips.append({"clip_id": f"c{number:02}", "split": split, "class_name": "Cat"})
        status = "ok" if reason == "ok" else "refused" if reason == "corrupt_stream" else "rejected"
        scores = {} if status == "refused" else {f"{check}_score": 0.5 for check in CHECKS}
        entries.append({"status": status, "reason": "" if status == "ok" else reason, "detail": "", "result": scores})
    table = stage.table_of(clips, entries, Spy())
    assert sorted(table["clip_id"]) == [clip["clip_id"] for clip in clips]
    assert table.schema == pl.Schema(VERDICTS)
    assert table.filter(pl.col("status") == "refused")["visual_unimodal_score"].is_null().all()
    found = outcome_counts(table)
    for split, by_reason in found.items():
        assert by_reason["in"] == sum(1 for name, _ in reasons if name == split)
        assert by_reason["in"] == sum(rows for key, rows in by_reason.items() if key != "in")
        assert by_reason["ok"] == reasons.count((split, "ok"))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project up to the stage: both planted mismatches, a good pair, one of an unseen class, one broken file."""
    root = tmp_path_factory.mktemp("planted")
    shutil.copy(ROOT / "params.yaml", root)
    params = load_params(root / "params.yaml")
    sample = {row["clip_id"]: row for row in read_sample_media(ROOT / "sample")}
    classes = {"cat-wrong-sound": "Cat", "goose-1": "Fowl", "horse-wrong-photo": "Horse"}
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for clip_id in classes:
            compose(Path(sample[clip_id]["photo"]), Path(sample[clip_id]["sound"]), clip_id, root / f"{clip_id}.mp4")
            layout.NORMALISED_CLIPS.mkdir(parents=True, exist_ok=True)
            source = {"clip_id": clip_id, "split": "test", "path": f"{clip_id}.mp4"}
            rows.append({"clip_id": clip_id, **normalise_clip(params.normalise, source)})
        broken = layout.NORMALISED_CLIPS / "broken.mp4"
        broken.write_bytes(b"no clip")
        rows.append({**rows[1], "clip_id": "broken", "path": str(broken), "sha256": file_sha256(broken)})
        rows.append({**rows[1], "clip_id": "rain"})
        for row in rows:
            name = classes.get(row["clip_id"], "Rain" if row["clip_id"] == "rain" else "Fowl")
            row |= {"split": "test", "class_name": name, "status": "ok", "reason": "", "detail": ""}
        rows.append(
            {"clip_id": "refused", "split": "test", "class_name": "Cat", "status": "refused", "reason": "silent"}
        )
        write_table(from_rows(rows, NORMALISED), layout.NORMALISED, NORMALISED, ["split", "clip_id"])
    return root


def judged(root: Path, copy: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, Any]:
    shutil.copytree(root, copy)
    monkeypatch.chdir(copy)
    params = load_params(layout.PARAMS).model_copy(update={"workers": workers})
    stage.main(params)
    first = layout.ledger("judge").read_bytes()
    stage.main(params)
    assert layout.ledger("judge").read_bytes() == first, "a second run asks nothing"
    return layout.VERDICTS.read_bytes(), json.loads(layout.metrics("judge").read_text())


@pytest.mark.slow
def test_planted_mismatches_fall_to_the_check_that_should_find_them(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, metrics = judged(planted, tmp_path / "one", 1, monkeypatch)
    verdicts = {row["clip_id"]: row for row in read_table(layout.VERDICTS, VERDICTS).rows(named=True)}
    assert verdicts.keys() == {"broken", "cat-wrong-sound", "goose-1", "horse-wrong-photo", "rain"}
    assert {name: (row["status"], row["reason"]) for name, row in verdicts.items()} == {
        "broken": ("refused", "unreadable"),
        "cat-wrong-sound": ("rejected", "audio_unimodal"),
        "goose-1": ("ok", ""),
        "horse-wrong-photo": ("rejected", "visual_unimodal"),
        "rain": ("refused", "class_unknown_to_judge"),
    }
    assert verdicts["cat-wrong-sound"]["visual_unimodal_pass"]
    assert verdicts["horse-wrong-photo"]["audio_unimodal_pass"]
    table = {(pair.clip_id, pair.modality, pair.class_name): pair.score for pair in read_calibration()}
    compared = 0
    for (clip_id, modality, class_name), score in table.items():
        if clip_id in verdicts and verdicts[clip_id]["class_name"] == class_name:
            assert verdicts[clip_id][f"{modality}_unimodal_score"] == pytest.approx(score, abs=0.03)
            compared += 1
    assert compared == 2, "both of goose-1; the planted clips share photo and sound with others"
    for row in verdicts.values():
        assert row["visual_unimodal_score"] == row["visual_crossmodal_score"]
        assert row["audio_unimodal_score"] == row["audio_crossmodal_score"]
    assert metrics["test"] == {
        **{"in": 5, "audio_unimodal": 1, "class_unknown_to_judge": 1, "unreadable": 1, "visual_unimodal": 1, "ok": 1}
    }
    two, _ = judged(planted, tmp_path / "two", 2, monkeypatch)
    assert one == two, "the same bytes whatever the number of workers"


def test_a_specialist_starts_as_many_workers_as_fit_and_other_judges_their_own_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda _: 2_500_000_000)
    started: list[int] = []

    def run(*_: Any, workers: int, **__: Any) -> Any:
        started.append(workers)
        return SimpleNamespace(by_key=lambda _: iter(()))

    monkeypatch.setattr(stage, "run", run)
    monkeypatch.setattr(stage, "open_judge", lambda _: Spy())
    folder, paper = (load_params(ROOT / "profiles" / f"{name}.yaml") for name in ("folder", "paper"))
    for params, ray in ((folder, None), (folder, folder.ray), (paper, None)):
        stage.judged([], params.judge, workers=params.workers, ray=ray)
    assert started == [2, 8, 1], "Ray knows the memory of its machines"
    assert capsys.readouterr().err.count("judge: 2 of 8 workers, since each takes about 1.0 GB") == 1
