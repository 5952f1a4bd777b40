"""Exports the SFT data in LLaMA-Factory's format (checked against 0.9.5), with a config for the paper's setup.

In: the folder that `mma-bench sft` wrote and the dataset that it was made from. Out, in one relocatable folder:
`videos/<id>.mp4`, the dataset's bytes; `audios/<id>.wav`, the samples that `evaluate` uses; `mma_bench_train.json` and
`mma_bench_validation.json`, lists of messages; `dataset_info.json`, which declares both; `qwen2.5-omni-7b.yaml`.

LLaMA-Factory reads frames from `videos` and sound from `audios`, never the audio track of a video. With
`use_audio_in_video` each `<video>` must be followed by its `<audio>`. It loads audio with torchaudio, which reads
16 kHz WAV unchanged; an MP4 file would need FFmpeg and be resampled with a different filter from ours.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from mma_bench import layout
from mma_bench.errors import ConfigError, DataError, InvalidInput
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.files import atomic_path, clip_path, write_json, write_text
from mma_bench.media import SAMPLE_RATE
from mma_bench.progress import Progress
from mma_bench.schema import EXAMPLES, Split
from mma_bench.tables import read_table
from mma_bench.training.sft import PARTS

CONFIG: Final = "qwen2.5-omni-7b.yaml"
_MARKS: Final = ("<image>", "<video>", "<audio>")  # placeholders that LLaMA-Factory replaces with media

_YAML: Final = """\
# The paper's modality-aware tuning (section 5.1, Table 8) with LLaMA-Factory, checked with its version 0.9.5.
# Run it in this folder:  llamafactory-cli train {config}

### model
model_name_or_path: Qwen/Qwen2.5-Omni-7B
use_audio_in_video: true
image_max_pixels: 262144
# 504 x 504, so that no frame is made smaller: 3,240 tokens for 10 s. LLaMA-Factory's own default is 65536 (256 x 256).
# Table 8 says 13K, at which frames are first shrunk to 114 x 114: put 13000 here to train as it says.
video_max_pixels: 254016
video_fps: 2.0
video_maxlen: 128
audio_sampling_rate: {rate}

### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all # section 5.1: all linear projections; Table 8 names W_Q and W_V alone, which is q_proj,v_proj
freeze_vision_tower: true # picture and sound towers both
freeze_multi_modal_projector: true

### dataset
dataset_dir: .
dataset: mma_bench_train
{validation}template: qwen2_omni
cutoff_len: 8192 # the default of 2048 would cut the clip's tokens off
preprocessing_num_workers: 4

### train
per_device_train_batch_size: 4
gradient_accumulation_steps: 4
learning_rate: 1.0e-4
lr_scheduler_type: cosine
warmup_ratio: 0.1
num_train_epochs: 5.0
fp16: true
gradient_checkpointing: true
seed: 42

### output
output_dir: saves/qwen2.5-omni-7b-mma-bench
logging_steps: 10
save_strategy: epoch
{evaluation}report_to: none
"""
_VALIDATION: Final = "eval_dataset: mma_bench_validation\n"
# The paper selects the best checkpoint by whole answers; LLaMA-Factory offers the loss and an accuracy per token, which
# in 0.9.5 fails on models that return a cache beside the logits, as these do.
_EVALUATION: Final = """\
eval_strategy: epoch
per_device_eval_batch_size: 1
load_best_model_at_end: true
metric_for_best_model: eval_loss
greater_is_better: false
"""


def entries(examples: pl.DataFrame) -> list[dict[str, Any]]:
    """One LLaMA-Factory entry per example, in the order given; media paths are relative to the export folder.

    Args:
        examples: Schema EXAMPLES.

    Raises:
        DataError: An id is unsafe as a file name, or a text contains a LLaMA-Factory placeholder; names the example.
    """
    made = []
    for row in examples.iter_rows(named=True):
        if any(mark in row[text] for text in ("prompt", "answer") for mark in _MARKS):
            raise DataError(
                f"example {row['example_id']}: prompt or answer contains one of {', '.join(_MARKS)}",
                hint="rename the class in the curation table, then `dvc repro`",
            )
        made.append(
            {
                "messages": [
                    {"role": "user", "content": f"<video><audio>{row['prompt']}"},
                    {"role": "assistant", "content": row["answer"]},
                ],
                "videos": [_medium(Path("videos"), row["id"], ".mp4").as_posix()],
                "audios": [_medium(Path("audios"), row["id"], ".wav").as_posix()],
            }
        )
    return made


def dataset_info(parts: Iterable[str]) -> dict[str, Any]:
    """The content of `dataset_info.json`: one dataset per part, in the ShareGPT formatting with OpenAI's role names."""
    return {
        f"mma_bench_{part}": {
            "file_name": f"mma_bench_{part}.json",
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "videos": "videos", "audios": "audios"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "system_tag": "system",
            },
        }
        for part in parts
    }


