"""The judge audit: several judges on the same clips, as a command."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from mma_bench import layout
from mma_bench.builders.labels import vggsounder
from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation.judges import compare as judge_compare
from mma_bench.evaluation.judges.cli import judge
from mma_bench.evaluation.judges.compare import AGREEMENT, accuracies
from mma_bench.evaluation.judges.yardstick import FilterAudit
from mma_bench.schema import CHECKS, NORMALISED, VERDICTS
from mma_bench.tables import from_rows, read_table, write_table
from tests.browser import CHROMIUM, faults
from tests.evaluation.runs import prediction, write_predictions

BIRD, CAT = "<i>bird", "cat"  # an id from outside is never markup


def verdicts(path: str, name: str, failed: dict[str, str], revision: str = "1") -> Path:
    rows = []
    for clip in (BIRD, CAT):
        check = failed.get(clip)
        row = {"clip_id": clip, "split": "test", "class_name": "Bird" if clip == BIRD else "Cat", "judge": name}
        row |= {"status": "rejected" if check else "ok", "reason": check or "", "judge_revision": revision}
        answers: dict[str, Any] = {f"{each}_pass": each != check for each in CHECKS}
        answers |= {f"{each}_score": 0.1 if each == check else 0.9 for each in CHECKS}
        answers |= {f"{each}_answer": "<b>No</b>" if each == check else "Yes" for each in CHECKS}
        rows.append(row | answers)
    write_table(from_rows(rows, VERDICTS), Path(path), VERDICTS, ["clip_id"])
    return Path(path)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two clips, two tables of verdicts, a run, and labels of people for the bird."""
    monkeypatch.chdir(tmp_path)
    video = {BIRD: "AbCdEfGhI-_", CAT: "BbCdEfGhI-_"}
    clips = [
        {"clip_id": clip, "video_id": video[clip], "start_s": 30.0, "split": "test", "status": "ok"}
        | {"class_name": "Bird" if clip == BIRD else "Cat"}
        for clip in (BIRD, CAT)
    ]
    write_table(from_rows(clips, NORMALISED), layout.NORMALISED, NORMALISED, ["clip_id"])
    verdicts("a.parquet", "a", {})
    verdicts("b.parquet", "b", {CAT: "audio_crossmodal"})
    said = {"video_id": "AbCdEfGhI-__000030", "label": "crow", "modality": "AV"}
    people = pl.DataFrame([said | {"background_music": False, "static_image": False, "voice_over": False}])
    monkeypatch.setattr(vggsounder, "read", lambda: vggsounder.labelled(people, {"crow": "Bird"}))
    # The label filter is measured on the real metadata in tests/builders/labels.
    monkeypatch.setattr(judge_compare, "_label_filter", lambda people: FilterAudit(4, 2, 2, 1, []))
    rows = [prediction(BIRD), prediction(CAT, answer="Cat")]
    write_predictions(Path("results/tiny/predictions.jsonl"), rows)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(judge, ["compare", *arguments], catch_exceptions=False)


@pytest.mark.slow
def test_two_tables_are_compared(project: Path) -> None:
    assert run("a.parquet", "b.parquet").exit_code == 0
    out = project / "reports/judges"
    report = json.loads((out / "compare.json").read_text())
    assert [(row["name"], row["statuses"]) for row in report["judges"]] == [
        ("a.parquet", {"ok": 2}),
        ("b.parquet", {"ok": 1, "rejected": 1}),
    ]
    assert [(row["judge"], row["clip_id"], row["reason"]) for row in report["rejected_alone"]] == [
        ("b.parquet", CAT, "audio_crossmodal")
    ]
    table = read_table(out / "agreement.parquet", AGREEMENT)
    whole = table.filter((pl.col("class_name") == "") & (pl.col("check") == "all_four")).row(0, named=True)
    assert (whole["clips"], whole["same"], whole["only_first"], whole["kappa"]) == (2, 1, 1, 0.0)
    by_judge = {row["judge"]: (row["mean"], row["n"]) for row in report["accuracies"]}
    assert by_judge == {None: (0.5, 2), "a.parquet": (0.5, 2), "b.parquet": (1.0, 1)}
    assert [row["labels"] for row in report["thresholds"]] == ["vggsounder"] * 4
    for measures in report["against_people"].values():
        assert (measures[0]["precision"]["mean"], measures[0]["precision"]["n"]) == (1.0, 1)
    page = (out / "compare.html").read_text()
    assert "<b>No</b>" not in page
    assert BIRD not in page
    assert "By class" in page
    before = (out / "compare.html").read_bytes(), (out / "agreement.parquet").read_bytes()
    run("a.parquet", "b.parquet")
    assert ((out / "compare.html").read_bytes(), (out / "agreement.parquet").read_bytes()) == before
    if CHROMIUM is not None:
        assert faults(out / "compare.html") == []


