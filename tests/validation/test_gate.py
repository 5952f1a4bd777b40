"""The gate itself: exit codes, what it writes, and that a run leaves nothing else behind."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mma_bench import layout
from mma_bench.cli import main
from mma_bench.files import file_sha256
from mma_bench.layout import TABLES
from tests.browser import CHROMIUM, faults
from tests.validation.world import World, suite_of

PAGE = Path("reports/validation.html")


def run(table: str) -> Result:
    return CliRunner().invoke(main, ["validate", table])


def record(table: str) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((layout.VALIDATION / f"{table}.json").read_text(encoding="utf-8"))
    return loaded


def test_a_sound_table_passes_and_is_on_record(world: World) -> None:
    world.write()
    result = run("pairs")
    assert result.exit_code == 0, result.output
    assert "all 11 promises hold" in result.output
    found = record("pairs")
    assert found["passed"] is True
    assert found["subject"] == "data/pairs.parquet"
    assert found["sha256"] == file_sha256(layout.PAIRS)
    assert found["inputs"] == {
        path: file_sha256(Path(path))
        for path in ("data/aligned.parquet", "data/pairs.parquet", "data/classes.json", "metrics/pair.json")
    }
    assert [item["name"] for item in found["expectations"]] == world.promise_names("pairs")  # type: ignore[attr-defined]


def test_a_broken_table_ends_with_3_and_both_reports(world: World) -> None:
    world.edit("pairs", "cat-1", class_distance=9)
    world.edit("pairs", "dog-1", class_distance=None)
    world.write()
    result = run("pairs")
    assert result.exit_code == 3
    assert "gate pairs: 1 of 11 promises are broken" in result.output
    assert re.search(
        r"distance_is_that_of_the_ontology: 2 of 16 rows break it: "
        r"cat-1 with the sound of dog-1 \(class_distance 9, edges 2\); "
        r"dog-1 with the sound of hammer-1 \(class_distance null, edges 2\)",
        result.output,
    )
    assert "mma-bench build pair" in result.output
    assert "Traceback" not in result.output
    found = record("pairs")
    assert found["passed"] is False
    assert [item["name"] for item in found["expectations"] if not item["passed"]] == [
        "distance_is_that_of_the_ontology"
    ]  # type: ignore[attr-defined]
    page = PAGE.read_text(encoding="utf-8")
    assert "1 of 11 broken" in page
    assert "cat-1 with the sound of dog-1 (class_distance 9, edges 2)" in page


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_fits_a_phone_and_a_desktop(world: World) -> None:
    world.edit("pairs", "cat-1", class_distance=9)
    world.write()
    run("pairs")
    assert faults(PAGE.resolve()) == []


def test_the_same_table_gives_the_same_bytes(world: World) -> None:
    world.edit("pairs", "cat-1", class_distance=9)
    world.write()
    written = []
    for _ in range(2):
        run("pairs")
        written.append((PAGE.read_bytes(), (layout.VALIDATION / "pairs.json").read_bytes()))
    assert written[0] == written[1]


def test_at_most_five_offenders_are_named_and_the_rest_is_counted(world: World) -> None:
    for base in ("cat-2", "dog-2"):
        world.edit("pairs", base, class_distance=9)
    world.write()
    result = run("pairs")
    assert "6 of 16 rows break it" in result.output
    assert len(re.findall(r"class_distance 9", result.output)) == 5
    assert "; ..." in result.output


@pytest.mark.slow
def test_a_message_shortens_hashes_and_the_record_does_not(world: World) -> None:
    world.edit("variants", "cat-1.misaligned.dog-1", video_sha256="a" * 64)
    world.write()
    assert "video_sha256 aaaaaaaaaaaa…, " in run("variants").output
    (example,) = (item["examples"][0] for item in record("variants")["expectations"] if not item["passed"])  # type: ignore[attr-defined]
    assert example["video_sha256"] == "a" * 64


def test_a_gate_that_cannot_run_leaves_no_verdict(world: World) -> None:
    world.write()
    assert run("pairs").exit_code == 0
    layout.PAIRS.unlink()
    result = run("pairs")
    assert result.exit_code == 1
    assert "data/pairs.parquet does not exist" in result.output
    assert not (layout.VALIDATION / "pairs.json").exists()


def test_a_promise_about_a_column_that_is_not_there_is_no_pass(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = suite_of("pairs")
    good = suite.pair_facts
    monkeypatch.setattr(suite, "pair_facts", lambda *args: good(*args).drop("edges"))
    world.write()
    result = run("pairs")
    assert result.exit_code == 3
    assert re.search(r"distance_is_that_of_the_ontology: could not be evaluated \(.*edges", result.output)


def test_the_page_shows_every_gate_that_ran_failing_ones_first(world: World) -> None:
    world.edit("pairs", "cat-1", class_distance=9)
    world.write()
    for table in ("aligned", "pairs"):
        run(table)
    page = PAGE.read_text(encoding="utf-8")
    assert page.index('id="pairs"') < page.index('id="aligned"')
    assert re.findall(r"<td>(\w+)</td><td><span class=\"badge muted\">not run", page) == [
        "candidates",
        "normalised",
        "verdicts",
        "variants",
        "package",
        "sft",
    ]


@pytest.mark.slow
def test_the_page_says_which_gates_speak_of_older_files(world: World) -> None:
    world.write()
    run("aligned")
    world.edit("aligned", "cat-1", motion=6.0)
    world.write()
    run("pairs")
    page = PAGE.read_text(encoding="utf-8")
    aligned = page[page.index('id="aligned"') : page.index('id="pairs"')]
    assert "out of date" in aligned
    assert "data/aligned.parquet" in aligned
    assert "out of date" not in page[page.index('id="pairs"') :]


def test_the_page_can_be_written_again_from_the_records(world: World) -> None:
    world.write()
    run("pairs")
    before = PAGE.read_bytes()
    PAGE.unlink()
    assert run("page").exit_code == 0
    assert PAGE.read_bytes() == before


def test_a_record_of_another_version_counts_as_not_run(world: World) -> None:
    world.write()
    layout.VALIDATION.mkdir(parents=True)
    (layout.VALIDATION / "aligned.json").write_text('{"format": 0, "table": "aligned"}', encoding="utf-8")
    assert run("pairs").exit_code == 0
    assert 'id="aligned"' not in PAGE.read_text(encoding="utf-8")


def test_the_page_asks_for_nothing_and_escapes_what_it_shows(world: World) -> None:
    hostile = "<script>alert(1)</script>"
    world.edit("aligned", "cat-1", judge=hostile)
    world.raw["acquire"]["splits"]["train"].append(hostile)  # a promise names the subsets
    world.write()
    for table in ("aligned", "candidates"):
        run(table)
    page = PAGE.read_text(encoding="utf-8")
    assert "&lt;script" in page
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)\s*=\s*(?!["']?(?:#|data:))""", page)
    assert not re.search(r"url\((?!data:)|@import", page)


