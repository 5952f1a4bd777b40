"""The report: its numbers are those of the scores, it is safe to open, and it looks right in a browser."""

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mma_bench.config import NoJudgeParams, load_params
from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation import circular, formats, mistakes, report, score
from mma_bench.evaluation.normalisation import NORMALISATIONS
from mma_bench.evaluation.predictions import Prediction
from mma_bench.files import write_json
from mma_bench.media.preview import preview as real_preview
from mma_bench.schema import PAPERS_OWN_CLIPS
from mma_bench.stats import format_estimate
from mma_bench.tables import read_json
from tests.browser import CHROMIUM, faults
from tests.clips import noise
from tests.evaluation.pages import Page
from tests.evaluation.runs import SETTINGS, answers, prediction, write_run
from tests.evaluation.test_normalisation import prefers_short_names

HOSTILE = '<script>alert("x")</script><img src=http://evil.example/x.png onerror=alert(1)>|'


class Shelf:
    """Stands for the dataset: rows of the misaligned condition with small media."""

    fingerprint_now = "f" * 64
    content: bytes | None = None  # set by tests; None: the clip's name
    judge = "omni (qwen2.5-omni-7b)"

    def __init__(self, name: str, *, split: str) -> None:
        assert split == "test"

    def judges(self) -> list[str]:
        return [self.judge]

    def fingerprint(self, condition: str) -> str:
        return self.fingerprint_now

    def rows(self, condition: str, columns: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
        for number in range(60):
            name = f"clip{number:02}.{condition}"
            yield {
                "id": name,
                "video": {"bytes": self.content or name.encode(), "path": None},
            }


@pytest.fixture(autouse=True)
def _clips_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "preview", lambda path, _: path.read_bytes())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_run(tmp_path, answers())
    score.main(tmp_path)
    return tmp_path


def _texts(out: Path) -> tuple[str, str]:
    return Page((out / "report.html").read_text()).text, (out / "report.md").read_text()


@pytest.mark.slow
def test_every_number_of_the_scores_is_in_every_report(out: Path) -> None:
    report.main(out)
    scores = read_json(out / "scores.json")
    summary = read_json(out / "report.json")
    for table in ("headline", "drop", "capture", "position_bias", "by_class", "by_distance"):
        assert summary[table] == scores[table]
    for row, scored in zip(summary["accuracy"], scores["accuracy"], strict=True):
        assert scored.items() <= row.items()
    for text in _texts(out):
        for table in ("headline", "accuracy", "capture", "position_bias", "by_distance"):
            assert all(format_estimate(row) in text for row in scores[table])
        for row in scores["drop"]:
            assert formats.points(row) in text
            assert formats.p_value(row["p_holm"]) in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "values", "text"),
    [
        ("accuracy", {"mean": 0.12345, "low": 0.0111, "high": 0.2222}, "12.3 [1.1, 22.2]"),
        ("headline", {"mean": 0.12345, "low": 0.0111, "high": 0.2222}, "12.3 [1.1, 22.2]"),
        ("headline", {"chance": 0.3456}, "34.6"),
        ("accuracy", {"parsed": 0.3456}, "34.6"),
        ("drop", {"unpaired": 7777}, "7777"),
        ("accuracy", {"unparseable": 7777}, "7777"),
        ("accuracy", {"failed": 8888}, "8888"),
        ("drop", {"difference": -0.4321, "low": -0.5432, "high": 0.0123}, "−43.2 [−54.3, +1.2]"),
        ("drop", {"p": 0.0321}, "0.032"),
        ("drop", {"p_holm": 0.0001}, "< 0.001"),
        ("capture", {"mean": 0.98765, "low": 0.9111, "high": 0.9999}, "98.8 [91.1, 100.0]"),
        ("position_bias", {"mean": 0.98765, "low": 0.9111, "high": 0.9999}, "98.8 [91.1, 100.0]"),
        ("position_bias", {"chosen": [0.333, 0.111, 0.555, 0]}, "33 / 11 / 56 / 0"),
        ("position_bias", {"truth": [0.333, 0.111, 0.555, 0]}, "33 / 11 / 56 / 0"),
        ("position_bias", {"expected": [0.333, 0.111, 0.555, 0]}, "33 / 11 / 56 / 0"),
        ("position_bias", {"first": 0.3456}, "34.6"),
        ("position_bias", {"last": 0.3456}, "34.6"),
        ("position_bias", {"p": 0.0321}, "0.032"),
        ("by_distance", {"mean": 0.98765, "low": 0.9111, "high": 0.9999}, "98.8 [91.1, 100.0]"),
    ],
)
def test_a_changed_score_changes_the_reports(
    out: Path, monkeypatch: pytest.MonkeyPatch, table: str, values: dict[str, Any], text: str
) -> None:
    scores = read_json(out / "scores.json")
    report.main(out)
    before = _texts(out)
    assert all(text not in each for each in before)
    scores[table][-1] |= values
    monkeypatch.setattr(report, "read_scores", lambda *_: scores)  # they are no longer of the predictions
    report.main(out)
    assert all(text in each.replace("7,777", "7777").replace("8,888", "8888") for each in _texts(out))


