"""The browser's files: what is listed, the prompts to the letter, media, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mma_bench.cli import main
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.protocols import Protocol, text_of
from mma_bench.evaluation.view.rows import read_run
from mma_bench.evaluation.view.site import FIXED, Site
from tests.evaluation.packaged import media_of
from tests.evaluation.runs import prediction, write_run
from tests.evaluation.view.project import HOSTILE, make, rows_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("view"))


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def site(*runs: str) -> Site:
    return Site(Benchmark("mma-bench"), [read_run(Path(run)) for run in runs])


def record(path: Path | None) -> dict[str, Any]:
    """What a data script hands to the page."""
    assert path is not None
    text = path.read_text(encoding="ascii")
    found = re.fullmatch(r"view\.\w+\((.*)\);\n", text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


def view(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["view", *arguments])


def test_every_clip_is_listed_under_every_condition_with_the_kind_of_each_answer(project: Path, tmp_path: Path) -> None:
    found = record(site("one", "two").make("rows.js", tmp_path))
    assert [row["id"] for row in found["rows"]] == [f"{b}.{c}" for c in ("aligned", "misaligned") for b in "abc"]
    assert [run["name"] for run in found["runs"]] == ["one", "two"]
    conflict = found["rows"][3]["answers"]
    assert conflict[0] == [
        ["forced_choice", "audio", 0, "other modality", "Cat"],
        ["forced_choice", "visual", 0, "right", "Cat"],
    ]
    assert [answer[3] for answer in conflict[1]] == ["right", "right"]
    assert found["rows"][3]["donor_id"] == "d"


def test_conditions_that_leave_the_clip_as_it_is_share_its_file(project: Path) -> None:
    media = [row["media"] for row in site().rows]
    assert media[:3] == media[3:]
    assert len(set(media)) == 3


def test_the_prompt_is_the_one_that_was_asked_to_the_letter(project: Path, tmp_path: Path) -> None:
    found = record(site("one").make("details/4.js", tmp_path))
    row = rows_of("misaligned")[1]
    asked = {each["question"]: each for each in found["prompts"]}
    assert asked["audio"]["text"] == text_of(Protocol.FORCED_CHOICE, row, "audio")
    assert asked["audio"]["expected"] == "Bird"
    assert asked["audio"]["answers"][0]["raw"] == HOSTILE


def test_a_prompt_in_other_words_is_not_shown_as_if_it_had_been_asked(project: Path, tmp_path: Path) -> None:
    fingerprint = Benchmark("mma-bench").fingerprint("aligned")
    write_run(tmp_path / "other", [prediction("a", "aligned", dataset_fingerprint=fingerprint)])
    found = record(site(str(tmp_path / "other")).make("details/0.js", tmp_path))
    assert [prompt["text"] for prompt in found["prompts"]] == [None]


def test_without_runs_the_forced_choice_is_shown(project: Path, tmp_path: Path) -> None:
    found = record(site().make("details/0.js", tmp_path))
    assert [(each["protocol"], each["question"], each["answers"]) for each in found["prompts"]] == [
        ("forced_choice", "visual", []),
        ("forced_choice", "audio", []),
    ]


def test_a_variant_that_was_asked_is_listed_with_its_own_answers(project: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "mma-bench"
    make(tmp_path)
    (dataset / "README.md").write_text((dataset / "README.md").read_text().replace("misaligned", "audio_removed"))
    (dataset / "data/misaligned").rename(dataset / "data/audio_removed")
    benchmark = Benchmark(str(dataset))
    answer = prediction("b", "audio_dropped", dataset_fingerprint=benchmark.fingerprint("audio_dropped"))
    write_run(tmp_path / "dropped", [answer])
    found = Site(benchmark, [read_run(tmp_path / "dropped")])
    (row,) = [row for row in found.rows if row["id"] == "b.audio_dropped"]
    assert len(row["answers"][0]) == 1
    assert record(found.make(f"details/{found.rows.index(row)}.js", tmp_path))["id"] == "b.audio_dropped"


def test_a_clip_is_that_of_its_row(project: Path, tmp_path: Path) -> None:
    opened = site()
    for row in opened.rows[:3]:
        path = opened.make(f"media/{row['media']}", tmp_path)
        assert path is not None
        assert path.read_bytes() == media_of(row["base_id"])


def test_a_folder_has_every_file_and_serves_the_same(project: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    result = view("one", "two", "--out", str(page))
    assert result.exit_code == 0, result.output
    assert str(page / "index.html") in result.output
    files = {
        str(path.relative_to(tmp_path / "page")): path for path in (tmp_path / "page").rglob("*") if path.is_file()
    }
    assert len(files) == len(FIXED) + 6 + 3
    opened = site("one", "two")
    for name, path in files.items():
        made = opened.make(name, tmp_path / "served")
        assert made is not None
        assert made.read_bytes() == path.read_bytes(), name


def test_a_run_on_other_data_is_refused(project: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "other", [prediction("a", "aligned")])
    result = view(str(tmp_path / "other"), "--out", str(tmp_path / "page"))
    assert result.exit_code != 0
    assert "was not made on mma-bench" in result.output
    assert "--dataset" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("absent",), "run.json"),
        (("--dataset", "absent"), "'absent' is not a directory"),
        (("--split", "train"), "no split 'train'"),
        (("--out", "mma-bench"), "is a dataset's folder"),
        (("--out", "one"), "holds other files"),
        (("--port", "99999"), "99999"),
    ],
)
def test_mistakes_are_told_without_a_traceback(project: Path, arguments: tuple[str, ...], said: str) -> None:
    (project / "mma-bench/checksums.sha256").touch()
    result = view(*arguments)
    assert result.exit_code not in (0, None)
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_page_holds_what_others_wrote_as_text_only(project: Path, tmp_path: Path) -> None:
    html = (site("one").make("index.html", tmp_path) or Path()).read_text()
    assert HOSTILE not in html
    script = (Path(__file__).parents[3] / "evaluation/view/static/view.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)
