"""Checks that exactly the bytes to be published passed every gate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mma_bench import layout
from mma_bench.errors import GateError
from mma_bench.files import file_sha256
from mma_bench.progress import Progress
from mma_bench.tables import read_json

# All of these are required to publish. Records of other gates are checked too if they exist.
GATES: Final = ("candidates", "normalised", "verdicts", "aligned", "pairs", "variants", "package")
_AGAIN: Final = "run `dvc repro` to run the gates on the current files"


def refuse_unproven(folder: Path, sha256: Mapping[str, str]) -> None:
    """Check that every gate passed on the current files, and the last one on exactly this folder.

    Args:
        folder: The dataset.
        sha256: Path inside the folder → hash of the file, all files.

    Raises:
        GateError: A record is missing or reports a violation; a file that a gate read is missing or has other bytes;
            the folder has a file that no gate read, or lacks one. Names the gate and the file.
    """
    records = {path.stem: read_json(path) for path in sorted(layout.VALIDATION.glob("*.json"))}
    for gate in GATES:
        if gate not in records:
            raise GateError(f"gate {gate} has left no record in {layout.VALIDATION}", hint=_AGAIN)
    with Progress("publish: gates", len(records), "gate") as progress:
        for gate, record in records.items():
            _refuse_failed(gate, record)
            _refuse_changed(gate, record["inputs"])
            progress.advance()
    _refuse_other_files(folder, sha256, records["package"]["inputs"])


def _refuse_failed(gate: str, record: Any) -> None:
    if not (isinstance(record, dict) and isinstance(record.get("inputs"), dict)):
        raise GateError(f"the record of gate {gate} in {layout.VALIDATION} is damaged", hint=_AGAIN)
    promises = record.get("expectations") or []
    broken = [promise["name"] for promise in promises if promise.get("passed") is not True]
    if record.get("passed") is not True or broken or not promises:
        what = f"broken: {', '.join(broken)}" if broken else "no promise was checked" if not promises else "it failed"
        raise GateError(f"gate {gate} did not pass ({what})", hint="correct what reports/validation.html names")


def _refuse_changed(gate: str, inputs: Mapping[str, str]) -> None:
    for name, expected in inputs.items():
        path = Path(name)
        if path.parts[0] == layout.PACKAGE.name:
            continue  # the published folder may be elsewhere; it is compared separately
        if not path.is_file():
            raise GateError(f"gate {gate} read {name}, which is not here", hint=f"run `dvc pull`, or {_AGAIN}")
        if file_sha256(path) != expected:
            raise GateError(f"{name} is not the file that gate {gate} passed", hint=_AGAIN)


def _refuse_other_files(folder: Path, sha256: Mapping[str, str], inputs: Mapping[str, str]) -> None:
    prefix = f"{layout.PACKAGE.as_posix()}/"
    passed = {name.removeprefix(prefix): value for name, value in inputs.items() if name.startswith(prefix)}
    for name in sorted({*passed, *sha256}):
        if name not in sha256:
            raise GateError(f"{folder / name}, which gate package passed, is missing", hint=_AGAIN)
        if name not in passed:
            raise GateError(f"{folder / name} was not there when gate package ran", hint=f"remove it, or {_AGAIN}")
        if sha256[name] != passed[name]:
            raise GateError(f"{folder / name} is not the file that gate package passed", hint=_AGAIN)
