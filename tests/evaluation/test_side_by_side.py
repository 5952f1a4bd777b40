"""Two runs side by side: the kinds and their totals, which clips are shown, and what is refused."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from scipy import stats

from mma_bench.cli import main
from mma_bench.errors import ConfigError
from mma_bench.evaluation import side_by_side
from mma_bench.evaluation.cells import by_cell
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.side_by_side import check_comparable, choose, kind_of, pairs_of, totals
from mma_bench.tables import read_json
from tests.browser import CHROMIUM, faults
from tests.evaluation.packaged import packaged_row, write
from tests.evaluation.pages import Page
from tests.evaluation.runs import prediction, write_run

# right before, right after → how many of 20 clips
KNOWN = {(True, True): 4, (False, True): 9, (True, False): 2, (False, False): 5}
HOSTILE = '<script>alert("x")</script>'


def runs(condition: str = "misaligned", **others: Any) -> tuple[list[Prediction], list[Prediction]]:
    """Both questions about 20 clips; the kinds of the audio question are as in KNOWN, sight is always right."""
    sides: tuple[list[Prediction], list[Prediction]] = ([], [])
    kinds = [kind for kind, count in KNOWN.items() for _ in range(count)]
    for number, kind in enumerate(kinds):
        for side, right in zip(sides, kind, strict=True):
            for question, answer in (("visual", "Bird"), ("audio", "Cat" if right else "Bird")):
                side.append(
                    prediction(f"c{number:02}", condition, question, answer, heard="Cat", **{"raw": answer, **others})
                )
    return sides[0], [replace(row, adapter="adapters/mma", adapter_revision="a1") for row in sides[1]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    rows = []
    for number in range(20):
        row = packaged_row(f"c{number:02}", "misaligned") | {"visual_class": "Bird", "visual_answer": "Bird"}
        row["video"] = {"bytes": f"clip {number}".encode(), "path": None}
        rows.append(row)
    write(tmp_path / "mma-bench", misaligned=rows)
    fingerprint = Benchmark("mma-bench").fingerprint("misaligned")
    for name, side in zip(("base", "tuned"), runs(dataset_fingerprint=fingerprint), strict=True):
        write_run(tmp_path / name, side)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["compare", "base", "tuned", "--out", "page.html", *arguments])


def test_totals_are_the_known_ones_with_mcnemars_exact_test() -> None:
    rows = {row["question"]: row for row in totals(*runs())}
    audio = rows["audio"]
    assert {kind: audio[kind] for kind in ("both_right", "became_right", "became_wrong", "both_wrong")} == {
        "both_right": 4,
        "became_right": 9,
        "became_wrong": 2,
        "both_wrong": 5,
    }
    assert audio["answers"] == audio["clusters"] == 20
    assert audio["difference"] == pytest.approx(7 / 20)
    assert audio["p_exact"] == pytest.approx(stats.binomtest(9, 11).pvalue)
    assert (audio["p"] < 0.05) == (audio["low"] > 0)
    assert rows["visual"]["p_exact"] == 1.0
    assert set(rows) == {"visual", "audio", "both"}  # all that p is corrected over
    assert rows["both"]["p_holm"] == pytest.approx(3 * rows["both"]["p"])


def test_both_counts_clips_with_both_answers_right() -> None:
    base, tuned = runs()
    sees = [replace(row, answer="Cat") if row.base_id == "c00" and row.question == "visual" else row for row in tuned]
    (row,) = [row for row in totals(base, sees) if row["question"] == "both"]
    assert (row["answers"], row["both_right"], row["became_right"], row["became_wrong"]) == (20, 3, 9, 3)
    lost = [row for row in sees if row.base_id != "c01" or row.question != "audio"]
    (row,) = [row for row in totals(base, lost) if row["question"] == "both"]
    assert (row["answers"], row["both_right"]) == (19, 2)


def test_failed_prompts_are_no_pair_and_unparseable_answers_are_wrong() -> None:
    base, tuned = [prediction(name) for name in "abc"], [prediction(name) for name in "abc"]
    tuned[0] = prediction("a", status="failed")
    tuned[1] = prediction("b", status="unparseable")
    ((_, pairs),) = pairs_of(base, tuned).items()
    assert [kind_of(pair) for pair in pairs] == ["became wrong", "both right"]


def test_answers_under_several_seeds_have_no_exact_test() -> None:
    base, tuned = ([prediction("a", seed=seed, answer=answer) for seed in range(3)] for answer in ("Cat", "Bird"))
    (row,) = totals(base, tuned)
    assert (row["answers"], row["became_right"], row["p_exact"]) == (3, 3, None)
    assert row["difference"] == 1.0


def test_the_choice_depends_on_the_seed_alone_and_more_clips_contain_the_fewer() -> None:
    base, tuned = runs()
    pairs = pairs_of(base, tuned)["forced_choice", "misaligned", "audio"]

    def chosen(pairs: Sequence[tuple[Prediction, Prediction]], seed: int) -> list[str]:
        return [pair[0].id for pair in choose(pairs, "became right", seed)]

    assert len(chosen(pairs, 0)) == 9
    assert chosen(pairs, 0) == chosen(pairs[::-1], 0)
    assert chosen(pairs, 0) != chosen(pairs, 1)
    assert sorted(chosen(pairs, 0)) == sorted(chosen(pairs, 1))
    twice = [*pairs, *((replace(a, key="x"), replace(b, key="x")) for a, b in pairs)]
    assert sorted(chosen(twice, 0)) == sorted(chosen(pairs, 0))  # each clip once


def test_the_page_shows_clips_of_each_kind_with_both_answers(project: Path) -> None:
    result = run("--clips", "2")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("forced choice, misaligned  became right  became wrong  both wrong  both right")
    assert "\nvisual " in result.output
    assert "page: page.html\nnext: mma-bench view base tuned\n" in result.output
    found = read_json(Path("page.json"))
    html = Path("page.html").read_text()
    page = Page(html)
    assert page.unsafe == []
    clips = found["shown"]["clips"]
    assert {kind: len(cards) for kind, cards in clips.items()} == dict.fromkeys(side_by_side.SHOWN, 2)
    assert [one["right"] for card in clips["became right"] for one in card["answers"]] == [False, True] * 2
    videos = {base64.b64decode((video["src"] or "").split(",")[1]).decode() for video in page.elements["video"]}
    assert videos == {f"clip {int(card['id'][1:3])}" for cards in clips.values() for card in cards}
    for said in (
        "“Which class best describes the audio content of this video?”",
        "Seen: Bird. Heard: Cat.",
        "First: Bird, wrong: what the other modality shows.",
        "Second: Cat, right.",
        "2 of 9 answers, forced choice, misaligned; drawn with seed 0.",
        "tiny + adapters/mma",
    ):
        assert said in page.text, said
    assert run("--clips", "2").exit_code == 0
    assert Path("page.html").read_text() == html


def test_clips_that_would_make_the_page_too_large_are_left_out(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "MAX_BYTES", 15)
    assert run("--clips", "2").exit_code == 0
    page = Page(Path("page.html").read_text())
    assert len(page.elements["video"]) == 2
    assert page.text.count("The clip is left out") == 4


def test_names_and_answers_are_text(project: Path) -> None:
    for name in ("base", "tuned"):
        lines = [json.loads(line) for line in Path(name, "predictions.jsonl").read_text().splitlines()]
        wrong = [{**line, "raw": HOSTILE} if line["answer"] != line["expected"] else line for line in lines]
        Path(name, "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in wrong))
        described = read_json(Path(name, "run.json"))
        Path(name, "run.json").write_text(json.dumps({**described, "model": HOSTILE}))
    assert run().exit_code == 0
    html = Path("page.html").read_text()
    assert Page(html).unsafe == []
    assert html.count("&lt;script&gt;") > 4


OTHERS: dict[str, tuple[Callable[[Prediction], Prediction], str]] = {
    "data": (lambda row: replace(row, dataset_fingerprint="0" * 64), "used different data under misaligned"),
    "prompt": (lambda row: replace(row, prompt_sha256="1" * 64), "different prompts"),
    "protocol": (
        lambda row: replace(row, protocol="abstention", key=row.key.replace("forced_choice", "abstention")),
        "share no protocol: forced_choice against abstention",
    ),
    "condition": (
        lambda row: replace(row, condition="aligned", key=row.key.replace("misaligned", "aligned")),
        "share no condition: misaligned against aligned",
    ),
    "sampling": (lambda row: replace(row, settings={**row.settings, "temperature": 1.0}), "differ in temperature"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_runs_that_are_not_comparable_are_refused(project: Path, other: str) -> None:
    change, words = OTHERS[other]
    base, tuned = runs()
    with pytest.raises(ConfigError, match=words):
        check_comparable(base, list(map(change, tuned)))
    check_comparable(base, tuned)
    write_run(project / "base", base)
    write_run(project / "tuned", list(map(change, tuned)))
    result = run()
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output
    assert not Path("page.html").exists()


MISTAKES = {
    "another dataset": (["--dataset", "other"], 2, "other is not the dataset the answers were made on"),
    "no such dataset": (["--dataset", "nowhere"], 2, "'nowhere' is not a directory"),
    "not run under it": (["--condition", "aligned"], 2, "share no answers in forced_choice under aligned"),
    "no such protocol": (["--protocol", "guess"], 2, "unknown protocol 'guess'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named_and_leave_nothing_behind(project: Path, mistake: str) -> None:
    write(project / "other", misaligned=[packaged_row("c00", "misaligned")])
    arguments, code, words = MISTAKES[mistake]
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert words in result.output
    assert not Path("page.html").exists()


@pytest.mark.parametrize("out", ["page.json", "page", "folder/"])
def test_the_page_is_not_written_over_its_json(project: Path, out: str) -> None:
    result = CliRunner().invoke(main, ["compare", "base", "tuned", "--out", out])
    assert result.exit_code == 2
    assert "--out must end in .html" in result.output
    assert not Path(out).exists()


def test_a_folder_without_a_run_is_named(project: Path) -> None:
    result = CliRunner().invoke(main, ["compare", "base", "nothing", "--out", "page.html"])
    assert result.exit_code == 1
    assert "nothing/run.json does not exist" in result.output


def test_without_wrong_answers_there_are_totals_alone(project: Path) -> None:
    right = [row for row in runs()[0] if row.question == "visual"]
    for name in ("base", "tuned"):
        write_run(project / name, right)
    result = run("--dataset", "nowhere")  # not needed
    assert result.exit_code == 0, result.output
    assert "video" not in Page(Path("page.html").read_text()).elements
    assert by_cell(right).keys() == {("forced_choice", "misaligned", "visual")}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_fits_the_window(project: Path) -> None:
    assert run().exit_code == 0
    assert faults(project / "page.html") == []
    named = {"protocol": "chain_of_thought", "condition": "misleading_caption_short_answer"}
    sides = runs(dataset_fingerprint=Benchmark("mma-bench").fingerprint("misaligned"))
    for name, side, answer in zip(("base", "tuned"), sides, ("Bird", "Cat"), strict=True):
        heard = [replace(row, **named, answer=answer, raw=answer) for row in side if row.question == "audio"]
        write_run(project / name, [*side, *heard])  # the widest cells: all of them change
    assert run().exit_code == 0
    assert "+100.0 [" in Path("page.html").read_text()
    assert faults(project / "page.html") == []


def test_runs_without_a_common_answer_have_a_hint_that_can_be_followed(tmp_path: Path) -> None:
    write_run(tmp_path / "failed", [prediction(condition="misaligned", status="failed")])
    write_run(tmp_path / "perfect", [prediction(condition="misaligned")])
    with pytest.raises(ConfigError, match=r"share no answers .*\n  hint: run the `mma-bench evaluate` of each"):
        side_by_side.main(tmp_path / "failed", tmp_path / "perfect", tmp_path / "out.html")