@pytest.mark.slow
def test_a_changed_score_changes_the_chart(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.main(out)
    before = re.findall(r"<svg.*?</svg>", (out / "report.html").read_text(), re.DOTALL)
    scores = read_json(out / "scores.json")
    for table in ("accuracy", "capture", "by_class"):
        scores[table][0]["mean"] = 0.4242
    next(row for row in scores["by_distance"] if row["condition"] == "misaligned")["mean"] = 0.4242
    monkeypatch.setattr(report, "read_scores", lambda *_: scores)  # they are no longer of the predictions
    report.main(out)
    after = re.findall(r"<svg.*?</svg>", (out / "report.html").read_text(), re.DOTALL)
    assert len(before) == len(after) == 7  # three of them also for a phone
    assert all(old != new for old, new in zip(before, after, strict=True))


@pytest.mark.slow
def test_equal_inputs_give_equal_bytes(out: Path) -> None:
    report.main(out)
    names = ("report.html", "report.md", "report.json")
    before = [(out / name).read_bytes() for name in names]
    report.main(out)
    assert [(out / name).read_bytes() for name in names] == before


def _on_the_papers_clips(out: Path) -> None:
    """The run as of a dataset that `profiles/authors.yaml` has built."""
    write_json(out / "run.json", read_json(out / "run.json") | {"judge": [PAPERS_OWN_CLIPS]})


def _report(out: Path, *, paper_clips: bool = False, dataset: Path | None = None, **others: Any) -> dict[str, Any]:
    write_run(out, answers(**others))
    if paper_clips:
        _on_the_papers_clips(out)
    score.main(out)
    report.main(out, dataset)
    summary: dict[str, Any] = read_json(out / "report.json")
    return summary


def _misaligned_audio(out: Path) -> list[str]:
    lines = (out / "report.md").read_text().splitlines()
    return next(line for line in lines if line.startswith("| misaligned | audio |")).split(" | ")


def test_on_the_papers_clips_the_published_value_stands_beside_the_measured_one(tmp_path: Path) -> None:
    _report(tmp_path, paper_clips=True, model="Qwen/Qwen2.5-Omni-7B")
    assert _misaligned_audio(tmp_path)[6] == "25.2"
    for text in _texts(tmp_path):
        assert "published accuracy of Qwen2.5-Omni-7B" in text
        assert "own results" not in text


def test_the_profile_of_the_authors_clips_is_the_one_that_is_known() -> None:
    judge = load_params(Path(__file__).parents[2] / "profiles/authors.yaml").judge
    assert isinstance(judge, NoJudgeParams)
    assert judge.judge == PAPERS_OWN_CLIPS
    assert circular.circular({"model": "qwen2.5-omni-7b", "settings": {}}, [PAPERS_OWN_CLIPS])  # the authors' judge


@pytest.mark.slow
def test_on_other_clips_the_papers_results_have_a_table_of_their_own(tmp_path: Path) -> None:
    summary = _report(tmp_path, model="Qwen/Qwen2.5-Omni-7B")
    assert all(row["published"] is None for row in summary["accuracy"])
    for text in _texts(tmp_path):
        assert "published accuracy of" not in text
        assert "own results" in text
        assert "/ 25.2" in text


@pytest.mark.slow
def test_other_weights_are_not_the_published_model(tmp_path: Path) -> None:
    settings = {"engine": "transformers", "checkpoint": "tuned/by-somebody"}
    summary = _report(tmp_path, paper_clips=True, model="qwen2.5-omni-7b", settings=settings)
    assert summary["published"] == {"model": None, "beside": False, "source": summary["published"]["source"]}
    assert all(row["published"] is None for row in summary["accuracy"])
    assert "qwen2.5-omni-7b with tuned/by-somebody" in _texts(tmp_path)[0]


@pytest.mark.slow
def test_the_right_weights_are_the_published_model_wherever_they_lie(tmp_path: Path) -> None:
    settings = {"engine": "transformers", "checkpoint": "/models/Qwen2.5-Omni-7B"}
    summary = _report(tmp_path, paper_clips=True, model="qwen2.5-omni-7b", settings=settings)
    assert summary["published"]["model"] == "Qwen2.5-Omni-7B"
    assert "with /models" not in _texts(tmp_path)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("judge", "model", "settings", "family"),
    [
        ("omni (qwen2.5-omni-7b)", "qwen3-omni-30b", {"engine": "transformers"}, "Qwen"),
        ("omni (qwen2.5-omni-7b)", "openai-server", {"engine": "openai", "model": "Qwen/Qwen2.5-Omni-7B"}, "Qwen"),
        ("specialist (YAMNet, EfficientNet-Lite2)", "specialist", {"engine": "specialist"}, "YAMNet"),
        ("omni (qwen2.5-omni-7b)", "gemini-2.5-pro", {"engine": "gemini"}, None),
        ("specialist (YAMNet, EfficientNet-Lite2)", "qwen2.5-omni-7b", {"engine": "transformers"}, None),
    ],
)
def test_a_judge_of_the_models_own_family_is_said(
    judge: str,
    model: str,
    settings: dict[str, Any],
    family: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mistakes, "Benchmark", Shelf)
    monkeypatch.setattr(circular, "Benchmark", Shelf)
    monkeypatch.setattr(Shelf, "judge", judge)
    notes = _report(tmp_path, dataset=tmp_path, model=model, settings=settings)["notes"]
    said = [note for note in notes if "of the same family" in note]
    assert len(said) == (family is not None)
    assert all(family in note for note in said if family)


