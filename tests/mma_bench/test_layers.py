"""Who may import whom: the contracts in `pyproject.toml` hold, and a broken one is seen."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.checkout import ROOT, copy_checkout

ROOMS = ("builders", "validation", "evaluation", "training")


def lint(folder: Path) -> tuple[int, str]:
    """Exit code and report of `lint-imports` in a copy of the package."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", code, "--no-cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path / "copy", "mma_bench", *ROOMS, "pyproject.toml")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "line", "contract", "chain"),
    [
        (
            "mma_bench/errors.py",
            "import mma_bench.cli",
            "A room imports only what stands below it",
            "mma_bench.errors is not allowed to import mma_bench.cli",
        ),
        (
            "evaluation/score.py",
            "import mma_bench.builders.pair",
            "Only the audit of judges knows how the dataset was built; the rest of the evaluation knows the dataset",
            "mma_bench.evaluation.score -> mma_bench.builders.pair",
        ),
    ],
)
def test_an_import_that_is_not_allowed_breaks_its_contract(
    copy: Path, module: str, line: str, contract: str, chain: str
) -> None:
    with (copy / module).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    code, report = lint(copy)
    assert code == 1, report
    assert f"{contract} BROKEN" in report
    assert chain in report


@pytest.mark.slow
def test_every_contract_holds(copy: Path) -> None:
    code, report = lint(copy)
    assert code == 0, report
    assert ", 0 broken" in report


def test_at_the_top_of_builders_are_only_stages() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    files = {path.stem for path in (ROOT / "builders").glob("*.py")} - {"__init__"}
    assert files <= set(stages), f"move into a folder beside the stages: {sorted(files - set(stages))}"
    assert files, "no stage at all"


def test_the_rooms_are_reached_by_relative_links() -> None:
    links = {path.name: path.readlink().as_posix() for path in (ROOT / "mma_bench").iterdir() if path.is_symlink()}
    assert links == {room: f"../{room}" for room in ROOMS}
