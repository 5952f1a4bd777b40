"""The base model's maker: it learns, its checkpoint loads, equal seeds give equal weights, and it leaves no halves."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner

from mma_bench.errors import ConfigError, MmaBenchError
from mma_bench.files import file_sha256
from mma_bench.models.omni.load import load_thinker, locate
from mma_bench.tables import read_json
from mma_bench.training.miniature import balance, base
from mma_bench.training.miniature.balance import shift
from mma_bench.training.miniature.base import BASE, BaseParams, command, load_base_params, main, pretrain
from mma_bench.training.miniature.lessons import Kind

SHARES = {"aligned": 1.0, "levels": 1.0, "silent": 1.0, "soundless": 1.0, "black": 1.0}
SMALL: dict[str, Any] = {
    "sizes": {"hidden": 32, "layers": 2, "heads": 2, "vocabulary": 300, "mels": 16, "audio_s": 4},
    "pixels": 3136,
    "clips_per_class": 1,
    "blanked_per_class": 1,
    "batch": 5,
    "warmup": 0.1,
    "weight_decay": 0.0,
    "balance": {"every": 5, "gain": 1.0, "clips_per_class": 1},
    "phases": [
        {"steps": 16, "learning_rate": 5e-3, "shares": SHARES, "balanced": True},
        {"steps": 4, "learning_rate": 1e-3, "shares": {"aligned": 1.0, "levels": 0.0}},
    ],
}
STEPS = 20


def phase(**changes: Any) -> list[dict[str, Any]]:
    return [SMALL["phases"][0] | changes]


def small(**changes: Any) -> BaseParams:
    return BaseParams.model_validate(SMALL | changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "0"
    main(small(), 0, out)
    return out


@pytest.mark.slow
def test_it_learns_and_its_checkpoint_is_what_was_learnt(made: Path) -> None:
    losses = read_json(made / "base.json")["losses"]
    assert len(losses) == STEPS
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    thinker, _ = load_thinker(locate(str(made), None, "config.json"), dtype="auto", device_map="cpu", attention="sdpa")
    looked: dict[int, float] = {}
    learnt, again, _ = pretrain(
        made, small(phases=phase(steps=1)), 0, lambda step, model: looked.update({step: len(list(model.parameters()))})
    )
    assert again[0] < 0.8 * losses[0]
    assert set(looked) == {1}
    assert not learnt.training
    assert {parameter.dtype for parameter in thinker.parameters()} == {torch.float32}


@pytest.mark.slow
def test_a_balanced_phase_looks_at_conflicts_and_no_other_does(made: Path) -> None:
    looks = read_json(made / "base.json")["looks"]
    assert [look["step"] for look in looks] == [5, 10, 15]
    black = 0.2
    for look in looks:
        assert 0 <= look["visual"] <= 1
        assert 0 <= look["audio"] <= 1
        shares: dict[Kind, float] = {"black": black, "silent": 0.4 - black}
        shift(shares, look["visual"], look["audio"], 1.0)
        black = shares["black"]
        assert look["black"] == pytest.approx(5 * black)  # the shares add up to 5


@pytest.mark.slow
def test_what_is_learnt_from_follows_the_lean(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that goes by sight alone sees hardly any silent clips, from the first look on."""
    monkeypatch.setattr(balance, "lean", lambda *_: (1.0, 0.0))
    strong = small(phases=phase(balanced=True), balance={"every": 5, "gain": 20.0, "clips_per_class": 1})
    level = small(phases=phase(balanced=False))
    (_, moved, looks), (_, still, none) = (pretrain(made, params, 0) for params in (strong, level))
    assert [round(look["black"], 3) for look in looks] == [1.964, 1.964, 1.964]  # nearly all of both
    assert moved[:5] == still[:5]
    assert moved[5:] != still[5:]
    assert none == []


@pytest.mark.slow
def test_equal_seeds_give_equal_weights_and_others_do_not(made: Path, tmp_path: Path) -> None:
    main(small(), 0, tmp_path / "0")
    main(small(phases=phase(steps=1)), 1, tmp_path / "1")
    weights = [file_sha256(folder / "model.safetensors") for folder in (made, tmp_path / "0", tmp_path / "1")]
    assert weights[0] == weights[1] != weights[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


@pytest.mark.slow
def test_a_second_run_does_nothing_and_another_one_is_refused(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.iterdir()}
    main(small(), 0, made)
    assert "nothing to do" in capsys.readouterr().err
    for params, seed in ((small(), 1), (small(phases=phase(steps=21)), 0)):
        with pytest.raises(ConfigError, match="is not the base model"):
            main(params, seed, made)
    assert {path: path.stat().st_mtime_ns for path in made.iterdir()} == before


@pytest.mark.slow
def test_what_stops_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(base, "pretrain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(small(), 0, tmp_path / "deep" / "0")
    assert not list((tmp_path / "deep").iterdir())


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(MmaBenchError, match=r"loss at step \d+ is (nan|inf)"):
        main(small(warmup=0.0, phases=phase(steps=6, learning_rate=1e30)), 0, tmp_path / "0")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"stepz": 3}, "stepz"),
        ({"phases": []}, "phases"),
        ({"phases": phase(steps="many")}, "phases.0.steps"),
        ({"phases": phase(learning_rate=0)}, "phases.0.learning_rate"),
        ({"sizes": {"width": 3}}, "width"),
        ({"phases": phase(shares={**SHARES, "aligned": 0})}, "phases.0.shares.aligned"),
        ({"phases": phase(shares={**SHARES, "black": 0})}, "phases.0: Value error, a balanced phase needs"),
        ({"balance": {"every": 0, "gain": 1.0, "clips_per_class": 1}}, "balance.every"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    path = tmp_path / "base.yaml"
    path.write_text(yaml.safe_dump(SMALL | change))
    result = CliRunner().invoke(command, ["--config", str(path), "--seed", "0", "--out", str(tmp_path / "0")])
    assert isinstance(result.exception, ConfigError)
    assert named in str(result.exception)


@pytest.mark.parametrize("text", ["a: [", None])
def test_no_yaml_is_told(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "base.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"base\.yaml (is not YAML|does not exist)"):
        load_base_params(path)


def test_the_projects_own_file_is_read() -> None:
    assert load_base_params(BASE).phases[0].shares.levels > 0
