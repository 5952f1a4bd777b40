"""YAML files as models: which file a name means, and what is said of one that cannot be used."""

from pathlib import Path

import pytest

from mma_bench.config import Count, Namespace
from mma_bench.errors import ConfigError
from mma_bench.settings import bundled, checked, named_file, read_yaml

PACKAGE = "mma_bench.training"


class Run(Namespace):
    """A model to check against."""

    steps: Count
    batch: Count


def test_a_name_means_a_file_of_the_package_and_a_path_the_users_own(tmp_path: Path) -> None:
    assert "paper" in bundled(PACKAGE)
    assert named_file("paper", PACKAGE, "config") == bundled(PACKAGE)["paper"]
    own = str(tmp_path / "paper.yaml")
    assert named_file(own, PACKAGE, "config") == Path(own)


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"there is no config 'papers'\n.*choose among paper, paper-table8, tiny"):
        named_file("papers", PACKAGE, "config")


@pytest.mark.parametrize(("content", "said"), [(b"a: [", "run.yaml is not YAML"), (b"\xff", "run.yaml is not YAML")])
def test_what_is_no_yaml_is_told(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_yaml(path, path.name)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.yaml does not exist\n.*make it first"):
        read_yaml(tmp_path / "run.yaml", "run.yaml", "make it first")
    with pytest.raises(ConfigError, match="runs is a directory"):
        read_yaml(tmp_path, "runs")


def test_all_wrong_keys_are_named_with_where_they_stand() -> None:
    with pytest.raises(ConfigError) as caught:
        checked(Run, {"steps": 0, "size": 1}, "run.yaml", ("settings",))
    for key in ("run.yaml", "settings.steps", "settings.batch", "settings.size"):
        assert key in str(caught.value)
    with pytest.raises(ConfigError, match=r"run\.yaml is (empty|not a mapping)"):
        checked(Run, None, "run.yaml")


def test_right_values_are_the_model() -> None:
    assert checked(Run, {"steps": 2, "batch": 1}, "run.yaml") == Run(steps=2, batch=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: !!int x", "is not YAML"),
        ("steps: !!float [1]", "is not YAML"),
        ("steps: !!timestamp x", "is not YAML"),
        ("steps: 1\nsteps: 2", "the key 'steps' is repeated"),
        ("a: {b: 1, b: 2}", "the key 'b' is repeated"),
        ("[" * 5000, "nested too deeply"),
        ("steps: " + "9" * 5000, "is not YAML"),
        ("? [a]\n: 1", "is not YAML"),
        ("steps: [", "is not YAML"),
        ("steps: !!python/object:os.system x", "is not YAML"),
    ],
)
def test_odd_yaml_is_an_error_of_its_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"run\.yaml") as error:
        read_yaml(path, path)
    assert said in str(error.value)


def test_dates_stay_text_and_merged_keys_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("a: &a {x: 2024-02-30, y: 1}\nb: {<<: *a, y: 2}\nc: 2024-02-03 10:00:00")
    assert read_yaml(path, path) == {
        "a": {"x": "2024-02-30", "y": 1},
        "b": {"x": "2024-02-30", "y": 2},
        "c": "2024-02-03 10:00:00",
    }


def test_a_config_that_is_nearly_named_and_a_file_of_another_kind_are_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"no config 'papers'\n  hint: did you mean paper\? choose among "):
        named_file("papers", PACKAGE, "config")
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("")
    with pytest.raises(ConfigError, match=r"'mine' is a file whose name does not end in \.yaml\n  hint: rename it"):
        named_file("mine", PACKAGE, "config")


@pytest.mark.parametrize("values", [None, [], "text"])
def test_what_is_no_mapping_is_said_in_words_of_yaml(values: object) -> None:
    with pytest.raises(ConfigError, match=r"params\.yaml (is empty|is not a mapping)\n  hint: write `key: value`"):
        checked(Run, values, "params.yaml")
