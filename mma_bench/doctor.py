"""`mma-bench doctor`: what is missing from the environment, and how to fix it.

Each check is a function that returns its finding or raises `MmaBenchError` with a hint.
"""

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
from packaging.requirements import Requirement

from mma_bench import layout
from mma_bench.errors import MmaBenchError

_DEBIAN_FFMPEG = "on Debian: sudo apt-get update && sudo apt-get install -y ffmpeg"
_NEEDED_GB = 10  # the environment is in place when this runs; a build of the sample takes under 1 GB


def check_packages() -> str:
    """Every package that mma-bench requires is installed in an accepted version."""
    wanted = [Requirement(line) for line in importlib.metadata.requires("mma-bench") or []]
    wanted = [item for item in wanted if item.marker is None or item.marker.evaluate({"extra": ""})]
    problems = []
    for item in wanted:
        try:
            found = importlib.metadata.version(item.name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{item.name} is missing")
        else:
            if found not in item.specifier:
                problems.append(f"{item.name} is {found}, needed {item.specifier}")
    if problems:
        raise MmaBenchError("; ".join(problems), hint="run `make setup`, or `pip install -c constraints.txt -e .`")
    return f"{len(wanted)} packages, Python {sys.version.split()[0]}"


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
        return "no JavaScript runtime for yt-dlp (only needed to download from YouTube)"
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
        return "no params.yaml here (only needed to build)"
    load_params(layout.PARAMS)
    return "params.yaml is valid"


CHECKS: tuple[Callable[[], str], ...] = (
    check_packages,
    check_ffmpeg,
    check_torchcodec,
    check_youtube,
    check_git,
    check_disk,
    check_params,
)


def main(checks: tuple[Callable[[], str], ...] = CHECKS) -> None:
    """Run all checks and print a line for each; exit with 1 if any failed."""
    failed = 0
    for check in checks:
        name = check.__name__.removeprefix("check_")
        try:
            click.echo(f"ok       {name:<12} {check()}")
        except MmaBenchError as error:
            failed += 1
            click.echo(f"MISSING  {name:<12} {error.message}\n         {'':<12} hint: {error.hint}")
    if failed:
        sys.exit(1)
