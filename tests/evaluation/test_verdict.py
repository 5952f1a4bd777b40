"""The verdict stands first and says what the scores say; every wrong answer can be reached."""

from dataclasses import replace
from pathlib import Path

import pytest

from mma_bench.evaluation import formats, mistakes, report, score, verdict, wrong_answers
from mma_bench.stats import format_estimate
from mma_bench.tables import read_json
from tests.evaluation.pages import Page
from tests.evaluation.runs import answers, prediction, write_run

CONFLICT = {"seen": "Bird", "heard": "Cat", "condition": "misaligned"}


def _report(out: Path) -> tuple[str, Page]:
    score.main(out)
    report.main(out)
    return (out / "report.md").read_text(), Page((out / "report.html").read_text())


def test_the_verdict_stands_first_with_the_numbers_of_the_scores(tmp_path: Path) -> None:
    write_run(tmp_path, answers(40))
    text, page = _report(tmp_path)
    found = read_json(tmp_path / "report.json")["verdict"]
    rows = {(row["measure"], row["question"]): row for row in read_json(tmp_path / "scores.json")["headline"]}
    assert len(found["tiles"]) == 4
    for tile in found["tiles"]:
        assert rows[tile["measure"], tile["question"]].items() <= tile.items()
    sentence = found["sentence"].replace("\N{NO-BREAK SPACE}", " ")
    for written in (text.replace("\N{NO-BREAK SPACE}", " "), page.text):
        assert written.index(sentence) < written.index("Conflicting video and audio")
        assert all(format_estimate(tile).split(" ", 1)[1] in written for tile in found["tiles"])
    assert [tile["good"] for tile in found["tiles"]] == ["high", "high", "low", "high"]
    assert found["options"] == "4"


def test_a_model_that_guesses_is_said_to() -> None:
    row = {"protocol": "abstention", "condition": "misaligned", "measure": "accuracy", "question": "audio"}
    said = [
        (verdict.verdict([{**row, "chance": 0.25, "mean": 0.4, "low": low, "high": high}], "m", {"abstention": "5"}))
        for low, high in ((0.3, 0.5), (0.2, 0.5), (0.1, 0.2))
    ]
    assert ["guessing" in (found or {})["sentence"] for found in said] == [False, True, True]
    assert "worse" in (said[2] or {})["sentence"]


@pytest.mark.parametrize(
    ("protocol", "condition", "question", "good"),
    [
        ("forced_choice", "audio_removed", "audio", "near chance"),
        ("forced_choice", "audio_dropped", "audio", "near chance"),
        ("forced_choice", "audio_removed", "visual", "high"),
        ("loglikelihood", "frames_zeroed", "visual", "near chance"),
        ("abstention", "frames_zeroed", "visual", "high"),
        ("abstention", "absent_video", "visual", "high"),
        ("forced_choice", "absent_audio", "audio", "near chance"),
        ("forced_choice", "absent_video", "visual", "by kind"),
        ("forced_choice", "absent_video", "audio", "high"),
        ("forced_choice", "no_clip", "audio", "near chance"),
        ("forced_choice", "other_clip", "visual", "low"),
        ("forced_choice", "aligned", "audio", "high"),
    ],
)
def test_a_high_accuracy_about_a_removed_modality_is_guessing(
    protocol: str, condition: str, question: str, good: str
) -> None:
    assert verdict.good_when({"protocol": protocol, "condition": condition, "question": question}) == good


def test_only_the_first_protocol_is_unfolded(tmp_path: Path) -> None:
    write_run(tmp_path, answers() + answers(protocol="abstention") + answers(protocol="chain_of_thought"))
    _, page = _report(tmp_path)
    folded = [element for element in page.elements["details"] if element.get("class") == "protocol"]
    assert len(folded) == 2
    assert all("open" not in element for element in folded)


@pytest.mark.parametrize("clips", [1, 3, 5, 6, 8])
def test_intervals_are_shown_as_they_are_and_agree_with_p_on_few_clips(clips: int) -> None:
    for flips in range(clips + 1):
        rows = [prediction(f"c{i}", name) for i in range(clips) for name in ("aligned", "misaligned")]
        rows = [
            replace(row, answer="Cat") if row.condition == "misaligned" and int(row.base_id[1:]) < flips else row
            for row in rows
        ]
        (row,) = score.score(rows)["drop"]
        low, high = formats.points(row).replace("−", "-").split("[")[1].rstrip("]").split(", ")
        assert (float(low), float(high)) == (
            pytest.approx(100 * row["low"], abs=0.06),
            pytest.approx(100 * row["high"], abs=0.06),
        )
        assert (row["low"] > 0 or row["high"] < 0) == (row["p"] < 0.05)


def test_a_limited_or_unfinished_run_is_said_to_be(tmp_path: Path) -> None:
    data = dict.fromkeys(("aligned", "misaligned"), "f" * 64)
    write_run(tmp_path, [row for row in answers(4) if row.condition == "aligned"], data=data, limit=4)
    text, page = _report(tmp_path)
    for written in (text, page.text):
        assert "A trial run with --limit 4: at most 4 base clips." in written
        assert "Unfinished: no visual question was asked under misaligned (forced_choice)." in written


