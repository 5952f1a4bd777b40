"""Nothing is published that a gate did not pass, to the byte."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mma_bench import layout
from mma_bench.builders.publish.contents import hashed
from mma_bench.builders.publish.gates import GATES, refuse_unproven
from mma_bench.errors import DataError, GateError
from mma_bench.files import write_json
from tests.builders.publish import project

FOLDER = Path("mma-bench")


def proven() -> None:
    refuse_unproven(FOLDER, hashed(FOLDER).sha256)


def edited(gate: str, **changes: Any) -> None:
    write_json(layout.VALIDATION / f"{gate}.json", project.record(Path(), gate) | changes)


@pytest.mark.slow
def test_what_passed_is_let_through(root: Path) -> None:
    proven()


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_must_have_run(root: Path, gate: str) -> None:
    (layout.VALIDATION / f"{gate}.json").unlink()
    with pytest.raises(GateError, match=f"gate {gate} has left no record"):
        proven()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"passed": False}, "it failed"),
        ({"expectations": []}, "no promise was checked"),
        ({"expectations": [{"name": "motion", "passed": False}]}, "broken: motion"),
    ],
)
def test_a_gate_that_did_not_pass_stops_it(root: Path, changes: dict[str, Any], said: str) -> None:
    edited("normalised", **changes)
    with pytest.raises(GateError, match=rf"gate normalised did not pass \({said}\)"):
        proven()


def test_a_further_gate_that_failed_stops_it_too(root: Path) -> None:
    write_json(layout.VALIDATION / "another.json", project.record(root, "pairs") | {"passed": False})
    with pytest.raises(GateError, match="gate another did not pass"):
        proven()


def test_a_table_that_changed_after_its_gate_stops_it(root: Path) -> None:
    layout.ALIGNED.write_bytes(layout.ALIGNED.read_bytes() + b" ")
    with pytest.raises(GateError, match=r"data/aligned\.parquet is not the file that gate \w+ passed"):
        proven()


def test_a_table_that_is_gone_stops_it(root: Path) -> None:
    layout.PAIRS.unlink()
    with pytest.raises(GateError, match=r"read data/pairs\.parquet, which is not here\n  hint: run `dvc pull`"):
        proven()


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda: (FOLDER / "LICENSE.md").write_text("free\n"), "mma-bench/LICENSE.md is not the file"),
        (lambda: (FOLDER / "notes.txt").write_text("x"), "mma-bench/notes.txt was not there when gate package ran"),
        (lambda: (FOLDER / "classes.json").unlink(), "mma-bench/classes.json, which gate package passed, is missing"),
    ],
)
def test_another_folder_than_the_gate_passed_stops_it(root: Path, tamper: Callable[[], object], said: str) -> None:
    tamper()
    with pytest.raises(GateError, match=said):
        proven()


def test_a_copy_of_the_folder_elsewhere_is_the_same_dataset(root: Path) -> None:
    FOLDER.rename("elsewhere")
    refuse_unproven(Path("elsewhere"), hashed(Path("elsewhere")).sha256)


def test_a_link_that_leads_nowhere_is_named(root: Path) -> None:
    (FOLDER / "LICENSE.md").unlink()
    (FOLDER / "LICENSE.md").symlink_to("gone")
    with pytest.raises(DataError, match=r"mma-bench/LICENSE\.md is not a file"):
        proven()
