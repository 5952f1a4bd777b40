"""A LoRA training run: SFT data, the dataset's clips and a base model in, an adapter and its metadata out.

The run's folder:

* `adapter/`: the best checkpoint's adapter in peft's format, with the base model's id and revision in its config;
* `checkpoints/`: the latest ones and the best one; an interrupted run resumes from the latest;
* `run.json`: the metadata (`training/facts.py`), written last: a folder that has it is finished and is left unchanged;
* `log.jsonl`, `dvclive/`, `tensorboard/`: the training curve;
* `identity.json`: the inputs of the run; a different run in the same folder is refused.

The best checkpoint has the highest validation accuracy, averaged over both questions (the earliest in case of a tie).
The loop, the optimiser, the schedule and resuming are those of transformers' `Trainer`.
"""

import math
import shutil
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import polars as pl

from mma_bench.errors import ConfigError, DataError, StageError
from mma_bench.files import file_sha256, write_json
from mma_bench.schema import EXAMPLES
from mma_bench.tables import conform, read_json
from mma_bench.training.config import TrainConfig
from mma_bench.training.facts import Run, SftData, run_facts

# Settings that may change when a run is resumed, since they do not affect what it learns from readable clips.
_CHANGEABLE: Final = {"unreadable", "keep_last", "cache_bytes", "decode_workers"}

_DTYPES: Final = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def read_sft(folder: Path, conditions: Iterable[str]) -> SftData:
    """Read `examples.parquet` and `facts.json` and keep the rows of these conditions.

    Raises:
        DataError: A file is missing or broken, or a part lacks rows of these conditions or one of the questions.
    """
    path = folder / "examples.parquet"
    if not path.is_file():
        raise DataError(f"{path} does not exist", hint="run `mma-bench sft` first, or give its folder with --sft")
    try:
        table = conform(pl.read_parquet(path), EXAMPLES, str(path))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{path} is not a readable Parquet file ({error})", hint="run `mma-bench sft` again") from None
    if table.is_empty():
        raise DataError(f"{path} has no examples", hint="build a dataset with train clips (acquire.splits.train) first")
    kept = table.filter(pl.col("condition").is_in(list(conditions))).sort("example_id")
    parts = {}
    for part in ("train", "validation"):
        parts[part] = kept.filter(pl.col("part") == part)
        if missing := {"visual", "audio"} - set(parts[part]["question"]):
            raise DataError(
                f"{path} has no {sorted(missing)[-1]} question of {', '.join(conditions)} in its {part} part",
                hint="make the SFT data with more clips, or a larger sft.validation_share or sft.validation_questions",
            )
    return SftData(parts["train"], parts["validation"], file_sha256(path), read_json(folder / "facts.json"))


def main(
    config: TrainConfig, *, data: Path, dataset: str, dataset_revision: str | None, out: Path, source: str
) -> None:
    """Start or resume training; do nothing if the run is finished.

    Args:
        config: The run's settings.
        data: Folder of the SFT data.
        dataset: Folder or name on the Hub of the dataset that they were made from.
        dataset_revision: Tag or commit on the Hub.
        out: The run's folder.
        source: The config's name, for `run.json`.

    Raises:
        ConfigError: The settings cannot be used here, or the folder holds a different run.
        DataError: The data are invalid; `UnreadableClip` names a clip.
        NonFiniteLoss: Names step and examples.
        StageError: A checkpoint cannot be written; the same command resumes.
    """
    import transformers
    from accelerate import PartialState

    from mma_bench.models.omni.load import load_thinker, locate
    from mma_bench.training.clips import TrainClips

    sft = read_sft(data, config.conditions)
    state = PartialState(cpu=config.device == "cpu")
    accumulation = _share(config.accumulation, state.num_processes)
    precision = _precision(config.precision, state.device.type)
    base = locate(config.checkpoint, config.revision, "config.json")
    clips = TrainClips(dataset, dataset_revision, pl.concat([sft.train, sft.validation]))
    identity = {
        "config": config.model_dump(mode="json", exclude=_CHANGEABLE),
        "base_revision": base.revision,
        "examples_sha256": sft.sha256,
        "clips_sha256": clips.fingerprint(),
    }
    with state.main_process_first():
        _claim(out, identity)
        if (out / "run.json").is_file():
            print(f"{out} holds a finished run; nothing to do", file=sys.stderr)
            return
        resumed = _last_checkpoint(out / "checkpoints")
    transformers.set_seed(config.seed)  # before the adapter's weights are initialised
    thinker, processor = load_thinker(base, dtype=_DTYPES[precision], device_map=str(state.device), attention="sdpa")
    _train(
        Run(config, sft, clips, identity, dataset, dataset_revision, source, precision, accumulation),
        thinker,
        processor,
        out,
        resumed,
    )