def test_markdown_has_no_entities_for_quotation_marks(tmp_path: Path) -> None:
    raw = 'it\'s a "cat" <b>'
    write_run(tmp_path, [*answers(), prediction("x", status="unparseable", raw=raw)])
    text, _ = _report(tmp_path)
    assert 'it\'s a "cat" &lt;b&gt;' in text
    assert "&#" not in text


def test_the_run_is_a_table_without_python_in_it(tmp_path: Path) -> None:
    rows = answers(settings={"temperature": 0.0, "seeds": [0, 1], "server": {"name": "vllm", "tp": 2}})
    write_run(tmp_path, rows, data={"aligned": "f" * 64})
    _, page = _report(tmp_path)
    run = page.text[page.text.index("The run") :]
    assert "settings · seeds 0; 1" in page.text
    assert "settings · server · name vllm" in page.text
    assert "data · aligned ffff" in page.text
    assert "{'" not in run


def test_every_wrong_answer_is_listed_with_its_kind(tmp_path: Path) -> None:
    caption = {"condition": "misleading_caption", "caption": "Rain"}
    rows = [
        prediction("a", question="audio", answer="Bird", **CONFLICT),
        prediction("b", question="audio", answer="Rain", **CONFLICT),
        prediction("c", question="audio", answer="Cat", **CONFLICT),
        prediction("d", answer="Rain", **caption),
        prediction("e", status="unparseable", raw="hm"),
        prediction("f", status="failed"),
        prediction("g", answer="None of the above", protocol="abstention"),
    ]
    found = {row["id"].split(".")[0]: row["kind"] for row in wrong_answers.wrong_answers(rows)}
    assert found == {
        "a": "other_modality",
        "b": "another_class",
        "d": "caption",
        "e": "unparseable",
        "g": "abstained",
    }
    assert set(found.values()) == wrong_answers.KINDS.keys()
    write_run(tmp_path, rows)
    _, page = _report(tmp_path)
    listed = [element for element in page.elements["tr"] if "data-kind" in element]
    assert len(listed) == 5
    assert page.unsafe == []


def test_what_does_not_fit_into_the_page_is_in_files_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_answers, "PER_PAGE", 20)
    monkeypatch.setattr(report, "PER_PAGE", 20)
    rows = answers()
    write_run(tmp_path, rows)
    stale = tmp_path / "wrong-answers" / "99.html"
    stale.parent.mkdir()
    stale.write_text("of an earlier run")
    _, page = _report(tmp_path)
    wrong = wrong_answers.wrong_answers(rows)
    listed = [element for element in page.elements["tr"] if "data-kind" in element]
    for path in sorted(stale.parent.glob("*.html")):
        listed += [e for e in Page(path.read_text()).elements["tr"] if "data-kind" in e]
    assert len(listed) == len(wrong) > 20
    assert not stale.exists()
    assert mistakes.FOLDER != wrong_answers.FOLDER


def test_the_terminal_has_a_row_for_each_condition_in_the_papers_order() -> None:
    cells = [
        {"protocol": protocol, "condition": condition, "question": question, "chance": chance, **value}
        for protocol in ("abstention", "forced_choice")
        for condition, question, chance, value in (
            ("three_way", "text", 0.5, {"mean": 0.9, "low": 0.8, "high": 1.0}),
            ("audio_removed", "visual", 0.1, {"mean": 0.2, "low": 0.1, "high": 0.3}),
            ("misaligned", "visual", 0.25, {"mean": 0.5, "low": 0.4, "high": 0.6}),
            ("misaligned", "audio", 0.25, {"mean": None, "low": None, "high": None}),
            ("aligned", "audio", 0.1, {"mean": 1.0, "low": 0.9, "high": 1.0}),
        )
    ]
    assert verdict.accuracy_rows(cells) == [
        ("aligned", "–", "100.0 [90.0, 100.0] %", "10.0 %"),
        ("misaligned", "50.0 [40.0, 60.0] %", "–", "25.0 %"),
        ("audio removed", "20.0 [10.0, 30.0] %", "–", "10.0 %"),
    ]
    assert verdict.accuracy_rows([cell for cell in cells if cell["question"] == "text"]) == []


def test_the_terminal_and_the_report_agree_on_a_small_chance(tmp_path: Path) -> None:
    write_run(tmp_path, answers(40, options=[f"class {number}" for number in range(46)] + ["Bird", "Cat", "Rain", "x"]))
    text, _ = _report(tmp_path)
    rows = {row[0]: row[2] for row in verdict.summary_rows(read_json(tmp_path / "scores.json")["headline"])}
    assert rows["Both senses right"] == "0.04 %"
    assert rows["Sees under conflict"] == "2.0 %"
    assert "| 0.04 | high |" in text


def test_a_models_name_is_in_the_report_as_it_is(tmp_path: Path) -> None:
    write_run(tmp_path, answers(40, model="refuses_third*|x"))
    text, _ = _report(tmp_path)
    assert text.startswith(r"# refuses\_third\*\|x on MMA-Bench")
    assert r"conflict, refuses\_third\*\|x names what is seen" in text
