"""Environments that have what a page tells to install and no more, made without a network from what is installed."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mma_bench import extras
from tests.checkout import copy_checkout

COMMAND = 'from mma_bench.cli import main\nif __name__ == "__main__":  # workers import this file too\n    main()'


class Environment:
    """A Python with some packages and this project's wheel, and a folder to work in."""

    def __init__(self, python: Path, project: Path) -> None:
        self.python, self.project = python, project
        self.more: dict[str, str] = {}  # variables, which win over those below

    def variables(self) -> dict[str, str]:
        """What its processes get: its own programs first, no other's modules, no network."""
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        variables |= {"HF_HOME": str(self.project / "home"), "HF_HUB_OFFLINE": "1", "DVC_NO_ANALYTICS": "true"}
        return variables | {"PATH": f"{self.python.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"} | self.more

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), *words],
            cwd=self.project,
            env=self.variables(),
            capture_output=True,
            text=True,
            check=False,
        )

    def module(self, command: str) -> str:
        """The output of `python -m COMMAND`, which must succeed."""
        done = self.run("-m", *command.split())
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def mma_bench(self, command: str) -> str:
        """The output of a command that must succeed."""
        return self.module(f"mma_bench.cli {command}")


def make(folder: Path, names: Iterable[str]) -> Environment:
    """An environment with these installed distributions, and the wheel of the checkout."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv/bin/python"
    scheme = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    packages = Path(sysconfig.get_path("purelib", "venv", scheme))
    for name in names:
        for top in tops(name):
            link = packages / top.name
            if not link.is_symlink():  # a namespace such as `google` is in several, and comes whole
                link.symlink_to(top)
    source = copy_checkout(folder / "source")
    code = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    built = subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True, text=True)
    with zipfile.ZipFile(source / built.stdout.split()[-1]) as wheel:
        wheel.extractall(packages)
    script = folder / "venv/bin/mma-bench"
    script.write_text(f"#!{python}\n{COMMAND}\n")
    script.chmod(0o755)
    (folder / "project").mkdir()
    return Environment(python, folder / "project")


def tops(name: str) -> set[Path]:
    """The files and folders of a distribution, at the top of site-packages."""
    found = distribution(name)
    parts = {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}
    return {Path(str(found.locate_file(part))) for part in parts}


def closure(*names: str) -> set[str]:
    """What `pip install 'mma-bench[NAMES]'` brings, of the versions that are installed here."""
    found: dict[tuple[str, str], None] = {}
    left = [item for name in ("", *names) for item in extras.requirements(name)]
    while left:
        item = left.pop()
        for extra in ("", *item.extras):
            if (canonicalize_name(item.name), extra) not in found:
                found[canonicalize_name(item.name), extra] = None
                left += _required(item.name, extra)
    return {name for name, _ in found}


def _required(name: str, extra: str) -> list[Requirement]:
    try:
        lines = distribution(name).requires or []
    except PackageNotFoundError as error:
        raise AssertionError(f"{name} is not installed here: run `make setup-all`") from error
    wanted = [Requirement(line) for line in lines]
    return [item for item in wanted if item.marker is None or item.marker.evaluate({"extra": extra})]
