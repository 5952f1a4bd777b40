"""dvc.yaml runs a gate again whenever anything that its verdict depends on has changed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mma_bench.layout import TABLES
from tests.validation.world import ROOT, World, suite_of

# Folders of clips whose files a gate hashes one by one.
CLIPS = {"normalised": ["data/normalised"], "variants": ["data/normalised", "data/variants"], "package": ["mma-bench"]}


def stage(table: str) -> dict[str, list[str]]:
    """The gate's stage of dvc.yaml."""
    stages: dict[str, dict[str, list[str]]] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return stages[f"validate_{table}"]


def is_covered(path: str, deps: list[str]) -> bool:
    """Whether the file, or a folder that holds it, is a dependency."""
    return any(folder in deps for folder in (path, *map(str, Path(path).parents)))


def modules_used(name: str) -> Iterator[str]:
    """The modules of this package that one of them imports, directly or not, itself included."""
    yield f"validation/{name}.py"
    for node in ast.walk(ast.parse((ROOT / f"validation/{name}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("mma_bench.validation."):
            yield from modules_used(node.module.rpartition(".")[2])


@pytest.mark.parametrize("table", [table for table in TABLES if table not in ("package", "sft")])
def test_every_file_that_a_gate_reads_is_a_dependency(world: World, table: str) -> None:
    from mma_bench.validation.inputs import Inputs

    world.write()
    inputs = Inputs()
    suite_of(table).frames(inputs, world.params)
    deps = stage(table)["deps"]
    assert [path for path in inputs.sha256 if not is_covered(path, deps)] == []


def test_every_file_that_the_gate_of_the_package_reads_is_a_dependency() -> None:
    deps = stage("package")["deps"]
    assert {"mma-bench", "data/variants.parquet", "data/aligned.parquet"} <= set(deps)


@pytest.mark.parametrize(("table", "folders"), CLIPS.items())
def test_every_clip_that_a_gate_hashes_is_a_dependency(table: str, folders: list[str]) -> None:
    assert set(folders) <= set(stage(table)["deps"])


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_the_code_of_a_gate_is_a_dependency(table: str) -> None:
    used = {*modules_used(table), *modules_used("gate")}
    assert [path for path in sorted(used) if not is_covered(path, stage(table)["deps"])] == []


@pytest.mark.parametrize("table", TABLES)
def test_the_parameters_of_a_gate_are_dependencies(table: str) -> None:
    """By the words `params.<namespace>` in its suite and the modules that the suite alone uses."""
    read = set()
    for path in modules_used(table):
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params":
                methods = {"subsets": {"acquire"}, "conditions": {"acquire", "conflicts"}}
                read |= methods.get(node.attr, {node.attr.rstrip("_")})
    given = {name.partition(".")[0] for name in stage(table).get("params", [])}
    assert read - {"workers", "on_ray"} <= given  # how, not what
