"""What reaches the model: the sequence of tokens, the frames and the sound."""

import io
from dataclasses import replace
from itertools import groupby
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import InvalidInput, MmaBenchError
from mma_bench.models.contracts import ClipTask, Prompt
from mma_bench.models.omni.inputs import ClipInputs, InputMaker
from mma_bench.models.omni.media import Media, decode
from mma_bench.training.miniature.tokenizer import Family
from tests.mma_bench.models.omni.omni_plain import RATE, SIZE, TEXT, clip, engine, plain, task

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FAMILIES: tuple[Family, ...] = ("qwen2_5_omni", "qwen3_omni")
PROMPT = Prompt("visual", TEXT, options=("Cat", "Dog"))


def sequence(family: Family, asked: ClipTask) -> list[str]:
    """The prompt as the model reads it, runs of a token written as `token×count`, plain text joined."""
    prepared = engine(family).prepare(asked)
    clip, prompt = prepared.clip, prepared.prompts[0]
    assert not isinstance(clip, InvalidInput)
    assert not isinstance(prompt, InvalidInput)
    tokenizer = engine(family)._processor.tokenizer
    special = set(tokenizer.all_special_ids)
    parts = []
    for is_special, run in groupby((*clip.ids, *prompt.ids), key=lambda i: i if i in special else -1):
        ids = list(run)
        text = tokenizer.decode(ids[:1] if is_special >= 0 else ids)
        parts.append(f"{text}×{len(ids)}" if len(ids) > 1 and is_special >= 0 else text)
    return parts


SYSTEM = ["<|im_start|>", "system\nYou are a helpful assistant.", "<|im_end|>", "\n"]
ANSWER = [TEXT, "<|im_end|>", "\n", "<|im_start|>", "assistant\n"]
# 2 s at 2 frames/s are 2 grids, 1 s each, of 2 × 3 tokens (84 × 56 pixels in squares of 28). AAC rounds the sound up to
# 33 blocks of 1024 samples: 2.1 s with 25 tokens a second, all in the first piece of 2 s but the last 3.
GOLDEN_2_5 = [
    *(*SYSTEM, "<|im_start|>", "user\n", "<|vision_bos|>", "<|audio_bos|>"),
    *("<|VIDEO|>×12", "<|AUDIO|>×53", "<|audio_eos|>", "<|vision_eos|>", *ANSWER),
]
# Squares of 32 (rounded to 96 × 64 pixels), and 13 tokens of sound a second, each piece after the grid of its time.
GOLDEN_3 = [
    *("<|im_start|>", "user\n", "<|vision_start|>", "<|audio_start|>"),
    *("<|video_pad|>×6", "<|audio_pad|>×13", "<|video_pad|>×6", "<|audio_pad|>×15"),
    *("<|audio_end|>", "<|vision_end|>", *ANSWER),
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "golden"), [("qwen2_5_omni", GOLDEN_2_5), ("qwen3_omni", GOLDEN_3)])
def test_media_come_before_the_text_and_sound_beside_its_frames(family: Family, golden: list[str]) -> None:
    assert sequence(family, task(PROMPT)) == golden


def test_removed_sound_leaves_no_token() -> None:
    sight = ["<|vision_bos|>", "<|VIDEO|>×12", "<|vision_eos|>"]
    wanted = [*SYSTEM, "<|im_start|>", "user\n", *sight, *ANSWER]
    assert sequence("qwen2_5_omni", task(PROMPT, condition="audio_dropped")) == wanted


def test_a_system_text_replaces_the_templates_own() -> None:
    maker = InputMaker(engine()._processor, system="Listen well.", size={})
    begin = engine()._processor.tokenizer.decode(maker.clip(media()).ids)
    assert begin.startswith("<|im_start|>system\nListen well.<|im_end|>\n<|im_start|>user\n")


