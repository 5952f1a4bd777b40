"""`mma-bench models check`: within a minute, can a model be asked here, and does it see and hear?

Servers and programs are asked about a clip of one second that is made here. A checkpoint is not loaded, which takes
longer: what it needs is looked for.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from mma_bench import extras
from mma_bench.errors import MmaBenchError
from mma_bench.media import SAMPLE_RATE
from mma_bench.models import ModelConfig, load_config, open_engine
from mma_bench.models.contracts import ClipTask, Engine, Prompt, Served
from mma_bench.models.probe import probe
from mma_bench.prompts import forced_choice

_WORDS: Final = {True: "yes", False: "no", None: "cannot be told"}
_OPTIONS: Final = ("Bird", "Siren")
# A list of models and four prompts to a server, or the start of a program and one clip.
_LIMITS: Final[Mapping[str, dict[str, Any]]] = {
    "openai": {"timeout_s": 10.0, "max_retries": 0},
    "gemini": {"timeout_s": 10.0, "max_retries": 0},
    "process": {"start_timeout_s": 30.0, "timeout_s": 20.0},
}


def check_model(name: str, overrides: Mapping[str, Any] | None = None) -> Iterator[str]:
    """What is found, line by line.

    Args:
        name: As in `load_config`.
        overrides: Likewise.

    Raises:
        MmaBenchError: The model cannot be asked here, or does not see or hear; the hint says what to do.
    """
    config = load_config(name, overrides=overrides)
    yield f"{config.name}: engine {config.engine}; needs {config.needs}"
    if config.engine == "transformers":
        yield from _checkpoint(config)
        return
    if config.engine == "specialist":
        extras.require(config.name, "specialist")
        yield "can be asked: its packages are installed"
        return
    engine = open_engine(name, overrides={**(overrides or {}), **_LIMITS.get(config.engine, {})})
    try:
        yield from _server(engine) if isinstance(engine, Served) else _here(engine)
    finally:
        engine.close()


def _server(engine: Served) -> Iterator[str]:
    for warning in engine.check():
        yield f"WARNING: {warning}"
    yield "can be asked: the server answered a short prompt"
    found = probe(engine, _task(), _prompt("audio"))
    if found.by == "prompt tokens":
        how = "prompt tokens without the clip, without its sound, with both: " + ", ".join(
            map(str, found.prompt_tokens)
        )
    else:
        how = "the server counts no tokens of media: answers were compared"
    yield f"sees: {_WORDS[found.sees]}; hears: {_WORDS[found.hears]} ({how})"
    if None in (found.sees, found.hears):
        yield f"WARNING: a question about the clip got no answer: {found.answers[-1]}"
    if found.served_model is not None:
        yield f"answered as: {found.served_model}"
    if problems := found.problems(engine.name):
        message, hint = problems[-1]
        raise MmaBenchError(message, hint=hint)


def _here(engine: Engine) -> Iterator[str]:
    """A program or a baseline: one clip, as in a run."""
    ((answer,),) = engine.answer([_task(_prompt("audio"))])
    if answer.error or answer.unsupported:
        raise MmaBenchError(str(answer.error or answer.unsupported), hint="correct the program, or what it needs")
    yield "can be asked: it answered about a clip"
    fed = answer.usage.get("fed")
    if isinstance(fed, dict):
        yield f"fed with: {', '.join(f'{key} {value}' for key, value in fed.items())}"


def _checkpoint(config: ModelConfig) -> Iterator[str]:
    extras.require(config.name, "local")
    import torch
    from huggingface_hub import try_to_load_from_cache

    checkpoint = str(config.settings["checkpoint"])
    if (Path(checkpoint) / "config.json").is_file():
        yield f"checkpoint: the folder {checkpoint}"
    elif Path(checkpoint).is_dir():
        raise MmaBenchError(f"{checkpoint} has no config.json", hint="give the folder of a checkpoint")
    elif isinstance(try_to_load_from_cache(checkpoint, "config.json"), str):
        yield f"checkpoint: {checkpoint} is in the cache of the Hub"
    else:
        yield f"checkpoint: {checkpoint} is not in the cache of the Hub; the first run fetches it"
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield f"GPU {index}: {device.name}, {device.total_memory / 1e9:.0f} GB"
    if not torch.cuda.is_available():
        yield "WARNING: no GPU; compare with what it needs"
    yield "not loaded: during a run, the engine counts the audio tokens of every clip, and a mismatch is an error"


def _task(*prompts: Prompt) -> ClipTask:
    return ClipTask("check", _clip(), "aligned", _OPTIONS[0], _OPTIONS[0], prompts)


def _prompt(question: Any) -> Prompt:
    return Prompt("check", forced_choice(question, _OPTIONS), options=_OPTIONS, question=question)


def _clip() -> bytes:
    """An MP4 of one second: moving stripes, 112 x 112 at 10 frames/s, and a tone of 440 Hz."""
    stripes = np.tile(np.arange(112, dtype=np.uint8) // 8 % 2 * 255, (112, 1))
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 112, 112, "yuv420p"
        audio = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for index in range(10):
            picture = np.repeat(np.roll(stripes, 2 * index, axis=1)[:, :, None], 3, axis=2)
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode(None))
        wave = (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
        block = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        block.sample_rate = SAMPLE_RATE
        out.mux(audio.encode(block))
        out.mux(audio.encode(None))
    return file.getvalue()
