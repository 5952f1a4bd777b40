"""Encoders on tiny checkpoints: the same scores as transformers' own forward pass, and what cannot be used is named."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel, AutoTokenizer

from mma_bench.config import CheckpointParams, EncoderJudgeParams
from mma_bench.errors import ConfigError, MmaBenchError
from mma_bench.models.encoders.encoder import Encoder, windows
from mma_bench.models.encoders.encoders import SAMPLE_RATE, Encoders, classifier
from mma_bench.models.omni.load import locate
from mma_bench.schema import Modality
from tests.mma_bench.models.encoders.tiny_encoders import KINDS, make

Make = Callable[[str], Path]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A checkpoint by its architecture."""
    root = tmp_path_factory.mktemp("encoders")
    return cache(lambda kind: make(kind, root / kind))


def modality_of(kind: str) -> Modality:
    return "audio" if kind == "clap" else "visual"


def load(folder: Path, kind: str) -> Encoder:
    return Encoder.load(locate(str(folder), None, "config.json"), modality_of(kind))


def picture(seed: int = 0, count: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 40, 60, 3), np.uint8)


def sound(seed: int = 0, seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * SAMPLE_RATE)).astype(np.float32)


def params(made: Make, picture: str = "siglip", **other: Any) -> EncoderJudgeParams:
    values = {"name": "encoders", "prompts": None, "thresholds": None, "frames": 2, "processes": 1} | other
    values |= {"picture": {"checkpoint": str(made(picture)), "revision": None}}
    values |= {"sound": {"checkpoint": str(made("clap")), "revision": None}}
    return EncoderJudgeParams.model_validate(values)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_those_of_the_forward_pass(kind: str, made: Make) -> None:
    """Of one frame, or one window, and one prompt per class; the plain way is that of the model's documentation."""
    folder, texts = made(kind), ["this is a photo of a cat.", "this is a sound of rain falling.", "this is a photo."]
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    padding = {"padding": "max_length", "max_length": 64, "truncation": True} if "siglip" in kind else {"padding": True}
    tokens = tokenizer(texts, return_tensors="pt", **padding)
    if kind == "clap":
        plain = AutoFeatureExtractor.from_pretrained(folder)(sound(), sampling_rate=48_000, return_tensors="pt")
    else:
        plain = AutoImageProcessor.from_pretrained(folder)(images=list(picture()), return_tensors="pt")
    with torch.inference_mode():
        out = model(**tokens, **plain)
    logits = out.logits_per_audio[0] if kind == "clap" else out.logits_per_image[0]
    expected = torch.sigmoid(logits) if "siglip" in kind else logits.softmax(0)

    encoder = load(folder, kind)
    classify = classifier(encoder, {text: (text,) for text in texts})
    parts = encoder.sound(sound(), SAMPLE_RATE) if kind == "clap" else encoder.pictures(picture())
    assert list(classify(parts).values()) == pytest.approx(expected.tolist(), abs=2e-5)


@pytest.mark.slow
def test_frames_and_windows_are_embedded_for_themselves_and_the_same_every_time(made: Make) -> None:
    eyes, ears = load(made("siglip"), "siglip"), load(made("clap"), "clap")
    both = eyes.pictures(np.concatenate([picture(0), picture(1)]))
    np.testing.assert_allclose(both, np.concatenate([eyes.pictures(picture(0)), eyes.pictures(picture(1))]), atol=1e-5)
    long = sound(seconds=5)
    first = ears.sound(long, SAMPLE_RATE)
    assert first.shape[0] == 3, "windows of 2 s"
    assert np.array_equal(first, ears.sound(long, SAMPLE_RATE)), "no part is drawn at random"
    with pytest.raises(ValueError, match="hears 48000 Hz, the sound has 16000 Hz"):
        ears.sound(long, 16_000)


@pytest.mark.parametrize(
    ("samples", "starts"), [(50, [0]), (100, [0]), (104, [0]), (150, [0, 50]), (250, [0, 75, 150])]
)
def test_windows_cover_the_sound(samples: int, starts: list[int]) -> None:
    found = windows(np.arange(samples, dtype=np.float32), 100)
    assert [int(part[0]) for part in found] == starts
    assert all(len(part) == min(100, samples) for part in found)


@pytest.mark.slow
def test_the_whole_scores_every_class_by_sight_and_by_ear(made: Make) -> None:
    encoders = Encoders.located(params(made))
    seen, heard = encoders.sees(picture(count=2)), encoders.hears(sound())
    assert seen.keys() == heard.keys() == encoders.prompts["visual"].keys()
    assert len(seen) == 61
    assert len(set(seen.values())) > 30, "prompts differ"
    assert encoders.name == f"encoders ({made('siglip')}, {made('clap')})"


@pytest.mark.slow
def test_the_revision_changes_with_checkpoints_prompts_and_frames(made: Make, tmp_path: Path) -> None:
    table = tmp_path / "prompts.csv"
    rows = [f"{name},{sense},{name} {sense}" for name in ("Cat", "Dog") for sense in ("visual", "audio")]
    table.write_text("class,modality,prompt\n" + "\n".join(rows) + "\n")
    other: list[dict[str, Any]] = [{}, {"picture": "clip"}, {"frames": 3}, {"prompts": str(table)}]
    revisions = [Encoders.located(params(made, **changed)).revision for changed in other]
    assert len(set(revisions)) == len(other)
    same = params(made, processes=4, thresholds="elsewhere.csv")
    assert Encoders.located(same).revision == revisions[0]


@pytest.mark.slow
def test_weights_of_the_old_format_are_loaded(made: Make, tmp_path: Path) -> None:
    """LAION's CLAP has no others on its main branch."""
    old = make("clap", tmp_path / "old")
    weights = AutoModel.from_pretrained(old).state_dict()
    torch.save(weights, old / "pytorch_model.bin")
    (old / "model.safetensors").unlink()
    changed = params(made).model_copy(update={"sound": CheckpointParams(checkpoint=str(old), revision=None)})
    encoders = Encoders.located(changed)
    assert encoders.hears(sound()) == Encoders.located(params(made)).hears(sound())
    before = encoders.revision
    torch.save({name: weight + 1 for name, weight in weights.items()}, old / "pytorch_model.bin")
    assert Encoders.located(changed).revision != before


@pytest.mark.slow
def test_what_cannot_be_used_is_named_before_anything_is_loaded(made: Make, tmp_path: Path) -> None:
    swapped = params(made).model_copy(update={"picture": params(made).sound})
    with pytest.raises(ConfigError, match=r"is a clap, not one of siglip, siglip2, clip(.|\n)*judge\.picture"):
        Encoders.located(swapped)
    gone = params(made).model_copy(update={"sound": CheckpointParams(checkpoint=str(tmp_path), revision=None)})
    with pytest.raises(MmaBenchError, match=r"has no config\.json"):
        Encoders.located(gone)


@pytest.mark.slow
def test_a_checkpoint_without_some_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = make("clip", tmp_path / "clip")
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MmaBenchError, match=r"1 weights are missing .* first visual_projection\.weight"):
        load(folder, "clip")
