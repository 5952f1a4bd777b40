"""`make repro` says in few lines what it does; the set-up installs by hash and into the same environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.checkout import ROOT

DVC = """#!/bin/sh
for stage in metadata validate_candidates package; do
    echo "Running stage '$stage':"
    echo "> mma-bench build $stage"
    echo "what the stage prints"
done
mkdir -p mma-bench
exit $FAKE_STATUS
"""
UV = """#!/bin/sh
echo "uv $*" >> calls
[ "$1" = venv ] || exit 0
mkdir -p .venv/bin
printf '#!/bin/sh\\necho Python 3.11.7\\n' > .venv/bin/python
chmod +x .venv/bin/python
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The scripts, with stand-ins of the programs that they call."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt", "constraints-build.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "mma_bench/media").mkdir(parents=True)
    (tmp_path / "mma_bench/media/install_ffmpeg.sh").write_text("exit 0\n")
    (tmp_path / "bin").mkdir()
    for name, text in (("dvc", DVC), ("uv", UV)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def make(project: Path, target: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    outer = {"MAKELEVEL", "MAKEFLAGS", "MFLAGS"}  # of the make that runs the tests: this one is not its child
    environment = {
        **{name: value for name, value in os.environ.items() if name not in outer},
        "PATH": f"{project / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "FAKE_STATUS": str(status),
    }
    return subprocess.run(["make", target], cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_repro_names_the_stages_and_ends_with_the_next_command(project: Path) -> None:
    done = make(project, "repro")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "  metadata" in lines
    assert "  validate_candidates" not in lines, "gates are in the log"
    assert len(lines) <= 15
    assert "mma-bench/" in lines[-2]
    assert "mma-bench evaluate" in lines[-1]
    assert "what the stage prints" in (project / "reports/repro.log").read_text()


def test_a_failed_stage_shows_the_end_of_the_log(project: Path) -> None:
    done = make(project, "repro", status=1)
    assert done.returncode != 0
    assert "what the stage prints" in done.stderr
    assert "next:" not in done.stdout


def test_packages_come_by_hash_from_the_lock_and_once(project: Path) -> None:
    for target in ("setup", "setup", "setup-all", "setup-all", "setup"):
        assert make(project, target).returncode == 0
    calls = (project / "calls").read_text().splitlines()
    assert [call.split()[1] for call in calls].count("venv") == 1, "one environment, which the second lock adds to"
    locks = [call for call in calls if "--requirement" in call]
    assert [call.split()[-1] for call in locks] == ["constraints-build.txt", "constraints.txt"]
    assert all("--require-hashes" in call and "--no-deps" in call for call in locks)