def config(*, validated: bool) -> str:
    """The YAML config for the paper's setup; with a validation set, the best epoch is kept."""
    return _YAML.format(
        config=CONFIG,
        rate=SAMPLE_RATE,
        validation=_VALIDATION if validated else "",
        evaluation=_EVALUATION if validated else "",
    )


def write_media(folder: Path, clip_id: str, video: bytes) -> None:
    """Write a clip's MP4 file and its sound as WAV: one channel, 16 kHz, float32. Existing files are kept.

    Raises:
        DataError: The clip's sound cannot be decoded; names the clip.
    """
    from scipy.io import wavfile

    from mma_bench.media.decode import audio

    film, sound = _medium(folder / "videos", clip_id, ".mp4"), _medium(folder / "audios", clip_id, ".wav")
    if film.is_file() and film.read_bytes() == video and sound.is_file():
        return
    sound.unlink(missing_ok=True)  # it may belong to other bytes
    with atomic_path(film) as beside:
        beside.write_bytes(video)
    try:
        samples = audio(film)
    except InvalidInput as error:
        raise DataError(f"clip {clip_id} has no sound: {error}", hint="build the dataset again") from None
    with atomic_path(sound) as beside:
        wavfile.write(beside, SAMPLE_RATE, samples)


def _medium(folder: Path, clip_id: str, suffix: str) -> Path:
    try:
        return clip_path(folder, clip_id, suffix)
    except InvalidInput as error:
        raise DataError(str(error), hint="use a dataset that `mma-bench build package` wrote") from None


def main(
    out: Path, *, sft: Path = layout.SFT, dataset: str = str(layout.PACKAGE), revision: str | None = None
) -> Mapping[str, int]:
    """Export the SFT data, keeping clips already written; returns the number of examples per part.

    Args:
        out: The folder to write.
        sft: The folder that `mma-bench sft` wrote.
        dataset: The dataset that it was made from.
        revision: Tag or commit on the Hub; None for a folder.

    Raises:
        ConfigError: `out` is a file, or there is no such dataset.
        DataError: The SFT data are missing or refer to a clip that the dataset lacks.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file", hint="give a folder")
    table = read_table(sft / layout.SFT_EXAMPLES, EXAMPLES)
    if table.is_empty():
        hint = "build a dataset with train clips (acquire.splits.train) first"
        raise DataError(f"{sft / layout.SFT_EXAMPLES} has no examples", hint=hint)
    parts = {part: table.filter(pl.col("part") == part) for part in PARTS}
    parts = {part: rows for part, rows in parts.items() if rows.height}
    written = {part: entries(rows) for part, rows in parts.items()}
    benchmark = Benchmark(dataset, revision=revision, split=Split.TRAIN)
    wanted = set(table["id"])
    with Progress("llama-factory", len(wanted)) as progress:
        for condition in sorted(table["condition"].unique()):
            for row in benchmark.rows(condition):
                if row["id"] in wanted:
                    write_media(out, row["id"], row["video"]["bytes"])
                    wanted.remove(row["id"])
                    progress.advance()
    if wanted:
        raise DataError(
            f"{dataset} has no clip {min(wanted)}, which {sft / layout.SFT_EXAMPLES} refers to ({len(wanted)} in all)",
            hint="give the dataset that the SFT data were made from, or run `mma-bench sft` again",
        )
    for part, rows in written.items():
        write_json(out / f"mma_bench_{part}.json", rows)
    write_text(out / CONFIG, config(validated="validation" in written))
    write_json(out / "dataset_info.json", dataset_info(written))
    return {part: len(rows) for part, rows in written.items()}
