"""A copy of what git tracks, as a fresh clone has it: without caches and builds, and with the links as links."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def tracked() -> list[str]:
    """The paths, relative to the project's folder, of the files and links that git tracks and that are there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and ((ROOT / name).is_file() or (ROOT / name).is_symlink())]


def copy_checkout(folder: Path, *tops: str) -> Path:
    """Copy them into `folder`, and return it; with `tops`, only what is at or below these names."""
    for name in tracked():
        if tops and name.split("/")[0] not in tops:
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name, follow_symlinks=False)
    return folder
