"""Whole runs on the tiny checkpoint: what learns, what is kept, and that a fault loses nothing."""

import errno
import json
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from mma_bench.errors import ConfigError, DataError, StageError
from mma_bench.training import train as training
from mma_bench.training import trainer
from mma_bench.training.curve import read_curve
from mma_bench.training.miniature.tokenizer import Family
from mma_bench.training.train import _last_checkpoint, read_sft
from mma_bench.training.trainer import AnswerTrainer, NonFiniteLoss, UnreadableClip, complete_checkpoints
from tests.mma_bench.models.omni.omni_plain import checkpoint
from tests.training import small as making

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
]

FAMILIES: tuple[Family, ...] = ("qwen2_5_omni", "qwen3_omni")
DROPOUT = 0.2  # so that a run which does not restore the random state differs


@pytest.fixture(scope="module")
def whole(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps that nothing interrupted, over two epochs."""
    return making.run(small, tmp_path_factory.mktemp("whole") / "run", max_steps=6, dropout=DROPOUT)


def curve(out: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in read_curve(out / "log.jsonl")]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "adapter" / "adapter_model.safetensors")


def facts(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "run.json").read_text()))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_run_leaves_the_best_adapter_its_facts_and_its_curve(whole: Path) -> None:
    rows, told = curve(whole), facts(whole)
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6]
    tried = [row for row in rows if "eval_accuracy" in row]
    assert [row["step"] for row in tried] == [2, 4, 6]
    best = max(tried, key=lambda row: (row["eval_accuracy"], -row["step"]))
    assert told["best"] == {"step": best["step"], "accuracy": best["eval_accuracy"]}
    assert same(weights(whole), load_file(whole / f"checkpoints/checkpoint-{best['step']}/adapter_model.safetensors"))
    assert [row["accuracy"] for row in told["validation"]] == [row["eval_accuracy"] for row in tried]
    assert {"visual", "audio", "misaligned_audio", "aligned_visual"} <= told["validation"][0].keys()
    assert (told["steps"], told["examples_per_step"], told["epochs"]) == (6, 4, 1.5)
    assert told["data"]["examples"] == {"train": 16, "validation": 4}
    assert told["data"]["skipped"] == {}
    own = sum(tensor.numel() for tensor in weights(whole).values())
    assert told["lora"]["trainable_parameters"] == own < told["lora"]["parameters"]
    assert told["lora"]["modules"] * 2 == len(weights(whole)) == 7 * 3 * 2
    settings = json.loads((whole / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(checkpoint())
    assert settings["revision"] == told["base"]["revision"]
    assert settings["lora_alpha"] == 16
    assert (whole / "dvclive" / "metrics.json").is_file()
    steps = (whole / "dvclive/plots/metrics/train/loss.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in steps] == ["step", "1", "2", "3", "4", "5", "6"]
    assert list((whole / "tensorboard").iterdir())
    assert str(Path.home()) not in (whole / "run.json").read_text()


@pytest.mark.slow
def test_only_the_last_checkpoints_and_the_best_are_kept(whole: Path, small: Path, tmp_path: Path) -> None:
    best = facts(whole)["best"]["step"]
    assert [path.name for path in complete_checkpoints(whole / "checkpoints")] == [
        f"checkpoint-{step}" for step in sorted({best, 4, 6})
    ]
    out = making.run(small, tmp_path / "run", every=1, keep_last=1)
    best = facts(out)["best"]["step"]
    assert [path.name for path in complete_checkpoints(out / "checkpoints")] == [
        f"checkpoint-{step}" for step in sorted({best, 4})
    ]


@pytest.mark.slow
def test_the_earliest_of_the_best_checkpoints_is_taken(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.25, 0.75, 0.5, 0.75])
    monkeypatch.setattr(trainer, "accuracies", lambda *_: {"accuracy": next(scores)})
    out = making.run(small, tmp_path / "run", max_steps=4, every=1)
    assert facts(out)["best"] == {"step": 2, "accuracy": 0.75}
    assert same(weights(out), load_file(out / "checkpoints/checkpoint-2/adapter_model.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_moves_the_adapter_and_nothing_else(
    family: Family, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, torch.Tensor] = {}
    gradients: list[str] = []
    step = AnswerTrainer.training_step

    def watched(self: AnswerTrainer, *arguments: Any, **settings: Any) -> torch.Tensor:
        model = self.accelerator.unwrap_model(self.model)
        seen.update({name: value.detach().clone() for name, value in model.state_dict().items()} if not seen else {})
        loss = step(self, *arguments, **settings)
        gradients.extend(name for name, value in model.named_parameters() if value.grad is not None)
        after.append(model)
        return loss

    after: list[Any] = []
    monkeypatch.setattr(AnswerTrainer, "training_step", watched)
    making.run(
        small,
        tmp_path / "run",
        checkpoint=str(checkpoint(family)),
        warmup=0.0,
        max_steps=1,
        every=1,
        gradient_checkpointing=True,
    )
    moved = {name for name, value in after[-1].state_dict().items() if not torch.equal(value, seen[name])}
    assert moved  # of lora_A nothing yet: lora_B was zero
    assert all(".language_model.layers." in name and "lora_B" in name for name in moved)
    assert gradients
    assert all(".language_model.layers." in name and ".lora_" in name for name in gradients)
    assert any(".audio_tower." in name for name in seen)
    assert any(".visual." in name for name in seen)


@pytest.mark.slow
def test_something_else_that_learns_stops_the_run(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mma_bench.training import lora

    put = lora.apply_lora

    def thawed(*arguments: Any, **settings: Any) -> Any:
        model = put(*arguments, **settings)
        next(p for name, p in model.named_parameters() if ".visual." in name).requires_grad_(True)
        return model

    monkeypatch.setattr(lora, "apply_lora", thawed)
    with pytest.raises(Exception, match=r"visual\..* is trainable but not part of the adapter"):
        making.run(small, tmp_path / "run")
    assert not (tmp_path / "run" / "adapter").exists()


def interrupt_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    step, done = AnswerTrainer.training_step, [0]

    def cut(self: AnswerTrainer, *arguments: Any, **settings: Any) -> torch.Tensor:
        done[0] += 1
        if done[0] > batches:
            raise KeyboardInterrupt
        return step(self, *arguments, **settings)

    monkeypatch.setattr(AnswerTrainer, "training_step", cut)


@pytest.mark.slow
@pytest.mark.parametrize("batches", [3, 7, 11])  # of two a step: before any checkpoint, after one, after two
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    batches: int, whole: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_after(patch, batches)
        with pytest.raises(KeyboardInterrupt):
            making.run(small, tmp_path / "run", max_steps=6, dropout=DROPOUT)
    assert not (tmp_path / "run" / "run.json").exists()
    # What a kill in the middle of a checkpoint leaves.
    cut_off = tmp_path / "run" / "checkpoints" / "checkpoint-5"
    cut_off.mkdir(parents=True, exist_ok=True)
    (cut_off / "trainer_state.json").write_text("{")
    with (tmp_path / "run" / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    out = making.run(small, tmp_path / "run", max_steps=6, dropout=DROPOUT)
    assert curve(out) == curve(whole)
    assert same(weights(out), weights(whole))
    assert facts(out)["validation"] == facts(whole)["validation"]
    for name in ("train/loss.tsv", "eval/accuracy.tsv"):
        part = f"dvclive/plots/metrics/{name}"
        columns = [[line.split("\t")[::2] for line in (run / part).read_text().splitlines()] for run in (out, whole)]
        assert columns[0] == columns[1]


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_facts_only_finishes(
    whole: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    (out / "run.json").unlink()
    shutil.rmtree(out / "adapter")
    interrupt_after(monkeypatch, 0)  # not one step is taken
    making.run(small, out, max_steps=6, dropout=DROPOUT)
    assert same(weights(out), weights(whole))
    assert curve(out) == curve(whole)
    assert facts(out)["best"] == facts(whole)["best"]


@pytest.mark.slow
def test_a_finished_run_is_left_alone_and_its_folder_is_no_other_runs(
    whole: Path, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    making.run(small, whole, max_steps=6, dropout=DROPOUT)
    assert "holds a finished run" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="holds a run with a different learning_rate, seed") as caught:
        making.run(small, whole, max_steps=6, dropout=DROPOUT, seed=1, learning_rate=1e-3)
    assert "--out" in (caught.value.hint or "")
    rows = making.clip_rows()
    rows[0]["video_sha256"] = "0" * 64
    making.write_dataset(tmp_path / "dataset", rows)
    shutil.copytree(small / "sft", tmp_path / "sft")
    with pytest.raises(ConfigError, match="different clips_sha256"):
        making.run(tmp_path, whole, max_steps=6, dropout=DROPOUT)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_before_the_step_and_keeps_the_last_checkpoint(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = AnswerTrainer.training_step
    taken: list[torch.Tensor] = []

    def poisoned(self: AnswerTrainer, model: Any, inputs: dict[str, Any], *arguments: Any) -> torch.Tensor:
        weight = next(value for name, value in model.named_parameters() if "lora_B" in name)
        taken.append(weight.detach().clone())
        if self.state.global_step == 2:
            inputs["pixel_values_videos"] = inputs["pixel_values_videos"] * float("nan")
        return poison(self, model, inputs, *arguments)

    monkeypatch.setattr(AnswerTrainer, "training_step", poisoned)
    with pytest.raises(
        NonFiniteLoss, match=r"the loss at step 3 is nan, with the examples \w\.\w+\.\w+\.0, \w\."
    ) as caught:
        making.run(small, tmp_path / "run")
    assert caught.value.hint
    assert caught.value.message.endswith("the step was not applied; earlier checkpoints are kept")
    kept = complete_checkpoints(tmp_path / "run" / "checkpoints")
    assert [path.name for path in kept] == ["checkpoint-2"]
    assert torch.isfinite(
        torch.cat([t.flatten() for t in load_file(kept[0] / "adapter_model.safetensors").values()])
    ).all()
    assert len(taken) == 5  # two batches a step; the third step ended at its first
    assert "NaN" not in (tmp_path / "run" / "log.jsonl").read_text()


@pytest.mark.slow
def test_a_rate_that_breaks_the_model_is_seen_at_the_latest_by_the_validation(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The config refuses such a rate.
    config = making.config(warmup=0.0, every=1).model_copy(update={"learning_rate": 1e30})
    monkeypatch.setattr(making, "config", lambda: config)
    said = r"the loss (at|of the validation after) step \d+ is (nan|inf)"
    with pytest.raises(NonFiniteLoss, match=said) as caught:
        making.run(small, tmp_path / "run")
    there = complete_checkpoints(tmp_path / "run" / "checkpoints")
    assert caught.value.message.endswith("earlier checkpoints are kept" if there else "there is no checkpoint yet")


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 2])
def test_a_loss_that_is_no_number_in_validation_is_not_said_to_be_a_steps(
    after: int, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = AnswerTrainer.compute_loss

    def poisoned(self: AnswerTrainer, model: Any, inputs: dict[str, Any], *arguments: Any, **settings: Any) -> Any:
        if not model.training and self.state.global_step == after:
            inputs["pixel_values_videos"] = inputs["pixel_values_videos"] * float("nan")
        return plain(self, model, inputs, *arguments, **settings)

    monkeypatch.setattr(AnswerTrainer, "compute_loss", poisoned)
    with pytest.raises(NonFiniteLoss, match=f"the loss of the validation after step {after} is nan") as caught:
        making.run(small, tmp_path / "run", every=1)
    assert "the step was not applied" not in caught.value.message
    kept = complete_checkpoints(tmp_path / "run" / "checkpoints")
    assert [path.name for path in kept] == ["checkpoint-1"][: after - 1]
    assert caught.value.message.endswith("earlier checkpoints are kept" if kept else "there is no checkpoint yet")


def broken(small: Path, folder: Path) -> Path:
    """The dataset with one clip that is not a video."""
    rows = making.clip_rows()
    rows[2] |= {"video": {"bytes": b"no media", "path": "b.mp4"}, "video_sha256": "0" * 64}
    making.write_dataset(folder / "dataset", rows)
    shutil.copytree(small / "sft", folder / "sft")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_clip_stops_by_name(workers: int, small: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableClip) as caught:
        making.run(broken(small, tmp_path), tmp_path / "run", decode_workers=workers)
    assert re.match(r"example b\.aligned\.\w+\.0: clip b\.aligned cannot be read: \S", caught.value.message)
    assert "Traceback" not in str(caught.value)
    assert str(caught.value).count("hint:") == 1


@pytest.mark.slow
def test_an_unreadable_clip_may_be_skipped_and_is_recorded(small: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableClip, match="unreadable=skip"):
        making.run(broken(small, tmp_path), tmp_path / "run")
    out = making.run(tmp_path, tmp_path / "run", unreadable="skip")  # the same run
    skipped = facts(out)["data"]["skipped"]
    assert list(skipped) == ["b.aligned.audio.0", "b.aligned.visual.0"]
    assert all(why.startswith("clip b.aligned cannot be read: ") for why in skipped.values())
    assert facts(out)["steps"] == 4
    (out / "run.json").unlink()
    making.run(tmp_path, out, unreadable="skip")  # from the checkpoint alone
    assert facts(out)["data"]["skipped"] == skipped


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_run_goes_on_from_what_was_saved(
    whole: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = AnswerTrainer._save_optimizer_and_scheduler, [0]
    most = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(self: AnswerTrainer, folder: str) -> None:
        saved[0] += 1
        if saved[0] == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most[1]))
        try:
            save(self, folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, most)

    with monkeypatch.context() as patch:
        patch.setattr(AnswerTrainer, "_save_optimizer_and_scheduler", limited)
        with pytest.raises(StageError, match=r"checkpoint-4 cannot be written: .*; kept: checkpoint-2") as caught:
            making.run(small, tmp_path / "run", max_steps=6, dropout=DROPOUT)
    assert "free disk space" in (caught.value.hint or "")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["checkpoint-2"]
    out = making.run(small, tmp_path / "run", max_steps=6, dropout=DROPOUT)
    assert curve(out) == curve(whole)
    assert same(weights(out), weights(whole))


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_loses_no_checkpoint(
    whole: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    (out / "run.json").unlink()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(training.shutil, "copyfile", full)
        with pytest.raises(StageError, match="No space left on device; all checkpoints are kept"):
            making.run(small, out, max_steps=6, dropout=DROPOUT)
    assert not list(out.glob(".tmp-*"))
    assert same(weights(out), weights(whole))
    assert len(complete_checkpoints(out / "checkpoints")) == len(complete_checkpoints(whole / "checkpoints"))


@pytest.mark.slow
def test_a_control_neither_learns_nor_is_chosen_by_the_other_condition(small: Path, tmp_path: Path) -> None:
    out = making.run(small, tmp_path / "run", conditions=["misaligned"], max_steps=2)
    told = facts(out)
    assert told["data"]["examples"] == {"train": 8, "validation": 2}
    assert not any(name.startswith("aligned") for name in told["validation"][0])
    assert told["steps"] == 2


@pytest.mark.slow
def test_validation_and_checkpoint_come_once_an_epoch_unless_told_otherwise(small: Path, tmp_path: Path) -> None:
    out = making.run(small, tmp_path / "run", epochs=2.0, max_steps=None, every=None, batch=3, accumulation=2)
    assert [row["step"] for row in curve(out) if "eval_accuracy" in row] == [3, 6]


def test_a_precision_that_the_device_lacks_is_said(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        making.run(small, tmp_path / "run", precision="fp16")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop("prompt"), "column 'prompt' is missing"),
        (
            lambda table: table.filter(pl.col("part") == "train"),
            "no visual question of aligned, misaligned in its valid",
        ),
        (
            lambda table: table.filter(pl.col("question") == "visual"),
            "no audio question of aligned, misaligned in its tr",
        ),
    ],
)
def test_a_table_that_breaks_its_contract_is_refused(
    change: Callable[[pl.DataFrame], pl.DataFrame], message: str, small: Path, tmp_path: Path
) -> None:
    shutil.copytree(small / "sft", tmp_path / "sft")
    change(pl.read_parquet(small / "sft/examples.parquet")).write_parquet(tmp_path / "sft/examples.parquet")
    with pytest.raises(DataError, match=message):
        read_sft(tmp_path / "sft", ["aligned", "misaligned"])


def test_a_table_that_is_missing_or_no_table_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_sft(tmp_path, ["aligned"])
    (tmp_path / "examples.parquet").write_text("no table")
    with pytest.raises(DataError, match="is not a readable Parquet file"):
        read_sft(tmp_path, ["aligned"])

    def broken(path: Path) -> pl.DataFrame:
        raise pl.exceptions.PanicException("index out of bounds")

    monkeypatch.setattr("mma_bench.training.train.pl.read_parquet", broken)
    with pytest.raises(DataError, match="is not a readable Parquet file"):
        read_sft(tmp_path, ["aligned"])


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "complete.json").write_text("{}")
    (tmp_path / "checkpoint-200").mkdir()
    assert _last_checkpoint(tmp_path) == tmp_path / "checkpoint-100"
    assert not (tmp_path / "checkpoint-200").exists()
    assert _last_checkpoint(tmp_path / "none") is None
