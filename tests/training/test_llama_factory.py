"""The export for LLaMA-Factory, by the rules of its converter, its plugin for Qwen2.5-Omni and its loaders (0.9.5)."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from scipy.io import wavfile

from mma_bench import layout
from mma_bench.config import SftParams
from mma_bench.errors import ConfigError, DataError, MmaBenchError
from mma_bench.media.decode import audio
from mma_bench.schema import EXAMPLES
from mma_bench.tables import write_table
from mma_bench.training import llama_factory, sft
from mma_bench.training.cli_sft import sft_export
from tests.clips import clip
from tests.training.train_split import clips_of, rows_of, write

PARAMS = SftParams(seed=1, validation_share=0.5, donors=None, classes=None, conditions=["aligned", "misaligned"])
EXAMPLE: dict[str, Any] = {
    "example_id": "a.aligned.visual.0",
    "part": "train",
    "id": "a.aligned",
    "base_id": "a",
    "condition": "aligned",
    "question": "visual",
    "copy": 0,
    "prompt": "Which?",
    "answer": "Cat",
    "options": ["Cat"],
    "visual_class": "Cat",
    "audio_class": "Cat",
}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clip(tmp_path_factory.mktemp("media") / "clip.mp4", 1, "32x32", "5").read_bytes()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, media: bytes) -> pl.DataFrame:
    """A dataset and its SFT data in the current folder; the examples."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    rows = rows_of({"Bell": 2, "Cat": 2, "Dog": 2}, donors=2)
    write(tmp_path / "mma-bench", "train", rows, media)
    table, _ = sft.examples(clips_of(rows), PARAMS)
    write_table(table, layout.SFT / layout.SFT_EXAMPLES, EXAMPLES, sort_by=["example_id"])
    return table.sort("example_id")


def read(path: str) -> Any:
    return json.loads(Path(path).read_text())


def test_each_example_is_an_entry_that_their_converter_and_plugin_take(project: pl.DataFrame) -> None:
    counts = llama_factory.main(Path("out"))
    info = read("out/dataset_info.json")
    assert list(info) == ["mma_bench_train", "mma_bench_validation"]
    for part in sft.PARTS:
        declared = info[f"mma_bench_{part}"]
        assert declared["formatting"] == "sharegpt"
        entries = read(f"out/{declared['file_name']}")
        expected = project.filter(pl.col("part") == part)
        assert len(entries) == counts[part] == expected.height
        tags, columns = declared["tags"], declared["columns"]
        for entry, example in zip(entries, expected.iter_rows(named=True), strict=True):
            user, assistant = entry[columns["messages"]]
            assert user[tags["role_tag"]] == tags["user_tag"]
            assert assistant[tags["role_tag"]] == tags["assistant_tag"]
            assert user[tags["content_tag"]] == "<video><audio>" + example["prompt"]
            assert assistant[tags["content_tag"]] == example["answer"]
            for kind in ("videos", "audios"):
                (name,) = entry[columns[kind]]
                assert Path(name).stem == example["id"]
                assert (Path("out") / name).is_file()


def test_media_are_the_datasets_bytes_and_the_samples_that_the_evaluation_hears(
    project: pl.DataFrame, media: bytes
) -> None:
    llama_factory.main(Path("out"))
    films = sorted(Path("out/videos").iterdir())
    assert {film.stem for film in films} == set(project["id"])
    for film in films:
        assert film.read_bytes() == media
        rate, samples = wavfile.read(Path("out/audios") / f"{film.stem}.wav")
        assert (rate, samples.dtype, samples.ndim) == (16_000, np.float32, 1)
        np.testing.assert_array_equal(samples, audio(film, 16_000))


def test_a_second_run_writes_no_clip_and_a_changed_one_is_written_anew(project: pl.DataFrame, media: bytes) -> None:
    llama_factory.main(Path("out"))
    name = project["id"][0]
    film, sound = Path(f"out/videos/{name}.mp4"), Path(f"out/audios/{name}.wav")
    right = sound.read_bytes()
    times = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.[mw]*")}
    film.write_bytes(media[:-1])  # another dataset's clip of this id
    sound.write_bytes(b"its sound")
    llama_factory.main(Path("out"))
    assert film.read_bytes() == media
    assert sound.read_bytes() == right
    assert {path for path, time in times.items() if path.stat().st_mtime_ns != time} == {film, sound}


@pytest.mark.parametrize("lost", ["videos", "audios"])
def test_a_run_stopped_between_a_clip_and_its_sound_is_gone_on_with(project: pl.DataFrame, lost: str) -> None:
    llama_factory.main(Path("out"))
    files = {path: path.read_bytes() for path in Path("out").rglob("*.*")}
    next(iter(sorted(Path("out", lost).iterdir()))).unlink()
    llama_factory.main(Path("out"))
    assert {path: path.read_bytes() for path in Path("out").rglob("*.*")} == files