@pytest.mark.slow
def test_without_the_dataset_the_run_says_who_judged(tmp_path: Path) -> None:
    write_run(tmp_path, answers(model="qwen2.5-omni-7b"), judge=["omni (qwen2.5-omni-7b)"])
    score.main(tmp_path)
    report.main(tmp_path)
    assert any("of the same family (Qwen)" in note for note in read_json(tmp_path / "report.json")["notes"])


@pytest.mark.slow
def test_the_headline_stands_before_every_other_number(out: Path) -> None:
    report.main(out)
    assert next(iter(read_json(out / "report.json"))) == "headline"
    first = read_json(out / "scores.json")["headline"][0]
    for text in _texts(out):
        assert text.index("Both questions correct") < text.index("Every condition")
        assert text.index(format_estimate(first)) < text.index("Every condition")


def test_every_normalisation_of_scored_options_is_shown(tmp_path: Path) -> None:
    write_run(tmp_path, prefers_short_names())
    score.main(tmp_path)
    report.main(tmp_path)
    rows = read_json(tmp_path / "report.json")["by_normalisation"]
    assert len(rows) == len(NORMALISATIONS)
    for text in _texts(tmp_path):
        assert all(NORMALISATIONS[row["normalisation"]] in text for row in rows)
        assert all(format_estimate(row) in text for row in rows)


