"""`mma-bench doctor`: what is installed, which jobs can be done here, and what the others need.

Each check is a function that returns its finding or raises `MmaBenchError` with a hint; a job is a list of checks.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import click

from mma_bench import extras, layout
from mma_bench.errors import MmaBenchError

Check: TypeAlias = Callable[[], str]


class NotNeeded(MmaBenchError):
    """What is checked is not there, and nothing here needs it."""


_DEBIAN_FFMPEG = "on Debian: sudo apt-get update && sudo apt-get install -y ffmpeg"
_NEEDED_GB = 10  # the environment is in place when this runs; a build of the sample takes under 1 GB


def check_base() -> str:
    """What every job needs is installed in an accepted version."""
    if problems := [f"{name} is missing" for name in extras.absent()] + extras.outdated():
        raise MmaBenchError("; ".join(problems), hint="pip install mma-bench, or in a checkout: make setup")
    return f"{len(extras.requirements())} packages, Python {sys.version.split()[0]}"


def check_extra(extra: str) -> str:
    """The packages of an extra are installed in accepted versions."""
    if missing := extras.absent(extra):
        raise extras.MissingExtra(f"not installed: {', '.join(missing)}", hint=f"pip install 'mma-bench[{extra}]'")
    if problems := extras.outdated(extra):
        raise MmaBenchError("; ".join(problems), hint=f"pip install --upgrade 'mma-bench[{extra}]'")
    return f"{len(extras.requirements(extra))} packages"


def check_ffmpeg() -> str:
    """The ffmpeg program is installed and has the encoders that the build uses."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise MmaBenchError("no program `ffmpeg` on PATH", hint=_DEBIAN_FFMPEG)
    encoders = subprocess.run(
        [program, "-hide_banner", "-encoders"], capture_output=True, text=True, check=False
    ).stdout
    missing = [name for name in ("libx264", "aac") if f" {name} " not in encoders]
    if missing:
        raise MmaBenchError(
            f"{program} has no encoder {', '.join(missing)}", hint=f"use a full build; {_DEBIAN_FFMPEG}"
        )
    version = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stdout.split()[2]
    return f"ffmpeg {version} with libx264 and aac"


def check_torchcodec() -> str:
    """torchcodec, which decodes the dataset's `Video` column, finds FFmpeg's shared libraries."""
    if "torchcodec" in extras.absent("local"):
        raise extras.MissingExtra("not installed: torchcodec", hint="pip install 'mma-bench[local]'")
    # In a separate process: a library that fails to load can crash the process.
    code = "import torch, torchcodec.decoders; print(torch.__version__, torchcodec.__version__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        last = run.stderr.strip().splitlines()[-1] if run.stderr.strip() else f"exit status {run.returncode}"
        raise MmaBenchError(
            f"torchcodec does not import: {last}", hint=f"FFmpeg's libraries are needed; {_DEBIAN_FFMPEG}"
        )
    torch_version, codec_version = run.stdout.split()
    return f"torch {torch_version}, torchcodec {codec_version}"


def check_youtube() -> str:
    """If params.yaml uses YouTube: yt-dlp is installed, with a JavaScript runtime that it can use."""
    from mma_bench.config import load_params

    wanted = layout.PARAMS.exists() and "youtube" in load_params(layout.PARAMS).acquire.sources
    runtimes = _javascript_runtimes()
    if runtimes:
        return f"yt-dlp with {', '.join(runtimes)}"
    if not wanted:
        raise NotNeeded("no JavaScript runtime for yt-dlp (only needed to download from YouTube)")
    raise MmaBenchError(
        "yt-dlp is missing, or finds no JavaScript runtime that it supports",
        hint="install yt-dlp, and deno 2.3 or node 22 or newer",
    )


