"""A copy of the project as a fresh clone has it, the commands in it, and composed clips that the judge passes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from mma_bench.builders.sources.composition import compose
from mma_bench.builders.sources.sample import SAMPLE, read_sample_pairs
from tests.checkout import ROOT, copy_checkout


def command(project: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this environment, e.g. `dvc`, in the project."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "true",
        "DVC_SITE_CACHE_DIR": str(project / ".site"),
    }
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def dvc(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command(project, "dvc", *arguments)


def edit_params(project: Path, namespace: str, **values: object) -> None:
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params[namespace].update(values)
    path.write_text(yaml.safe_dump(params))


def fresh(folder: Path, profile: str = "params.yaml") -> Path:
    """What git tracks, without anything built, as a repository, and with a profile as params.yaml."""
    copy = copy_checkout(folder)
    for built in ("metrics", "reports"):
        shutil.rmtree(copy / built, ignore_errors=True)
    (copy / "dvc.lock").unlink(missing_ok=True)
    if profile != "params.yaml":
        shutil.copyfile(ROOT / profile, copy / "params.yaml")
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    return copy


def composed(folder: Path, *names: str) -> dict[str, Path]:
    """Clips of the sample by name, 10 s each."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = read_sample_pairs(ROOT / SAMPLE / "manifest.csv")
    for name in names:
        compose(pairs[name].photo, pairs[name].sound, name, folder / f"{name}.mp4")
    return {name: folder / f"{name}.mp4" for name in names}
