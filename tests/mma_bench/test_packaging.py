"""What a wheel puts into site-packages: one package, complete, with its data."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"mma_bench": "mma_bench"} | {
    name: f"mma_bench/{name}" for name in ("builders", "validation", "evaluation", "training")
}
# Not used by the installed package: the set-up script, a pipeline, and pages for who reads the repository.
LEFT_OUT = {
    "mma_bench/media/install_ffmpeg.sh",
    "evaluation/dvc.yaml",
    "evaluation/dvc.lock",
    "training/miniature/dvc.lock",
    "training/miniature/metrics.json",
    "training/miniature/tiny-omni.yaml",
}


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files in a wheel built from a copy of what git tracks."""
    copy = tmp_path_factory.mktemp("source")
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (wheel,) = (copy / "dist").glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_one_package_and_no_other(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"mma_bench"}


def test_every_file_of_the_package_is_in_it(names: set[str]) -> None:
    expected = {
        FOLDERS[name.split("/")[0]] + name[len(name.split("/")[0]) :]
        for name in tracked()
        if name.split("/")[0] in FOLDERS and name not in LEFT_OUT
    }
    assert expected <= names, sorted(expected - names)
