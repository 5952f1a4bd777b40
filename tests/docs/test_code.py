"""The worked examples of docs/code.md: applied to a copy of the project, and their commands run there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from mma_bench import layout
from mma_bench.schema import ALIGNED, CANDIDATES, NORMALISED
from mma_bench.tables import from_rows, read_table, write_table
from tests.builders.publish import project
from tests.docs.pages import ROOT, Block, blocks, merged

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs/code.md"
EXAMPLES = ("A clip source", "A judge", "A condition", "An engine")

# One process for all commands of an example: most of a command's seconds are imports.
RUN = """
import json, sys
from mma_bench.cli import main
for arguments in json.loads(sys.argv[1]):
    print("$", *arguments, flush=True)
    main.main(arguments, prog_name="mma-bench", standalone_mode=False)
"""


def applied(text: str, diff: str, name: str) -> str:
    """`text` with a diff without line numbers: the lines that stay or go must be in it, together and once."""
    lines = diff.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert f"\n{text}".count(f"\n{old}") == 1, f"{PAGE.name}: {name} has these lines {text.count(old)} times:\n{old}"
    return f"\n{text}".replace(f"\n{old}", f"\n{new}")[1:]


def of(heading: str, *languages: str) -> list[Block]:
    return [block for block in blocks(PAGE) if block.heading == heading and block.language in languages]


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with every example's files and diffs."""
    folder = tmp_path_factory.mktemp("code")
    package = folder / "mma_bench"
    shutil.copytree(ROOT / "mma_bench", package, ignore=shutil.ignore_patterns("__pycache__"))
    for block in [block for heading in EXAMPLES for block in of(heading, "python", "diff")]:
        if "/" not in block.title:
            continue  # a file of the user's project
        path = package / block.title.removeprefix("mma_bench/")
        if block.language == "python":
            assert not path.exists(), f"{block.title} is there already"
            path.write_text(block.text)
        else:
            path.write_text(applied(path.read_text(), block.text, block.title))
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        project.make(root)
        aligned = read_table(layout.ALIGNED, ALIGNED).filter(pl.col("clip_id").str.ends_with("0_30000"))
        rows = [{**row, "subset": "eval", "status": "ok", "reason": "", "detail": ""} for row in aligned.to_dicts()]
        write_table(from_rows(rows, CANDIDATES), layout.CANDIDATES, CANDIDATES, ["clip_id"])
        write_table(from_rows(rows, NORMALISED), layout.NORMALISED, NORMALISED, ["clip_id"])
        whole = yaml.safe_load(Path("params.yaml").read_text())
        small = {"splits": {"test": ["eval"], "train": []}, "limit": 2}
        whole = merged(whole, {"acquire": small, "pair": {"donors": {"test": 1, "train": 1}}})
        Path("params.yaml").write_text(yaml.safe_dump(whole))
        shutil.rmtree(layout.VALIDATION)  # the examples run gates of their own
    return root


def run_example(heading: str, code: Path, built: Path, tmp_path: Path) -> tuple[Path, str]:
    """Put the example's files into a copy of a small project and run its commands; gives the project and the output."""
    root = tmp_path / "project"
    shutil.copytree(built, root)
    for block in of(heading, "python", "yaml"):
        if block.title == "params.yaml":
            params = yaml.safe_load((root / "params.yaml").read_text())
            (root / "params.yaml").write_text(yaml.safe_dump(merged(params, yaml.safe_load(block.text))))
        elif "/" not in block.title:
            (root / block.title).write_text(block.text)
    (console,) = of(heading, "console")
    lines = [line.removeprefix("$ mma-bench ").split() for line in console.text.splitlines()]
    environment = {**os.environ, "PYTHONPATH": str(code), "GX_ANALYTICS_ENABLED": "false"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(lines)],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return root, done.stdout


def test_a_clip_source(code: Path, built: Path, tmp_path: Path) -> None:
    root, said = run_example("A clip source", code, built, tmp_path)
    clips = pl.read_parquet(root / layout.ACQUIRED)
    assert clips["status"].to_list() == ["ok"] * 2
    assert clips["source"].unique().to_list() == ["test pattern"]
    assert clips["sha256"].n_unique() == 2, "every video has a tone of its own"
    assert "2" in said.partition("acquire status")[2]


def test_a_judge(code: Path, built: Path, tmp_path: Path) -> None:
    root, _ = run_example("A judge", code, built, tmp_path)
    verdicts = pl.read_parquet(root / layout.VERDICTS)
    assert verdicts["judge"].unique().to_list() == ["presence"]
    assert verdicts["status"].to_list() == ["ok"] * verdicts.height
    assert verdicts.height == 8


def test_a_condition(code: Path, built: Path, tmp_path: Path) -> None:
    root, _ = run_example("A condition", code, built, tmp_path)
    row = pl.read_parquet(root / "mma-bench/data/asked_twice/test-*.parquet").row(0, named=True)
    half = len(row["audio_question"]) // 2
    assert row["audio_question"][:half] == row["audio_question"][half + 1 :]
    answers = [json.loads(line) for line in (root / "results/twice/predictions.jsonl").read_text().splitlines()]
    assert [row["condition"] for row in answers].count("asked_twice") == 2 * 8, "both questions about eight clips"
    assert '"asked_twice"' in (root / "results/twice/scores.json").read_text()


def test_an_engine(code: Path, built: Path, tmp_path: Path) -> None:
    root, _ = run_example("An engine", code, built, tmp_path)
    with (root / "results/first-option/predictions.jsonl").open() as lines:
        answers = [json.loads(line)["raw"] for line in lines]
    assert answers == ["Bird"] * len(answers)
    assert len(answers) == 2 * 2 * 8, "two conditions, two questions, eight clips"
