"""The extras of the installation, one for each job, and the one error that says that a job needs one.

What is in an extra is read from the metadata of the installed package, which `pyproject.toml` fills.
"""

from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mma_bench.errors import ConfigError

NAME: Final = "mma-bench"
EXTRAS: Final = (
    "specialist", "build", "local", "train", "review", "gemini", "avhbench", "publish", "ray", "docs", "dev",
)  # fmt: skip
# Where the module's name is not the package's.
_PACKAGES: Final = {"ffmpeg": "ffmpeg-python", "google": "google-genai", "sklearn": "scikit-learn"}


class MissingExtra(ConfigError):
    """A job needs packages that are not installed."""


@cache
def requirements(extra: str = "") -> tuple[Requirement, ...]:
    """What an extra brings on this platform, with the extras that it includes; without a name, what all jobs need."""
    return tuple(_requirements(extra))


def _requirements(extra: str) -> Iterator[Requirement]:
    for item in map(Requirement, requires(NAME) or []):
        # An item of an extra has a marker that is true only with it.
        wanted = item.marker is None or item.marker.evaluate({"extra": extra})
        if not wanted or (extra and (item.marker is None or item.marker.evaluate({"extra": ""}))):
            continue
        if canonicalize_name(item.name) == NAME:
            for included in item.extras:
                yield from _requirements(included)
        else:
            yield item


def absent(extra: str = "") -> list[str]:
    """The packages of an extra that are not installed, in any version."""
    return [item.name for item in requirements(extra) if _installed(item.name) is None]


def outdated(extra: str = "") -> list[str]:
    """The packages of an extra that are installed in a version that is not accepted, e.g. `av 17.0, needed >=18.0`."""
    found = {item: _installed(item.name) for item in requirements(extra)}
    return [
        f"{item.name} {there}, needed {item.specifier}"
        for item, there in found.items()
        if there is not None and not item.specifier.contains(there, prereleases=True)
    ]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def require(job: str, extra: str) -> None:
    """Call this before the work of a job starts, and before its modules are imported.

    Args:
        job: For the message: a command, or a setting, e.g. `attend`.
        extra: One of EXTRAS.

    Raises:
        MissingExtra: Packages of the extra are not installed.
    """
    if missing := absent(extra):
        raise missing_extra(job, extra, missing)


def missing_extra(job: str, extra: str, missing: list[str]) -> MissingExtra:
    """The error of a job whose extra lacks packages."""
    return MissingExtra(
        f"`{job}` needs `pip install '{NAME}[{extra}]'`: not installed {'is' if len(missing) == 1 else 'are'} "
        f"{', '.join(missing)}",
        hint=f"in a checkout: pip install -e '.[{extra}]'",
    )


def extra_of(module: str) -> str | None:
    """The extra that brings a module; None if none does."""
    top = module.partition(".")[0]
    package = canonicalize_name(_PACKAGES.get(top, top))
    return next(
        (extra for extra in EXTRAS if package in {canonicalize_name(item.name) for item in requirements(extra)}), None
    )