def test_a_template_with_the_text_before_the_video_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    template = "{{ messages[-1].content[1].text }}<|vision_bos|><|VIDEO|><|vision_eos|><|im_end|>"
    monkeypatch.setattr(engine()._processor, "chat_template", template)
    with pytest.raises(MmaBenchError, match="does not put the video right before the text"):
        InputMaker(engine()._processor, system=None, size={})


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=60))
def test_pieces_have_the_ids_of_the_whole_conversation(family: Family, text: str) -> None:
    processor = engine(family)._processor
    turns = [{"role": "user", "content": [{"type": "video", "video": ""}, {"type": "text", "text": text}]}]
    whole = processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    maker = engine(family)._inputs
    pieces = (*maker._ids(maker._head), *maker.prompt(replace(PROMPT, text=text)).ids)
    assert list(pieces) == processor.tokenizer(whole)["input_ids"]


def test_options_end_with_the_token_that_ends_a_turn() -> None:
    tokenizer = engine()._processor.tokenizer
    options = engine()._inputs.prompt(PROMPT).options
    assert [tokenizer.decode(ids) for ids in options] == ["Cat<|im_end|>", "Dog<|im_end|>"]


def media(sound: bool = True, samples: int = 2 * RATE) -> Media:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, SIZE[1], SIZE[0], 3), np.uint8)
    return Media(frames, 2.0, rng.uniform(-1, 1, samples).astype(np.float32) if sound else None)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("condition", ["aligned", "audio_dropped"])
def test_tensors_equal_those_of_the_plain_processor(family: Family, condition: str) -> None:
    asked = task(PROMPT, condition=condition)
    prepared = engine(family).prepare(asked).clip
    assert isinstance(prepared, ClipInputs)
    given_, wanted = dict(prepared.tensors), plain(family).inputs(asked, PROMPT)
    assert torch.equal(given_.pop("input_ids"), wanted["input_ids"][:, : len(prepared.ids)])
    given_.pop("attention_mask")
    if condition == "aligned":
        # The plain processor pads further; what is not masked is the same.
        heard = given_.pop("feature_attention_mask")[0].bool()
        wanted_heard = wanted["feature_attention_mask"][0].bool()
        assert heard.sum() == wanted_heard.sum()
        assert torch.equal(given_.pop("input_features")[0][:, heard], wanted["input_features"][0][:, wanted_heard])
    assert set(given_) == {"pixel_values_videos", "video_grid_thw", "video_second_per_grid"}
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in given_.items())


@pytest.mark.slow
@pytest.mark.parametrize("samples", [RATE // 2, RATE + 1, 2 * RATE - 79, 12 * RATE, 13 * RATE])
def test_less_padding_of_the_sound_changes_nothing(samples: int) -> None:
    processor = plain().processor
    sound = media(samples=samples).sound
    assert sound is not None
    tensors = engine()._inputs.clip(media(samples=samples)).tensors
    wanted = processor.feature_extractor(
        [sound], sampling_rate=RATE, padding="max_length", return_attention_mask=True, return_tensors="pt"
    )
    heard, wanted_heard = tensors["feature_attention_mask"][0].bool(), wanted["attention_mask"][0].bool()
    assert torch.equal(tensors["input_features"][0][:, heard], wanted["input_features"][0][:, wanted_heard])


@pytest.mark.parametrize("fps", [0.5, 2.0, 3.7, 40.0])
def test_frames_are_those_that_the_checkpoint_would_take(fps: float) -> None:
    video = clip(3, seconds=3)
    with av.open(io.BytesIO(video)) as file:
        every = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    processor = engine()._processor.video_processor
    decoded = decode(task(video=video), processor, fps=fps, max_frames=8)
    from transformers.video_utils import VideoMetadata

    indices = processor.sample_frames(VideoMetadata(total_num_frames=len(every), fps=10.0), fps=fps, max_frames=8)
    assert np.array_equal(decoded.frames, every[indices])
    assert decoded.fps == pytest.approx(len(decoded.frames) / 3.0)


def test_a_single_frame_is_no_video() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream: Any = out.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 56, 56, "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((56, 56, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    with pytest.raises(InvalidInput, match="clip-0: 1 frame"):
        decode(task(video=file.getvalue()), engine()._processor.video_processor, fps=2.0, max_frames=None)