def _javascript_runtimes() -> list[str]:
    try:
        import yt_dlp  # noqa: F401 - it registers the runtimes
        from yt_dlp.globals import supported_js_runtimes
    except ModuleNotFoundError:
        return []
    found = []
    for name, runtime in supported_js_runtimes.value.items():
        info = runtime().info
        if info is not None and info.supported:
            found.append(f"{name} {info.version}")
    return found


def check_git() -> str:
    """DVC keeps its files in a git repository."""
    if shutil.which("git") is None:
        raise MmaBenchError("no program `git` on PATH", hint="on Debian: sudo apt-get install -y git")
    return "git"


def check_disk() -> str:
    """There is disk space for the build, and the cache is writable."""
    from mma_bench.fetch import cache_folder

    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / ".doctor").touch()
        (cache / ".doctor").unlink()
    except OSError as error:
        raise MmaBenchError(
            f"the cache {cache} cannot be written: {error}", hint="set MMA_BENCH_CACHE to a folder"
        ) from None
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < _NEEDED_GB:
        raise MmaBenchError(f"{free:.1f} GB free here, {_NEEDED_GB} GB are recommended", hint="free some space")
    return f"{free:.0f} GB free; cache {cache}"


def check_params() -> str:
    """params.yaml, if this is a project's folder, is valid."""
    from mma_bench.config import load_params

    if not layout.PARAMS.exists():
        raise NotNeeded("no params.yaml here (only needed to build)")
    load_params(layout.PARAMS)
    return "params.yaml is valid"


CHECKS: Final[Mapping[str, Check]] = {
    "base": check_base,
    **{extra: partial(check_extra, extra) for extra in extras.EXTRAS},
    "ffmpeg": check_ffmpeg,
    "torchcodec": check_torchcodec,
    "youtube": check_youtube,
    "git": check_git,
    "disk": check_disk,
    "params": check_params,
}


class Job(NamedTuple):
    """What a user wants to do, and the names of the checks that must pass for it."""

    words: str
    checks: tuple[str, ...]


JOBS: Final = (
    Job("evaluate through a server, score and report", ("base",)),
    Job("build", ("base", "build", "ffmpeg", "youtube", "git", "disk", "params")),
    Job("evaluate by the specialist", ("base", "specialist")),
    Job("evaluate a checkpoint and analyse its attention", ("base", "local")),
    Job("decode clips with `datasets`", ("base", "torchcodec")),
    Job("train", ("base", "train")),
    Job("review", ("base", "review")),
    Job("evaluate Gemini", ("base", "gemini")),
    Job("score captions of AVHBench", ("base", "avhbench")),
    Job("publish", ("base", "publish")),
    Job("build on a Ray cluster", ("base", "build", "ray", "ffmpeg")),
)


def main(checks: Mapping[str, Check] = CHECKS, jobs: Sequence[Job] = JOBS) -> None:
    """Print a line for each check and which jobs can be done.

    Exits with 1 if a job cannot be done whose packages are installed: something else is missing.
    """
    failed: dict[str, MmaBenchError] = {}
    for name, check in checks.items():
        try:
            click.echo(f"ok       {name:<12} {check()}")
        except NotNeeded as error:
            click.echo(f"-        {name:<12} {error.message}")
        except extras.MissingExtra as error:
            failed[name] = error
            click.echo(f"-        {name:<12} {error.message}")
        except MmaBenchError as error:
            failed[name] = error
            click.echo(f"MISSING  {name:<12} {error.message}\n         {'':<12} hint: {error.hint}")
    able = [job.words for job in jobs if not failed.keys() & job.checks]
    click.echo(f"you can: {'; '.join(able) or 'nothing yet'}")
    broken = False
    for job in jobs:
        if reasons := {name: failed[name] for name in job.checks if name in failed}:
            why = "; ".join(f"{name} is missing: {error.hint}" for name, error in reasons.items())
            click.echo(f"you cannot: {job.words}, because {why}")
            broken |= not any(isinstance(error, extras.MissingExtra) for error in reasons.values())
    if broken:
        sys.exit(1)