@pytest.mark.parametrize("table", TABLES)
def test_names_are_stable_words_and_every_promise_says_why_and_what_to_do(world: World, table: str) -> None:
    promises = suite_of(table).promises(world.params)
    names = [promise.name for promise in promises]
    assert len(set(names)) == len(names)
    for promise in promises:
        assert re.fullmatch(r"[a-z][a-z0-9_]+", promise.name)
        assert promise.says.endswith(".")
        assert promise.paper
        assert re.search(r"mma-bench build|dvc repro|validate\.|acquire\.|curation table", promise.hint), promise.hint


@pytest.mark.slow
def test_a_gate_sends_nothing_and_writes_nothing_of_great_expectations(world: World, tmp_path: Path) -> None:
    """In a process of its own: no socket is opened, no bar drawn, no file made but the two reports."""
    world.write()
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    temporary = tmp_path / "tmp"
    home = tmp_path / "home"
    temporary.mkdir()
    home.mkdir()
    code = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise AssertionError('a socket was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from mma_bench.cli import main\n"
        "main(['validate', 'pairs'], standalone_mode=False)\n"
        "from great_expectations.data_context.data_context.context_factory import project_manager\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"TMPDIR": str(temporary), "HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    made = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert {path.relative_to(tmp_path).as_posix() for path in made} == {
        "reports/validation.html",
        "reports/validation/pairs.json",
    }


@pytest.mark.parametrize("damage", ["{", "[1]", '{"format": 1}', '{"format": 1, "table": "pairs", "expectations": 3}'])
def test_a_damaged_record_is_named_and_set_aside(world: World, damage: str) -> None:
    world.write()
    path = layout.VALIDATION / "aligned.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(damage)
    result = run("pairs")
    assert result.exit_code == 0, result.output
    assert (
        "aligned.json is damaged and was renamed to aligned.json.damaged: run `mma-bench validate aligned` again"
        in (result.output)
    )
    assert path.with_name("aligned.json.damaged").read_text() == damage
