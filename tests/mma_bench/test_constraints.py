"""The constraints files hold everything that an install brings: its version, its hashes, and nothing of a machine."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("constraints.txt", "constraints-build.txt", "constraints-base.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
JOBS = {"constraints.txt": tuple(EXTRAS), "constraints-build.txt": ("build",), "constraints-base.txt": ()}


def entries(name: str) -> list[str]:
    """`NAME==VERSION [; MARKER] --hash=…`, each on one line."""
    return (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()


def pins(name: str) -> dict[str, str]:
    """Canonical name → version."""
    split = (line.split()[0].partition("==") for line in entries(name))
    return {canonicalize_name(package): version for package, _, version in split}


def needed(extras: tuple[str, ...]) -> dict[str, str]:
    """Canonical name → version of every distribution that the project needs here with these extras."""
    waiting = [Requirement(line) for line in PROJECT["dependencies"]]
    waiting += [Requirement(line) for extra in extras for line in EXTRAS[extra]]
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        item = waiting.pop()
        name, wanted = canonicalize_name(item.name), frozenset(item.extras)
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        if name == PROJECT["name"]:
            waiting += [Requirement(line) for extra in wanted for line in EXTRAS[extra]]
            continue
        there = distribution(name)
        found[name] = there.version
        for line in there.requires or ():
            further = Requirement(line)
            if further.marker is None or any(further.marker.evaluate({"extra": each}) for each in wanted or {""}):
                waiting.append(further)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_that_is_installed_is_pinned_to_its_version(lock: str) -> None:
    locked = pins(lock)
    wrong = {
        f"{name}=={version}": locked.get(name, "no pin")
        for name, version in needed(JOBS[lock]).items()
        if locked.get(name) != version
    }
    assert not wrong, f"{lock} says otherwise: {wrong}"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_is_exact_and_has_hashes_and_no_address(lock: str) -> None:
    wrong = [
        line for line in entries(lock) if not re.fullmatch(r"[\w.-]+==[^ ]+( ;[^#]*?)?( +--hash=sha256:\w{64})+", line)
    ]
    assert not wrong, wrong[0][:200]
    assert not re.search(r"//|file:|--index|--find-links", (ROOT / lock).read_text(encoding="utf-8"))


@pytest.mark.parametrize("lock", LOCKS[1:])
def test_a_smaller_set_up_has_the_same_versions(lock: str) -> None:
    assert pins(lock).items() < pins(LOCKS[0]).items()


def test_the_installers_are_pinned_too() -> None:
    assert {"pip", "setuptools"} <= pins("constraints-build.txt").keys()


def test_the_base_is_small_and_light() -> None:
    base = pins("constraints-base.txt")
    assert len(base) <= 80
    assert not base.keys() & {"torch", "transformers", "dvc", "great-expectations", "yt-dlp", "scikit-learn", "ray"}
