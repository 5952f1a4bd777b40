"""params.yaml and the profiles: what they must hold, and how a mistake is named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mma_bench.config import load_params
from mma_bench.errors import ConfigError

ROOT = Path(__file__).parents[2]
PROFILES = [ROOT / "params.yaml", *sorted((ROOT / "profiles").glob("*.yaml"))]


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_loads(path: Path) -> None:
    assert load_params(path).workers >= 1


@pytest.mark.parametrize("path", PROFILES[1:], ids=lambda path: path.stem)
def test_every_profile_shows_its_command(path: Path) -> None:
    assert f"cp profiles/{path.name} params.yaml" in path.read_text()


def edited(tmp_path: Path, key: str, value: Any) -> Path:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    *parents, last = key.split(".")
    node = raw
    for parent in parents:
        node = node[parent]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("workers", 0),
        ("workers", "two"),
        ("normalise.clip_s", "10"),
        ("normalise.speed", 2),
        ("judge", ...),
        ("judge.visual_threshold", 1.5),
        ("acquire.source", "tape"),
        ("pair.donors.dev", 1),
        ("conflicts.conditions.test", ["inverted"]),
        ("conflicts.conditions.test", 3),
        ("package.version", "v1"),
    ],
)
def test_a_mistake_names_its_key(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        load_params(edited(tmp_path, key, value))
    assert key.split(".")[-1] in str(raised.value) or key.rpartition(".")[0] in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_folder_source_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'folder' must name one"):
        load_params(edited(tmp_path, "acquire.source", "folder"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("acquire.splits", {"test": [], "train": []}, "acquire.splits names no subset"),
        ("pair.donors", {"test": 1}, "acquire.splits builds train, so pair.donors must have a number for train"),
        ("conflicts.conditions", {"train": ["aligned", "misaligned"]}, "conflicts.conditions must list some for test"),
        ("conflicts.conditions.train", ["aligned"], "sft uses misaligned train clips"),
        ("verify.required", True, "'reviews' names no file"),
    ],
)
def test_settings_that_contradict_each_other_are_found_before_anything_runs(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load_params(edited(tmp_path, key, value))
    assert message in str(raised.value)


@pytest.mark.parametrize("splits", [{"test": ["sample_eval"]}, {"test": ["sample_eval"], "train": []}])
def test_a_split_that_is_not_built_asks_for_nothing(tmp_path: Path, splits: dict[str, list[str]]) -> None:
    params = load_params(edited(tmp_path, "acquire.splits", splits))
    assert list(params.conditions()) == ["test"]


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [", "\t"])
def test_what_is_no_params_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"params\.yaml"):
        load_params(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_params(tmp_path / "params.yaml")
