"""The configs that come with the package, and what a config of one's own may not say."""

import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from mma_bench.errors import ConfigError
from mma_bench.training.config import PROJECTIONS, TrainConfig, config_names, load_config


@pytest.mark.parametrize("name", config_names())
def test_each_config_loads_and_shows_its_command(name: str) -> None:
    load_config(name)
    text = (resources.files("mma_bench.training") / "configs" / f"{name}.yaml").read_text()
    assert re.search(rf"^#   mma-bench train --config {name} ", text, re.MULTILINE)


def test_the_paper_is_the_default() -> None:
    paper, default = load_config("paper"), TrainConfig()
    for key in ("checkpoint", "projections", "rank", "learning_rate", "schedule", "warmup", "batch", "accumulation"):
        assert getattr(paper, key) == getattr(default, key), key
    assert (paper.rank, paper.learning_rate, paper.warmup, paper.epochs) == (8, 1e-4, 0.1, 5)
    assert (paper.batch, paper.accumulation, paper.schedule, paper.precision) == (4, 4, "cosine", "fp16")
    assert paper.projections == PROJECTIONS
    table8 = load_config("paper-table8")
    assert table8.projections == ("q_proj", "v_proj")
    assert (paper.max_pixels, table8.max_pixels) == (504 * 504, 16 * 28**2)
    changed = {"projections": table8.projections, "max_pixels": table8.max_pixels}
    assert table8 == paper.model_copy(update=changed)
    assert paper.scale == 16
    assert load_config("paper", {"alpha": 4}).scale == 4


def test_a_rate_may_be_written_as_everybody_writes_it() -> None:
    assert load_config("paper", {"learning_rate": "1e-3"}).learning_rate == 1e-3


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ({"lr": 1e-4}, "lr"),
        ({"rank": 0}, "rank"),
        ({"rank": "8"}, "rank"),
        ({"projections": ["q_proj", "lm_head"]}, "projections"),
        ({"projections": []}, "projections"),
        ({"max_steps": 10}, "epochs and max_steps"),
        ({"epochs": None}, "epochs and max_steps"),
        ({"warmup": 1.5}, "warmup"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": "1e30"}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"max_grad_norm": "1e30"}, "max_grad_norm"),
        ({"max_grad_norm": float("inf")}, "max_grad_norm"),
        ({"conditions": ["audio_removed"]}, "conditions"),
        ({"min_pixels": 300_000}, "min_pixels"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(overrides: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key) as caught:
        load_config("paper", overrides)
    assert caught.value.hint


_NUMBERS = [
    name
    for name, field in TrainConfig.model_fields.items()
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
] + ["alpha", "max_steps", "max_frames", "min_pixels", "every"]  # these are null by default


@pytest.mark.parametrize("key", _NUMBERS)
@pytest.mark.parametrize("slip", [1e30, 10**30, -(10**30), "1e30"])
def test_a_number_that_can_only_be_a_slip_is_named(key: str, slip: float | str) -> None:
    others = {"epochs": None} if key == "max_steps" else {}
    with pytest.raises(ConfigError, match=key):
        load_config("paper", {key: slip, **others})


@pytest.mark.parametrize("key", ["learning_rate", "adam_epsilon", "weight_decay", "dropout", "warmup"])
def test_a_number_without_a_decimal_point_is_read(key: str) -> None:
    assert getattr(load_config("paper", {key: "1e-3"}), key) == 1e-3


def test_a_file_that_is_no_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config 'papre'"):
        load_config("papre")
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(str(tmp_path / "none.yaml"))
    for text, said in (("a: [", "is not YAML"), ("- a", "is not a mapping")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(ConfigError, match=said):
            load_config(str(tmp_path / "bad.yaml"))
    (tmp_path / "empty.yaml").write_text("# all defaults\n")
    assert load_config(str(tmp_path / "empty.yaml")) == TrainConfig()
