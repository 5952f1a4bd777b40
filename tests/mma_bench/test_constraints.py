"""`constraints.txt` pins everything that an install with all extras brings."""

import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
# What installs the others is brought up to date by `make setup` first, and `pip freeze` leaves it out.
INSTALLERS = {"pip", "setuptools"}


def pins() -> dict[str, str]:
    """Canonical name → version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def installed() -> dict[str, str]:
    """Canonical name → version of every distribution that the project needs here, with all extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    waiting = [Requirement(line) for line in (*project["dependencies"], *(line for extra in extras for line in extra))]
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        needed = waiting.pop()
        name, extra = canonicalize_name(needed.name), frozenset(needed.extras)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        there = distribution(name)
        found[name] = there.version
        for line in there.requires or ():
            further = Requirement(line)
            if further.marker is None or any(further.marker.evaluate({"extra": each}) for each in extra or {""}):
                waiting.append(further)
    return found


def test_every_package_that_is_installed_is_pinned_to_its_version() -> None:
    wrong = {
        f"{name}=={version}": pins().get(name, "no pin")
        for name, version in installed().items()
        if name not in INSTALLERS and pins().get(name) != version
    }
    assert not wrong, f"constraints.txt says otherwise: {wrong}"


def test_pins_are_exact_and_in_the_order_of_pip_freeze() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(line.count("==") == 1 for line in lines)
    assert lines == sorted(lines, key=lambda line: line.partition("==")[0].lower())
