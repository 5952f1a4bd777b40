"""A run over a subset of the clips asks about these alone, says so, and is ranked among its like."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mma_bench.cli import main
from mma_bench.errors import ConfigError, DataError, MmaBenchError
from mma_bench.evaluation import leaderboard
from mma_bench.evaluation.chosen_clips import Subset, read_clips
from mma_bench.evaluation.completeness import missing
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.infer import chosen_conditions
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.submission import read_submission, write_submission
from tests.evaluation.packaged import BASES, packaged_row, write
from tests.evaluation.runs import answers, write_run


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    rows = {name: [packaged_row(base, name) for base in BASES] for name in ("aligned", "misaligned")}
    rows["misaligned"] += [packaged_row("c", "misaligned") | {"id": "c.again"}]
    return write(tmp_path / "mma-bench", **rows)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def listed(*ids: str) -> str:
    """A text file of clips."""
    Path("few.txt").write_text("".join(f"{each}\n" for each in ids))
    return "few.txt"


CSV = "id,question,base_id,right,subset\nx.misaligned,audio,x,0.5,1\nx.misaligned,visual,x,1.0,1\ny.a,audio,y,0,0\n"


@pytest.mark.parametrize(
    ("name", "text", "clips"),
    [
        ("clips.csv", CSV, {"x"}),
        ("clips.CSV", CSV.replace(",", ";"), {"x"}),  # saved by a spreadsheet
        ("clips.tsv", CSV.replace(",", "\t"), {"x"}),
        ("clips.txt", "y\n\n  x \ny\n", {"x", "y"}),
        ("clips", "\ufeff-x\r\ny,z", {"-x", "y,z"}),
    ],
)
def test_clips_are_read_from_a_table_or_a_list(tmp_path: Path, name: str, text: str, clips: set[str]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_clips(tmp_path / name) == clips


@pytest.mark.parametrize(
    ("name", "text", "error", "said"),
    [
        ("none.txt", None, ConfigError, r"none\.txt does not exist"),
        ("empty.txt", " \n\n", ConfigError, r"empty\.txt names no clips"),
        ("empty.csv", "", DataError, r"empty\.csv, line 1: column 'base_id' is missing"),
        ("rows.csv", "base_id,subset\n", ConfigError, r"rows\.csv names no clips"),
        ("zero.csv", CSV.replace(",1\n", ",0\n"), ConfigError, r"zero\.csv names no clips"),
        ("other.csv", "id,right\nx,1\n", DataError, r"other\.csv, line 1: column 'base_id' is missing"),
        ("part.txt", "base_id,right\nx,1\n", DataError, r"part\.txt, line 1: column 'subset' is missing"),
        ("yes.csv", "base_id,subset\nx,yes\n", DataError, r"yes\.csv, line 2, column 'subset': .*not 'yes'"),
    ],
)
def test_a_file_without_clips_is_refused_by_name_with_a_hint(
    tmp_path: Path, name: str, text: str | None, error: type[MmaBenchError], said: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(error, match=said) as caught:
        read_clips(tmp_path / name)
    assert caught.value.hint


def test_a_folder_and_a_file_that_is_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match=r"clip\.mp4"):
        read_clips(tmp_path / "clip.mp4")
    with pytest.raises(DataError, match="cannot be read"):
        read_clips(tmp_path)


def test_the_digest_is_that_of_the_set_whatever_its_order() -> None:
    one = Subset.of(["b", "a", "a"])
    assert one == Subset.of({"a", "b"})
    assert one.count == 2
    assert one.digest != Subset.of(["a"]).digest
    assert Subset.of(["ab", "c"]).digest != Subset.of(["a", "bc"]).digest
    assert Subset.of(["a", "b"]).digest == "db8992cf941b185a"  # recorded in runs: it must not change


def test_only_the_clips_of_the_subset_are_read_and_the_rest_is_of_the_whole_split(bench: Path) -> None:
    few, every = Benchmark(str(bench), clips=frozenset("ac")), Benchmark(str(bench))
    assert [row["id"] for row in few.rows("misaligned")] == ["a.misaligned", "c.misaligned", "c.again"]
    assert [row["id"] for row in few.texts("aligned")] == ["a.aligned", "c.aligned"]
    assert [row["id"] for row in few.rows("misaligned", ["id"])] == ["a.misaligned", "c.misaligned", "c.again"]
    assert [row["id"] for row in few.rows("misaligned", every=2, start=1)] == ["c.misaligned"]
    assert [row["video"] for row in few.rows("aligned")] == [
        row["video"] for row in every.rows("aligned") if row["base_id"] != "b"
    ]
    assert few.fingerprint("misaligned") == every.fingerprint("misaligned")
    assert few.answers("misaligned") == every.answers("misaligned")
    limited = Benchmark(str(bench), clips=frozenset("bc"), limit=1)
    assert [row["id"] for row in limited.rows("misaligned")] == ["b.misaligned"]


def test_a_clip_that_a_condition_does_not_have_is_named(bench: Path) -> None:
    assert chosen_conditions(Benchmark(str(bench), clips=frozenset("ab")), ["aligned"]) == ("aligned",)
    with pytest.raises(ConfigError, match=r"aligned: no base clip 'd' in split test, and 1 more of --clips") as caught:
        chosen_conditions(Benchmark(str(bench), clips=frozenset("ade")), ["aligned"])
    assert caught.value.hint
    write(bench, aligned=[packaged_row("a", "aligned")], misaligned=[packaged_row(base, "misaligned") for base in "ab"])
    with pytest.raises(ConfigError, match=r"aligned: no base clip 'b'"):
        chosen_conditions(Benchmark(str(bench), clips=frozenset("ab")), ["misaligned", "aligned"])


INFER = ("infer", "--model", "oracle", "--conditions", "misaligned", "--out", "results/run")


def test_a_run_over_a_subset_asks_about_it_alone_and_records_it(bench: Path) -> None:
    result = run(*INFER, "--clips", listed("c", "a"))
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in Path("results/run/predictions.jsonl").read_text().splitlines()]
    assert [row["base_id"] for row in rows] == [*"aacccc"]
    assert json.loads(Path("results/run/run.json").read_text())["clips"] == {
        "digest": Subset.of("ac").digest,
        "count": 2,
    }
    assert run("score", "results/run").exit_code == 0
    assert run("results", "results/run", "--submission", "mine.submission.json").exit_code == 0
    digest = Subset.of("ac").digest
    assert f"A run over a subset of 2 base clips (digest {digest})" in Path("results/run/report.md").read_text()
    assert digest in Path("results/run/report.html").read_text()
    assert read_submission(Path("mine.submission.json")).subset == Subset.of("ac")


def test_a_run_without_a_subset_records_none(bench: Path) -> None:
    assert run(*INFER).exit_code == 0
    assert "clips" not in json.loads(Path("results/run/run.json").read_text())
    assert run("score", "results/run").exit_code == 0
    assert run("results", "results/run", "--submission", "mine.submission.json").exit_code == 0
    assert "clips" not in json.loads(Path("mine.submission.json").read_text())
    assert "subset" not in Path("results/run/report.md").read_text()


def test_the_same_subset_is_resumed_from_any_file_and_another_is_refused(bench: Path) -> None:
    assert run(*INFER, "--clips", listed("a", "c")).exit_code == 0
    before = Path("results/run/run.json").read_bytes()
    Path("table.csv").write_text("base_id,subset\nc,1\na,1\nb,0\n")
    assert run(*INFER, "--clips", "table.csv").exit_code == 0
    assert Path("results/run/run.json").read_bytes() == before
    for options, now in ((("--clips", listed("a", "b")), "over a subset of 2 base clips"), ((), "over all clips")):
        result = run(*INFER, *options)
        assert result.exit_code == 2
        assert "results/run holds a run over a subset of 2 base clips" in result.output
        assert now in result.output
        assert "--clips" in result.output.partition("hint: ")[2]
    assert Path("results/run/run.json").read_bytes() == before


def test_a_run_over_all_clips_is_not_resumed_with_a_subset(bench: Path) -> None:
    assert run(*INFER).exit_code == 0
    result = run(*INFER, "--clips", listed("a"))
    assert result.exit_code == 2
    assert "holds a run over all clips; this one is over a subset of 1 base clip " in result.output


def test_a_limit_is_a_trial_of_the_subset_and_may_be_dropped(bench: Path) -> None:
    for limit, asked in ((("--limit", "1"), [*"bb"]), ((), [*"bbcccc"])):
        assert run(*INFER, "--clips", listed("b", "c"), *limit).exit_code == 0
        lines = Path("results/run/predictions.jsonl").read_text().splitlines()
        assert [json.loads(line)["base_id"] for line in lines] == asked
        facts = json.loads(Path("results/run/run.json").read_text())
        assert facts.get("limit") == (1 if limit else None)
        assert facts["clips"]["count"] == 2
        board = leaderboard.main(Path("results"))
        assert board["runs"][0]["unranked"] == ("limited" if limit else None)


@pytest.mark.parametrize(
    ("clips", "code", "said"),
    [
        ("none.txt", 2, "none.txt does not exist"),
        ("few.txt", 2, "misaligned: no base clip 'z'"),
        ("bad.csv", 1, "'base_id'"),
    ],
)
def test_a_wrong_file_ends_the_command_before_anything_is_asked(bench: Path, clips: str, code: int, said: str) -> None:
    listed("a", "z")
    Path("bad.csv").write_text("x\n")
    result = run(*INFER, "--clips", clips)
    assert result.exit_code == code
    assert said in result.output
    assert "hint: " in result.output
    assert not Path("results/run").exists()


def test_evaluate_takes_a_subset_too(bench: Path) -> None:
    result = run("evaluate", *INFER[1:], "--clips", listed("b"))
    assert result.exit_code == 0, result.output
    assert "A run over a subset of 1 base clip (" in Path("results/run/report.md").read_text()


# Of the ranking.

DATA = {"misaligned": "f" * 64}


def over(*clips: str, seed: int = 0) -> list[Prediction]:
    """Answers about the misaligned variants of these clips."""
    rows = [row for row in answers(12, seed) if row.condition == "misaligned" and row.base_id in clips]
    told = [replace(row, answer=row.answer or "Rain", status="ok", error=None) for row in rows]
    return [replace(row, raw=row.answer) for row in told]


def facts(*clips: str) -> dict[str, Any]:
    return {"data": DATA, "clips": Subset.of(clips).facts()}


EVERY = tuple(f"clip{number:02}" for number in range(12))
FEW, OTHER = EVERY[:5], EVERY[3:9]


def reasons(board: dict[str, Any]) -> dict[str, str | None]:
    return {run["run"].removesuffix(" (submitted)"): run["unranked"] for run in board["runs"]}


def test_runs_over_one_subset_are_ranked_among_themselves(tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        write_run(tmp_path / name, over(*FEW, seed=seed), **facts(*FEW))
    write_run(tmp_path / "trial", over(*EVERY[8:]), data=DATA, limit=4)  # of all clips, and not to be ranked
    board = leaderboard.main(tmp_path)
    assert reasons(board) == {"one": None, "trial": "limited", "two": None}
    assert {run["run"] for run in board["runs"] if run["rank"]} == {"one", "two"}
    assert board["subset"] == Subset.of(FEW).facts()
    said = f"over a subset of 5 base clips (digest {Subset.of(FEW).digest})"
    assert said in (tmp_path / "leaderboard.html").read_text()
    assert said in (tmp_path / "leaderboard.md").read_text()


def test_a_run_over_all_clips_takes_runs_over_subsets_out_of_the_ranking(tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        write_run(tmp_path / name, over(*FEW, seed=seed), **facts(*FEW))
    write_run(tmp_path / "whole", over(*EVERY), data=DATA)
    board = leaderboard.main(tmp_path)
    assert reasons(board) == {"one": "subset", "two": "subset", "whole": None}
    assert "subset" not in board
    html = (tmp_path / "leaderboard.html").read_text()
    assert "<b>subset</b>" in html
    assert "over a subset of 5" not in html


def test_of_several_subsets_the_most_frequent_is_ranked(tmp_path: Path) -> None:
    for seed, (name, clips) in enumerate((("a", OTHER), ("b", FEW), ("c", FEW))):
        write_run(tmp_path / name, over(*clips, seed=seed), **facts(*clips))
    assert reasons(leaderboard.main(tmp_path)) == {"a": "subset", "b": None, "c": None}


def test_a_run_over_a_subset_is_finished_when_all_of_it_was_asked(tmp_path: Path) -> None:
    assert missing(facts(*FEW), over(*FEW)) is None
    said = missing(facts(*FEW), over(*FEW[1:]))
    assert said == "4 of the subset's 5 base clips were asked about under misaligned (forced_choice)"
    assert missing({**facts(*FEW), "limit": 4}, over(*FEW[1:])) is None
    write_run(tmp_path / "half", over(*FEW[1:]), **facts(*FEW))
    write_run(tmp_path / "done", over(*FEW), **facts(*FEW))
    assert reasons(leaderboard.main(tmp_path)) == {"done": None, "half": "incomplete"}


def submitted(path: Path, rows: Sequence[Prediction], clips: Sequence[str]) -> Path:
    write_submission(rows, path, subset=Subset.of(clips))
    return path


def test_a_submission_keeps_its_subset_and_cannot_state_another(tmp_path: Path) -> None:
    path = submitted(tmp_path / "a.submission.json", over(*FEW), FEW)
    assert read_submission(path).subset == Subset.of(FEW)
    for clips in (EVERY[1:6], FEW[:4]):
        with pytest.raises(DataError, match="`clips` is not that of its predictions"):
            read_submission(submitted(path, over(*FEW), clips))
    content = json.loads(path.read_text())
    for wrong in ([], {"digest": 1, "count": 5}, {"digest": "x", "count": True}, {"count": 5}, {"digest": "x"}):
        path.write_text(json.dumps({**content, "clips": wrong}))
        with pytest.raises(DataError, match="`clips` is not a digest and a count"):
            read_submission(path)


def test_submissions_over_a_subset_are_ranked_as_runs_over_it(tmp_path: Path) -> None:
    write_run(tmp_path / "own", over(*FEW), **facts(*FEW))
    submitted(tmp_path / "theirs.submission.json", over(*FEW, seed=1), FEW)
    submitted(tmp_path / "half.submission.json", over(*FEW[1:], seed=1), FEW)
    assert reasons(leaderboard.main(tmp_path)) == {"own": None, "theirs": None, "half": "incomplete"}


def test_a_submission_over_a_subset_is_checked_against_the_dataset(bench: Path) -> None:
    assert run(*INFER, "--clips", listed("a", "c")).exit_code == 0
    assert run("score", "results/run").exit_code == 0
    assert run("results", "results/run", "--submission", "board/theirs.submission.json").exit_code == 0
    assert reasons(leaderboard.main(Path("board"), Benchmark(str(bench)))) == {"theirs": None}
    path = Path("board/theirs.submission.json")
    content = json.loads(path.read_text())
    rows = [row for row in content["predictions"] if row["id"] != "c.again"]
    write_submission([Prediction(**row) for row in rows], path, subset=Subset.of("ac"))
    assert reasons(leaderboard.main(Path("board"), Benchmark(str(bench)))) == {"theirs": "incomplete"}


def test_a_run_without_facts_is_over_all_clips() -> None:
    assert Subset.read({}) is None
    assert Subset.read({"clips": {"digest": "x", "count": 3}}) == Subset("x", 3)