def _train(run: Run, thinker: Any, processor: Any, out: Path, resumed: Path | None) -> None:
    from transformers import PrinterCallback

    from mma_bench.training.collate import Collate
    from mma_bench.training.curve import Curve
    from mma_bench.training.lora import apply_lora
    from mma_bench.training.trainer import AnswerTrainer, metrics_of

    config = run.config
    model = apply_lora(thinker, config, revision=run.identity["base_revision"])
    train, validation = _example_sets(run, thinker, processor)
    tail = max(train.longest_answer, validation.longest_answer) + 1
    trainer = AnswerTrainer(
        model=model,
        args=_arguments(run, out, len(train)),
        data_collator=Collate(tail, int(processor.tokenizer.pad_token_id)),
        train_dataset=train,
        eval_dataset=validation,
        compute_metrics=metrics_of(validation.rows),
        tail=tail,
        keep_last=config.keep_last,
        unreadable=config.unreadable,
    )
    since = int(resumed.name.removeprefix("checkpoint-")) if resumed else 0
    curve = Curve(out, since) if trainer.is_world_process_zero() else None
    trainer.remove_callback(PrinterCallback)  # the curve logs everything
    if curve is not None:
        trainer.add_callback(curve)
    try:
        # Resuming from the checkpoint of the last step, Trainer would take one step too many.
        if not (resumed and trainer.restore(resumed)):
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    except OSError as error:  # from a log; the trainer reports those from checkpoints
        raise StageError(
            f"{out} cannot be written: {error}", hint="free disk space, then run the same command to resume"
        ) from error
    finally:
        if curve is not None:
            curve.close()
    if trainer.is_world_process_zero():
        _finish(run, trainer, out)


def _finish(run: Run, trainer: Any, out: Path) -> None:
    """Install the best adapter and then write the metadata."""
    best = out / "checkpoints" / f"checkpoint-{trainer.state.best_global_step}"
    beside = out / f".tmp-{uuid.uuid4().hex}"
    try:
        beside.mkdir()
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copyfile(best / name, beside / name)
        shutil.rmtree(out / "adapter", ignore_errors=True)
        beside.replace(out / "adapter")
        write_json(out / "run.json", run_facts(run, trainer, out))
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise StageError(
            f"{out} cannot be written: {error}; all checkpoints are kept",
            hint="free disk space, then run the same command to resume",
        ) from error


def _example_sets(run: Run, thinker: Any, processor: Any) -> tuple[Any, Any]:
    from mma_bench.models.omni.engine import pixel_bounds
    from mma_bench.models.omni.inputs import InputMaker
    from mma_bench.training.examples import ExampleSet, HeadCache

    config = run.config
    size = pixel_bounds(config.min_pixels, config.max_pixels, processor.videos_kwargs["size"])
    maker = InputMaker(processor, system=config.system, size=size)
    cache = HeadCache(config.cache_bytes)
    train, validation = (
        ExampleSet(
            part.to_dicts(),
            run.clips,
            maker,
            processor.video_processor,
            thinker.get_rope_index,
            fps=config.fps,
            max_frames=config.max_frames,
            cache=cache,
        )
        for part in (run.sft.train, run.sft.validation)
    )
    return train, validation


def _arguments(run: Run, out: Path, examples: int) -> Any:
    from transformers import TrainingArguments

    config = run.config
    every = config.every or math.ceil(math.ceil(examples / config.batch) / config.accumulation)
    arguments = TrainingArguments(
        output_dir=str(out / "checkpoints"),
        per_device_train_batch_size=config.batch,
        per_device_eval_batch_size=config.batch,
        gradient_accumulation_steps=run.accumulation,
        num_train_epochs=config.epochs or 1.0,
        max_steps=config.max_steps or -1,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup if config.warmup < 1 else 0.999999,
        weight_decay=config.weight_decay,
        adam_epsilon=config.adam_epsilon,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        bf16=run.precision == "bf16",
        fp16=run.precision == "fp16",
        use_cpu=config.device == "cpu",
        activation_checkpointing=config.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        metric_for_best_model="accuracy",
        greater_is_better=True,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_num_workers=config.decode_workers,
        dataloader_persistent_workers=config.decode_workers > 0,
        ddp_find_unused_parameters=False,
    )
    # On several GPUs without `accelerate launch`, Trainer would split tensors along dimension 0, which positions lack.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _share(accumulation: int, processes: int) -> int:
    if accumulation % processes:
        raise ConfigError(
            f"accumulation is {accumulation}, which {processes} processes cannot share evenly",
            hint="use a number of processes that divides accumulation, so that steps see the same examples",
        )
    return accumulation // processes


def _precision(wanted: str, device: str) -> str:
    import torch

    if wanted == "auto":
        return "fp32" if device == "cpu" else "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if wanted == "fp16" and device == "cpu":
        raise ConfigError("precision fp16 needs a GPU, and none is in use", hint="pass --set precision=auto")
    return wanted


def _claim(out: Path, identity: dict[str, Any]) -> None:
    """Claim the folder for this run, or require that it belongs to it.

    Raises:
        ConfigError: It belongs to a different run; names what differs.
    """
    path = out / "identity.json"
    if not path.is_file():
        write_json(path, identity)
        return
    before = read_json(path)
    flat, flat_before = ({**each, **each.get("config", {})} for each in (identity, before))
    names = sorted({*flat, *flat_before} - {"config"})
    if differing := [name for name in names if flat.get(name) != flat_before.get(name)]:
        raise ConfigError(
            f"{out} holds a run with a different {', '.join(differing)}", hint="choose another folder with --out"
        )


def _last_checkpoint(folder: Path) -> Path | None:
    """The latest complete checkpoint; incomplete ones are removed."""
    from mma_bench.training.trainer import complete_checkpoints

    complete = complete_checkpoints(folder)
    for path in folder.glob("checkpoint-*"):
        if path not in complete:
            shutil.rmtree(path)
    return complete[-1] if complete else None
