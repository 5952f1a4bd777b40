"""What is installed: one package, complete, with its data, whichever way it is installed."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.checkout import ROOT, copy_checkout, tracked

pytestmark = pytest.mark.slow

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


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def build(kind: str, source: Path, into: Path) -> Path:
    """Call the build backend as pip does, without a network; `kind` is wheel, editable or sdist."""
    into.mkdir()
    code = f"import sys; from setuptools.build_meta import build_{kind}; build_{kind}(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(into)], cwd=source, check=True, capture_output=True, text=True
    )
    assert "Warning" not in done.stderr, done.stderr  # pip shows them to whoever installs
    (built,) = into.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files in a wheel that is built from a fresh clone."""
    folder = tmp_path_factory.mktemp("wheel")
    return contents(build("wheel", copy_checkout(folder / "source"), folder / "dist"))


def test_one_package_and_no_other(wheel: dict[str, bytes]) -> None:
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"mma_bench"}


def test_every_file_of_the_package_is_in_it(wheel: dict[str, bytes]) -> None:
    expected = {
        FOLDERS[name.split("/")[0]] + name[len(name.split("/")[0]) :]
        for name in tracked()
        if name.split("/")[0] in FOLDERS and name not in LEFT_OUT and not (ROOT / name).is_symlink()
    }
    assert expected <= set(wheel), sorted(expected - set(wheel))


def test_the_editable_install_has_the_same_modules(wheel: dict[str, bytes], tmp_path: Path) -> None:
    source = copy_checkout(tmp_path / "source")
    editable = contents(build("editable", source, tmp_path / "dist"))
    (line,) = [data.decode().strip() for name, data in editable.items() if name.endswith(".pth")]
    assert line == str(source), "a plain path, no import hook: tools follow it"
    found = {
        (Path(folder) / name).relative_to(source).as_posix()
        for folder, _, names in os.walk(source / "mma_bench", followlinks=True)
        for name in names
        if name.endswith(".py")
    }
    assert found == {name for name in wheel if name.endswith(".py")}


def test_the_source_distribution_builds_the_same_wheel(wheel: dict[str, bytes], tmp_path: Path) -> None:
    archive = build("sdist", copy_checkout(tmp_path / "source"), tmp_path / "sdist")
    shutil.unpack_archive(archive, tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    rebuilt = contents(build("wheel", source, tmp_path / "dist"))
    assert set(rebuilt) == set(wheel)
    assert [name for name in wheel if rebuilt[name] != wheel[name]] == []