def test_the_yaml_is_the_papers_setting() -> None:
    config = yaml.safe_load(llama_factory.config(validated=True))
    table_8 = {
        "model_name_or_path": "Qwen/Qwen2.5-Omni-7B",
        "use_audio_in_video": True,
        "finetuning_type": "lora",
        "stage": "sft",
        "lora_rank": 8,
        "lora_target": "all",
        "freeze_vision_tower": True,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "cosine",
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "warmup_ratio": 0.1,
        "num_train_epochs": 5,
        "fp16": True,
        "template": "qwen2_omni",
    }
    assert {key: config[key] for key in table_8} == table_8
    assert config["dataset"] == "mma_bench_train"
    assert config["eval_dataset"] == "mma_bench_validation"


def test_the_yaml_neither_shrinks_a_frame_nor_cuts_a_clip_off() -> None:
    config = yaml.safe_load(llama_factory.config(validated=True))
    assert config["video_max_pixels"] >= 504 * 504  # their rule: larger frames are scaled down, without a word
    frames = min(config["video_maxlen"], math.floor(10 * config["video_fps"]))
    video_tokens = frames // 2 * (504 // 28) ** 2
    sound_tokens, text_tokens = 250, 600  # 61 classes of at most six tokens, and the templates
    assert config["cutoff_len"] > video_tokens + sound_tokens + text_tokens


def test_without_a_validation_part_the_yaml_asks_for_none() -> None:
    config = yaml.safe_load(llama_factory.config(validated=False))
    assert not {"eval_dataset", "eval_strategy", "load_best_model_at_end"} & set(config)


@pytest.mark.parametrize("text", ["prompt", "answer"])
@pytest.mark.parametrize("mark", ["<image>", "<video>", "<audio>"])
def test_a_text_with_a_mark_of_theirs_is_refused(text: str, mark: str) -> None:
    with pytest.raises(DataError, match=r"a\.aligned\.visual\.0: prompt or answer contains"):
        llama_factory.entries(pl.DataFrame([EXAMPLE | {text: f"a {mark} b"}]))


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a/b", ".hidden"])
def test_an_unsafe_id_never_becomes_a_path(tmp_path: Path, media: bytes, name: str) -> None:
    with pytest.raises(DataError, match="is not a clip id"):
        llama_factory.entries(pl.DataFrame([EXAMPLE | {"id": name}]))
    with pytest.raises(DataError, match="is not a clip id"):
        llama_factory.write_media(tmp_path / "out", name, media)
    assert not list(tmp_path.rglob("*"))


def test_a_clip_without_sound_is_named_and_no_other_sound_stays_beside_it(tmp_path: Path, media: bytes) -> None:
    llama_factory.write_media(tmp_path, "a.aligned", media)
    with pytest.raises(DataError, match=r"clip a\.aligned has no sound"):
        llama_factory.write_media(tmp_path, "a.aligned", b"no clip")
    assert not (tmp_path / "audios/a.aligned.wav").exists()


def test_a_clip_that_the_dataset_lacks_is_named(project: pl.DataFrame) -> None:
    extra = pl.DataFrame([EXAMPLE], schema=EXAMPLES)
    write_table(pl.concat([project, extra]), layout.SFT / layout.SFT_EXAMPLES, EXAMPLES, sort_by=["example_id"])
    with pytest.raises(DataError, match=r"mma-bench has no clip a\.aligned"):
        llama_factory.main(Path("out"))
    assert not Path("out/dataset_info.json").exists()  # written last: an export without it is not finished


def test_the_command_says_what_to_run_next(project: pl.DataFrame) -> None:
    result = CliRunner().invoke(sft_export, ["out"])
    assert result.exit_code == 0, result.output
    assert "cd out && llamafactory-cli train qwen2.5-omni-7b.yaml" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["out", "--sft", "nothing"], "nothing/examples.parquet does not exist"),
        (["out", "--dataset", "nowhere"], "'nowhere' is not a directory"),
        (["params.txt"], "params.txt is a file"),
    ],
)
def test_a_mistake_is_told_with_its_mend(project: pl.DataFrame, arguments: list[str], says: str) -> None:
    Path("params.txt").write_text("")
    error = CliRunner().invoke(sft_export, arguments).exception
    assert isinstance(error, MmaBenchError)
    assert says in error.message
    assert error.hint
    if arguments == ["params.txt"]:
        assert isinstance(error, ConfigError)
