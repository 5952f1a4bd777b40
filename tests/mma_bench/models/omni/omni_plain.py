"""Clips and checkpoints for the tests of the omni engine, and the plain way to ask: one call per prompt and option.

The plain way uses nothing of the engine: chat template, processor, `generate` and `forward` as the model's own
documentation shows them.
"""

import atexit
import io
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from mma_bench.models.contracts import ClipTask, Prompt
from mma_bench.models.omni.engine import OmniEngine, OmniSettings
from mma_bench.training.miniature.checkpoint import Layout, make_checkpoint
from mma_bench.training.miniature.tokenizer import Family

RATE = 16_000
FPS = 10
SECONDS = 2
SIZE = (84, 56)  # width, height: whole patches for the 14 pixels of one family, not for the 16 of the other
SETTINGS: dict[str, Any] = {"min_pixels": 56 * 56, "max_pixels": 112 * 112, "device_map": "cpu"}
OPTIONS = ("Cat", "Dog", "Bowed string instrument", "Bowed", "Bird")
TEXT = f"Which class best describes the visual content of this video? Options: {', '.join(OPTIONS)}."


@cache
def clip(
    seed: int, seconds: int = SECONDS, size: tuple[int, int] = SIZE, sound: bool = True, black: bool = False
) -> bytes:
    """An MP4 of drifting noise, or of black frames, with a tone unless `sound` is false."""
    width, height = size
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, width, 3), np.uint8) * (not black)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "threads": "1"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = out.add_stream("aac", rate=RATE, layout="mono") if sound else None
        for index in range(seconds * FPS):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, 2 * index, axis=1), format="rgb24")
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            times = np.arange(seconds * RATE) / RATE
            wave = (0.3 * np.sin(2 * np.pi * (200 + 90 * seed) * times)).astype(np.float32)
            block = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            block.sample_rate = RATE
            out.mux(audio.encode(block))
            out.mux(audio.encode(None))
    return file.getvalue()


def task(*prompts: Prompt, seed: int = 0, condition: str = "aligned", video: bytes | None = None) -> ClipTask:
    """A clip under a condition; under `audio_dropped` without its audio track."""
    name, video = f"clip-{seed}", clip(seed) if video is None else video
    return ClipTask(name, video, condition, "Cat", "Dog", prompts, hears=condition != "audio_dropped")


def checkpoint(family: Family = "qwen2_5_omni", layout: Layout = "thinker") -> Path:
    """A tiny checkpoint; made once, removed at exit."""
    return _checkpoint(family, layout)


@cache
def _checkpoint(family: Family, layout: Layout) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tiny-omni-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_checkpoint(folder, family=family, layout=layout)


def engine(family: Family = "qwen2_5_omni", layout: Layout = "thinker") -> OmniEngine:
    """An engine on a tiny checkpoint; made once."""
    return _engine(family, layout)


@cache
def _engine(family: Family, layout: Layout) -> OmniEngine:
    return OmniEngine(OmniSettings(checkpoint=str(checkpoint(family, layout)), **SETTINGS))


class Plain:
    """One call per question, as the model's documentation shows it."""

    def __init__(self, engine: OmniEngine, folder: Path) -> None:
        import transformers

        own = engine._reader._thinker
        self.model = type(own).from_pretrained(folder)
        processor_class = type(engine._processor).__name__
        self.processor = getattr(transformers, processor_class).from_pretrained(folder)
        self.end = [self.processor.tokenizer.convert_tokens_to_ids(name) for name in ("<|im_end|>", "<|endoftext|>")]

    def inputs(self, asked: ClipTask, prompt: Prompt) -> dict[str, Any]:
        """The processor's output for a clip that has every frame, and its own sampling of them."""
        with av.open(io.BytesIO(asked.video)) as file:
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
        with av.open(io.BytesIO(asked.video)) as file:
            sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
        turns = [{"role": "user", "content": [{"type": "video", "video": ""}, {"type": "text", "text": prompt.text}]}]
        text = self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        hears = asked.hears
        heard = {"audio": [sound], "audio_from_video_indices": [0], "load_audio_from_video": True} if hears else {}
        size = {"shortest_edge": SETTINGS["min_pixels"], "longest_edge": SETTINGS["max_pixels"]}
        batch = self.processor(
            text=[text],
            videos=[frames],
            video_metadata=[{"total_num_frames": len(frames), "fps": FPS}],
            videos_kwargs={"fps": 2.0, "do_sample_frames": True, "size": size},
            return_tensors="pt",
            **heard,
        )
        return {**batch, "use_audio_in_video": hears}

    def generate(self, asked: ClipTask, prompt: Prompt) -> str:
        """The greedy answer."""
        return self._greedy(self.inputs(asked, prompt), prompt)

    def _greedy(self, inputs: dict[str, Any], prompt: Prompt) -> str:
        with torch.inference_mode():
            whole = self.model.generate(
                **inputs, max_new_tokens=prompt.max_new_tokens, do_sample=False, eos_token_id=self.end
            )
        new = whole[0, inputs["input_ids"].shape[1] :]
        return str(self.processor.tokenizer.decode(new, skip_special_tokens=True))

    def score(self, asked: ClipTask, prompt: Prompt) -> dict[str, float]:
        """One forward pass per option."""
        return {option: self._score(self.inputs(asked, prompt), option) for option in prompt.options}

    def prior(self, prompt: Prompt) -> dict[str, float]:
        """As `score`, without a clip."""
        inputs = self._alone(prompt)
        return {option: self._score(inputs, option) for option in prompt.options}

    def generate_alone(self, prompt: Prompt) -> str:
        """As `generate`, without a clip."""
        return self._greedy(self._alone(prompt), prompt)

    def _alone(self, prompt: Prompt) -> dict[str, Any]:
        turns = [{"role": "user", "content": [{"type": "text", "text": prompt.text}]}]
        text = self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return dict(self.processor(text=[text], return_tensors="pt"))

    def _score(self, inputs: dict[str, Any], option: str) -> float:
        ids = self.processor.tokenizer(option + "<|im_end|>", return_tensors="pt")["input_ids"]
        return self.score_ids(inputs, ids[0].tolist())

    def score_ids(self, inputs: dict[str, Any], ids: Sequence[int]) -> float:
        """Log-likelihood of `ids` after the prompt."""
        whole = torch.cat([inputs["input_ids"], torch.tensor([list(ids)])], dim=1)
        begin = inputs["input_ids"].shape[1] - 1
        with torch.inference_mode():
            logits = self.model(**inputs | {"input_ids": whole, "attention_mask": torch.ones_like(whole)}).logits[0]
        return float(logits.log_softmax(-1)[range(begin, begin + len(ids)), list(ids)].sum())


@cache
def plain(family: Family = "qwen2_5_omni") -> Plain:
    """The plain way on the checkpoint of `engine(family)`."""
    return Plain(engine(family), checkpoint(family))