@pytest.mark.parametrize(
    ("order", "said", "unsaid"),
    [
        ("sorted", "position and class are confounded", "chi-squared"),
        ("shuffled", "chi-squared", "are confounded"),
    ],
)
def test_a_fixed_order_is_said_to_confound_position_and_class(
    tmp_path: Path, order: str, said: str, unsaid: str
) -> None:
    _report(tmp_path, settings={**SETTINGS, "option_order": order})
    for text in _texts(tmp_path):
        assert said in text
        assert unsaid not in text


def test_scores_of_an_older_version_are_named(out: Path) -> None:
    scores = read_json(out / "scores.json")
    del scores["headline"]
    write_json(out / "scores.json", scores)
    with pytest.raises(DataError, match=r"scores\.json was written by an older version"):
        report.main(out)


@pytest.mark.slow
def test_few_clips_and_lost_answers_are_said(out: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    report.main(out)
    notes = read_json(out / "report.json")["notes"]
    assert notes[0] == "12 clips: intervals are wide. Do not over-interpret single numbers."
    assert any(re.match(r"Incomplete: \d+ of 144 prompts failed\. The run is not ranked", note) for note in notes)
    assert read_json(out / "report.json")["complete"] is False
    many = tmp_path_factory.mktemp("many")
    write_run(many, [prediction(f"c{i}") for i in range(report.SMALL)])
    score.main(many)
    report.main(many)
    assert read_json(many / "report.json")["notes"] == []


@pytest.mark.parametrize(
    ("status", "what"),
    [("unsupported", "are not supported by this model"), ("refused", "were refused by the model or its server")],
)
def test_what_the_model_cannot_take_or_refuses_is_said_by_condition(status: str, what: str, tmp_path: Path) -> None:
    rows = [prediction(f"c{i}") for i in range(report.SMALL)]
    rows += [prediction(f"c{i}", "long_context", status=status, error="too long") for i in range(3)]
    write_run(tmp_path, rows)
    score.main(tmp_path)
    report.main(tmp_path)
    found = read_json(tmp_path / "report.json")
    said = f"3 of 3 prompts {what} and count as neither right nor wrong: too long."
    assert found["notes"] == [f"Under long_context, {said}"]
    assert found["complete"] is True


def test_a_run_with_answers_of_several_models_says_so(tmp_path: Path) -> None:
    rows = [prediction(f"c{i}", usage={"served_model": "new" if i == 0 else "old"}) for i in range(report.SMALL)]
    write_run(tmp_path, rows)
    score.main(tmp_path)
    report.main(tmp_path)
    (note,) = read_json(tmp_path / "report.json")["notes"]
    assert note.endswith(f"may mix models: old ({report.SMALL - 1} answers), new (1 answer).")


def test_a_run_of_failures_alone_has_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circular, "Benchmark", Shelf)
    rows = [prediction(f"c{i}", c, status="failed") for i in range(3) for c in ("aligned", "misaligned")]
    write_run(tmp_path, rows)
    score.main(tmp_path)
    report.main(tmp_path, tmp_path)  # no wrong answer to show: no clip is read
    for text in _texts(tmp_path):
        assert "There are no answers" in text
        assert "6 × HTTP 500 from the server" in text
    assert Page((tmp_path / "report.html").read_text()).unsafe == []


def test_unread_answers_are_shown_commonest_first(tmp_path: Path) -> None:
    raws = ["no idea", "cat or dog", "cat or dog", "x" * 900]
    write_run(tmp_path, [prediction(str(i), status="unparseable", raw=raw) for i, raw in enumerate(raws)])
    score.main(tmp_path)
    report.main(tmp_path)
    shown = read_json(tmp_path / "report.json")["unparseable"]
    assert shown[0] == {"text": "cat or dog", "count": 2}
    assert max(len(row["text"]) for row in shown) <= 200