def test_where_people_have_labelled_no_clip_the_page_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pl.DataFrame(schema=vggsounder.LABELLED)
    monkeypatch.setattr(vggsounder, "read", lambda: nobody)
    assert run("a.parquet").exit_code == 0
    page = (project / "reports/judges/compare.html").read_text()
    assert "VGGSounder labels none of this build's clips" in page
    assert "There are no labelled clips to choose a threshold on" in page
    assert "Agreement requires at least two judges" in page


def test_judges_are_named_by_their_files_and_what_differs_is_shown(project: Path) -> None:
    verdicts("b.parquet", "a", {}, revision="2")
    result = run("a.parquet", "b.parquet")
    assert "a.parquet     2" in result.output
    assert "page: reports/judges/compare.html\nnext: mma-bench judge calibrate PARAMS.yaml\n" in result.output
    report = json.loads((project / "reports/judges/compare.json").read_text())
    assert [(row["name"], row["judge"]) for row in report["judges"]] == [("a.parquet", "a"), ("b.parquet", "a")]
    assert report["differences"] == [{"setting": "revision", "values": {"a.parquet": "1", "b.parquet": "2"}}]
    page = (project / "reports/judges/compare.html").read_text()
    assert "What differs" in page
    assert '<tr><th scope="row">revision</th><td>1</td><td>2</td></tr>' in page


def test_what_is_no_judge_is_named(project: Path) -> None:
    with pytest.raises(ConfigError, match="the judge a 1 was given twice"):
        run("a.parquet", "a.parquet")
    with pytest.raises(ConfigError, match=r"notes\.txt is neither a params file nor a verdict table"):
        run("notes.txt")
    with pytest.raises(DataError, match=r"gone\.parquet does not exist"):
        run("gone.parquet")
    with pytest.raises(ConfigError, match=r"gone\.yaml does not exist"):
        run("gone.yaml")
    two = pl.concat([pl.read_parquet("a.parquet").head(1), pl.read_parquet("b.parquet").tail(1)])
    write_table(two, Path("two.parquet"), VERDICTS, ["clip_id"])
    with pytest.raises(DataError, match=r"two\.parquet contains verdicts of 2 judges"):
        run("two.parquet")
    other = pl.read_parquet("a.parquet").with_columns(clip_id=pl.col("clip_id") + "-other")
    write_table(other, Path("other.parquet"), VERDICTS, ["clip_id"])
    with pytest.raises(DataError, match=r"other\.parquet has no verdicts on clips of this build"):
        run("other.parquet")


def test_a_misaligned_clip_counts_where_base_and_donor_are_kept() -> None:
    rows = [
        prediction("a", "misaligned", donor_id="b"),
        prediction("b", "misaligned", answer="Cat", donor_id="a"),
        prediction("c", "misaligned", answer="Cat", donor_id="a"),
    ]
    kept = {"one": frozenset("ab"), "other": frozenset("bc"), "all": frozenset("abc")}
    found = {row["judge"]: (row["mean"], row["n"]) for row in accuracies({"run": rows}, kept)}
    assert found == {None: (pytest.approx(1 / 3), 3), "one": (0.5, 2), "all": (pytest.approx(1 / 3), 3)}
