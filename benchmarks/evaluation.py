"""Times the omni engine against plain calls on a tiny checkpoint and one 10 s clip, and sees that answers are the same.

    python benchmarks/evaluation.py

Two rivals, both as the model's documentation shows them, without the engine's code:

* all protocols: for each prompt the clip is decoded and processed and `generate` is called; a log-likelihood decodes
  and processes once and makes one forward pass per option. The engine gets all prompts at once.
* log-likelihood: one forward pass per option on inputs that are there already; the engine encodes the clip, reads the
  prompt and scores all options.

Both sides take turns in one process; what counts is the median of its processor time on all threads, which other work
on the machine disturbs little.
"""

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from mma_bench import prompts
from mma_bench.builders.labels.decisions import read_decisions
from mma_bench.evaluation.protocols import Protocol, Sampling, prompts_of
from mma_bench.models.contracts import Answer, ClipTask, Prompt
from mma_bench.models.omni.engine import OmniEngine, OmniSettings, PreparedClip
from mma_bench.schema import MODALITIES
from mma_bench.training.miniature.checkpoint import make_checkpoint

ROUNDS = 3
OPTIONS = 49
LEAST = {"all protocols": 4.0, "log-likelihood": 20.0}  # promised ratios
PROJECT = Path(__file__).parents[1]
PIXELS = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}


def make_clip(seconds: int = 10, rate: int = 25, size: int = 504) -> bytes:
    """An MP4 of moving patches with a tone."""
    patches = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    picture = np.kron(patches, np.ones((size // 8, size // 8, 1), np.uint8))
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        video: Any = out.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = size, size, "yuv420p"
        sound: Any = out.add_stream("aac", rate=44_100, layout="mono")
        for index in range(seconds * rate):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.roll(picture, index, axis=1), format="rgb24")))
        out.mux(video.encode(None))
        wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(seconds * 44_100) / 44_100)
        block = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
        block.sample_rate = 44_100
        out.mux(sound.encode(block))
        out.mux(sound.encode(None))
    return file.getvalue()


class Plain:
    """Asks one thing at a time."""

    def __init__(self, folder: Path) -> None:
        import transformers

        self.model: Any = transformers.Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(folder).eval()
        self.processor: Any = transformers.Qwen2_5OmniProcessor.from_pretrained(folder)
        self.end = self.model.generation_config.eos_token_id

    def inputs(self, video: bytes, text: str) -> dict[str, Any]:
        """Decode the clip and process it with its prompt."""
        with av.open(io.BytesIO(video)) as file:
            every = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
            rate = float(file.streams.video[0].average_rate or 0)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
        with av.open(io.BytesIO(video)) as file:
            blocks = [block for frame in [*file.decode(audio=0), None] for block in resampler.resample(frame)]
        sound = np.concatenate([block.to_ndarray()[0] for block in blocks])
        turns = [{"role": "user", "content": [{"type": "video", "video": ""}, {"type": "text", "text": text}]}]
        batch = self.processor(
            text=[self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)],
            videos=[np.stack(every)],
            video_metadata=[{"total_num_frames": len(every), "fps": rate}],
            videos_kwargs={"fps": 2.0, "do_sample_frames": True, "size": PIXELS},
            audio=[sound],
            audio_from_video_indices=[0],
            load_audio_from_video=True,
            return_tensors="pt",
        )
        return {**batch, "use_audio_in_video": True}

    @torch.inference_mode()
    def answer(self, video: bytes, prompt: Prompt) -> str | dict[str, float]:
        """One prompt from the clip's bytes on."""
        inputs = self.inputs(video, prompt.text)
        if prompt.mode == "score":
            return self.score(inputs, prompt.options)
        whole = self.model.generate(**inputs, max_new_tokens=prompt.max_new_tokens, do_sample=False)
        new = whole[0, inputs["input_ids"].shape[1] :]
        return str(self.processor.tokenizer.decode(new, skip_special_tokens=True))

    @torch.inference_mode()
    def score(self, inputs: dict[str, Any], options: Sequence[str]) -> dict[str, float]:
        """One forward pass per option."""
        scores = {}
        begin = inputs["input_ids"].shape[1] - 1
        for option in options:
            ids = self.processor.tokenizer(option + "<|im_end|>", return_tensors="pt")["input_ids"]
            whole = torch.cat([inputs["input_ids"], ids], dim=1)
            logits = self.model(**inputs | {"input_ids": whole, "attention_mask": torch.ones_like(whole)}).logits[0]
            steps = logits[begin : begin + ids.shape[1]].log_softmax(-1)
            scores[option] = float(steps.gather(1, ids[0, :, None]).sum())
        return scores


def check_same(ours: Sequence[Answer], theirs: Sequence[str | dict[str, float]]) -> None:
    """Stop if an answer differs, or a log-likelihood by 1e-4."""
    for answer, other in zip(ours, theirs, strict=True):
        if isinstance(other, str):
            same = answer.text == other
        else:
            found = answer.logprobs or {}
            same = found.keys() == other.keys() and max(abs(found[name] - other[name]) for name in other) < 1e-4
        if not same:
            raise SystemExit(f"{answer.key}: the engine answers {answer}, the plain call {other}")


def compare(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> bool:
    """Print both medians and their ratio; whether it is as promised."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, spent in zip((ours, theirs), seconds, strict=True):
            start = time.process_time()
            work()
            spent.append(time.process_time() - start)
    mine, other = map(statistics.median, seconds)
    print(f"{name}: engine {mine:.3f} s, plain {other:.3f} s, ratio {other / mine:.1f} (at least {LEAST[name]:g})")
    return other / mine >= LEAST[name]


def main() -> None:
    """Compare answers, then times."""
    torch.set_num_threads(1)
    decisions = read_decisions(PROJECT / "builders/curation/class_decisions.csv")
    options = sorted({item.class_name for item in decisions if item.action == "keep"})[:OPTIONS]
    asking = {f"{question}_question": prompts.forced_choice(question, options) for question in MODALITIES}
    row = {"id": "clip", "condition": "aligned", "options": options, "context_seed": None, **asking}
    asked = tuple(prompts_of(row, tuple(Protocol), Sampling()))
    video = make_clip()
    task = ClipTask("clip", video, "aligned", options[0], options[0], asked)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = make_checkpoint(Path(folder))
        plain = Plain(checkpoint)
        settings = OmniSettings(
            checkpoint=folder,
            min_pixels=PIXELS["shortest_edge"],
            max_pixels=PIXELS["longest_edge"],
            device_map="cpu",
        )
        engine = OmniEngine(settings, name="tiny")
    check_same(engine.answer([task])[0], [plain.answer(video, prompt) for prompt in asked])

    question = Prompt("score", prompts.forced_choice("visual", options), mode="score", options=tuple(options))
    prepared: PreparedClip = engine.prepare(ClipTask("clip", video, "aligned", "", "", (question,)))
    inputs = plain.inputs(video, question.text)
    kept = [
        compare(
            "all protocols",
            lambda: engine.answer([task]),
            lambda: [plain.answer(video, prompt) for prompt in asked],
            rounds=ROUNDS,
        ),
        compare(
            "log-likelihood",
            lambda: engine.answer([prepared]),
            lambda: plain.score(inputs, options),
            rounds=ROUNDS,
        ),
    ]
    if not all(kept):
        raise SystemExit("slower than promised")


if __name__ == "__main__":
    main()