def test_the_page_fetches_and_runs_nothing_and_names_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "Benchmark", Shelf)
    monkeypatch.setattr(circular, "Benchmark", Shelf)
    hostile = {"seen": HOSTILE, "heard": "Cat", "model": HOSTILE, "adapter": HOSTILE, "dataset": HOSTILE}
    conflict = {**hostile, "question": "audio", "condition": "misaligned"}
    rows = [
        prediction("clip00", answer=HOSTILE, raw=f"It is {HOSTILE}", class_distance=3, **conflict),
        prediction("clip01", status="failed", error=HOSTILE, **conflict),
        prediction("clip02", status="unparseable", raw=HOSTILE, **conflict),
        prediction("clip03", "misleading_caption", answer="Cat", caption=HOSTILE, **hostile),
    ]
    write_run(tmp_path, rows, settings={HOSTILE: HOSTILE})
    score.main(tmp_path)
    report.main(tmp_path, tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert Page(html).unsafe == []
    assert html.count("&lt;script&gt;") > 8
    assert "<script>" not in (tmp_path / "report.md").read_text()


def _videos(out: Path) -> list[bytes]:
    page = Page((out / "report.html").read_text())
    return [base64.b64decode((video["src"] or "").split(",")[1]) for video in page.elements.get("video", [])]


@pytest.mark.slow
def test_wrong_answers_are_playable(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "Benchmark", Shelf)
    monkeypatch.setattr(circular, "Benchmark", Shelf)
    report.main(out)
    assert _videos(out) == []
    report.main(out, out)
    shown = [video.decode() for video in _videos(out)]
    wrong = {
        row["id"]
        for row in map(vars, answers())
        if row["condition"] == "misaligned" and row["status"] == "ok" and row["answer"] != row["expected"]
    }
    assert set(shown) == wrong
    assert len(shown) == len(wrong) < mistakes.PER_PAGE


def test_clips_that_the_other_modality_captured_come_first() -> None:
    conflict = {"condition": "misaligned", "question": "audio", "heard": "Cat"}
    rows = [
        prediction("a", answer="Rain", seen="Bird", **conflict),
        prediction("b", answer="Bird", seen="Bird", **conflict),
        prediction("c", answer="Bird", seen="Bird", **conflict),
        prediction("d", answer="Cat", seen="Bird", **conflict),
        prediction("e", status="unparseable", seen="Bird", **conflict),
        prediction("f", answer="Rain", seen="Rain", **conflict),
    ]
    chosen: list[list[Prediction]] = mistakes.choose(rows, "misaligned")
    assert [clip[0].base_id for clip in chosen] == ["b", "f", "c", "a"]


@pytest.mark.slow
def test_heavy_clips_stay_within_the_budget_and_every_class_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise, which no encoder can make small: each clip alone weighs more than the page may hold."""
    heavy = noise(tmp_path / "heavy.mp4").read_bytes()
    monkeypatch.setattr(mistakes, "preview", real_preview)
    monkeypatch.setattr(mistakes, "Benchmark", Shelf)
    monkeypatch.setattr(Shelf, "content", heavy)
    monkeypatch.setattr(mistakes, "MAX_BYTES", 300_000)
    rows = [
        prediction(f"clip{number:02}", "misaligned", "audio", "Bird", heard="Cat", seen=f"Class_{number % 7}")
        for number in range(10)
    ]
    assert len(heavy) > mistakes.MAX_BYTES
    shown = mistakes.mistakes(rows, Path(), "test")
    assert shown.total == len(shown.clips) == 10
    assert len({clip.visual_class for clip in shown.clips[:7]}) == 7, "each class first"
    held = [base64.b64decode(clip.uri.split(",")[1]) for clip in shown.clips if clip.uri]
    assert len(held) == 10, "all can be watched"
    assert sum(map(len, held)) <= mistakes.MAX_BYTES


@pytest.mark.slow
def test_all_wrong_answers_are_on_as_many_pages_as_it_takes(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "Benchmark", Shelf)
    monkeypatch.setattr(circular, "Benchmark", Shelf)
    monkeypatch.setattr(mistakes, "PER_PAGE", 4)
    (out / "mistakes").mkdir()
    (out / "mistakes" / "99.html").write_text("of an earlier run")
    report.main(out, out, all_mistakes=True)
    wrong = {rows[0].id for rows in mistakes.choose(answers(), "misaligned")}
    pages = sorted((out / "mistakes").glob("*.html"), key=lambda path: int(path.stem))
    assert [path.stem for path in pages] == [str(number) for number in range(1, -(-len(wrong) // 4) + 1)]
    found = [id for path in pages for id in re.findall(r'aria-label="Clip ([^"]+)"', path.read_text())]
    assert sorted(found) == sorted(wrong)
    text = Page((out / "report.html").read_text()).text
    assert f"4 of {len(wrong)}. mma-bench results --all-mistakes writes pages with all of them" in text
    assert Page(pages[0].read_text()).unsafe == [f"<a href={path.name}>" for path in pages], "links between the pages"


def test_a_clip_that_cannot_be_decoded_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "preview", real_preview)
    monkeypatch.setattr(mistakes, "Benchmark", Shelf)
    (clip,) = mistakes.mistakes(
        [prediction("clip00", "misaligned", "audio", "Bird", heard="Cat")], Path(), "test"
    ).clips
    assert clip.uri is None


def test_another_dataset_is_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "Benchmark", Shelf)
    monkeypatch.setattr(circular, "Benchmark", Shelf)
    monkeypatch.setattr(Shelf, "fingerprint_now", "0" * 64)
    with pytest.raises(ConfigError, match="is not the dataset the answers were made on"):
        report.main(out, out)


@pytest.mark.parametrize("name", ["run.json", "scores.json", "predictions.jsonl"])
def test_a_missing_input_is_named(out: Path, name: str) -> None:
    (out / name).unlink()
    with pytest.raises(DataError, match=re.escape(name)):
        report.main(out)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_it_looks_right_in_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "Benchmark", Shelf)
    monkeypatch.setattr(circular, "Benchmark", Shelf)
    long = "a-very-long-name-without-any-place-to-break-it/" * 4
    rows = answers(40, model=long) + answers(40, protocol="chain_of_thought", model=long)
    rows[1] = replace(rows[1], status="unparseable", answer=None, raw="x" * 400)
    write_run(tmp_path, rows)
    (tmp_path / "seen.txt").write_text("Bird\n")
    score.main(tmp_path, tmp_path / "seen.txt")
    report.main(tmp_path, tmp_path)
    assert faults(tmp_path / "report.html", may_scroll=["Accuracy by class"]) == []


@pytest.mark.parametrize("paper_clips", [False, True])
def test_the_papers_seen_and_unseen_classes_are_shown_as_what_they_are(tmp_path: Path, paper_clips: bool) -> None:
    """Below ours, in a table of their own even on the paper's clips: it does not say which classes it tuned on."""
    write_run(tmp_path, answers(model="Qwen/Qwen2.5-Omni-7B"))
    (tmp_path / "seen.txt").write_text("Bird\n")
    if paper_clips:
        _on_the_papers_clips(tmp_path)
    score.main(tmp_path, tmp_path / "seen.txt")
    report.main(tmp_path)
    page, text = Page((tmp_path / "report.html").read_text()).text, (tmp_path / "report.md").read_text()
    for written, cells in (
        (page, "unseen misaligned audio 24.6 55.1"),
        (text, "| unseen | misaligned | audio | 24.6 | 55.1 |"),
    ):
        ours, paper = written.split("The paper’s own results (Table 9)")
        assert cells in paper
        assert "not comparable with the results above" in paper
        assert "Seen and unseen classes" in ours
    score.main(tmp_path)
    report.main(tmp_path)
    assert "Table 9" not in (tmp_path / "report.html").read_text()
    assert "Table 9)" not in (tmp_path / "report.md").read_text()
