"""The runners against stand-ins for their models' code: what each is asked, with sound and without."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mma_bench.models.contracts import Answer, Prompt
from mma_bench.models.process import ProcessEngine, ProcessSettings
from tests.mma_bench.models.servers import task

SEE = Prompt("visual.forced_choice.0", "What is seen?", max_new_tokens=7)
DRAW = Prompt("audio.forced_choice.1", "What is heard?", temperature=0.5, seed=1)
LONG = Prompt("visual.forced_choice.2", "Which? far ease")

TORCH = """
import contextlib
no_grad = contextlib.nullcontext
seeds = []
manual_seed = seeds.append
def load(path, map_location):
    return {"weights": path}
"""
VIDEOLLAMA2 = {
    "videollama2/__init__.py": """
import json, types, torch
def model_init(checkpoint):
    print("loading", checkpoint)
    model = types.SimpleNamespace(model=types.SimpleNamespace(audio_tower="ear"))
    return model, {"video": lambda path, va: [open(path, "rb").read(4) and "clip", va]}, "tokenizer"
def mm_infer(media, text, model, tokenizer, modal, **kwargs):
    return json.dumps([media, text, model.model.audio_tower, modal, kwargs, torch.seeds[-1]])
"""
}
PANDAGPT = {
    "header.py": "",
    "model/__init__.py": "",
    "model/openllama.py": """
import json, os, torch
class OpenLLAMAPEFTModel:
    def __init__(self, **kwargs):
        print("loading", kwargs["vicuna_ckpt_path"])
    def load_state_dict(self, weights, strict):
        assert not strict
    def half(self): return self
    cuda = eval = half
    def generate(self, asked):
        assert all(map(os.path.getsize, asked["audio_paths"] + asked["video_paths"]))
        known, asked["modality_embeds"][:] = len(asked["modality_embeds"]), ["embeds"]
        kept = {key: asked[key] for key in ("top_p", "temperature", "max_tgt_len")}
        return json.dumps([asked["prompt"], len(asked["audio_paths"]), known, kept, torch.seeds[-1]])
""",
}
CHATBRIDGE = {
    "chatbridge/__init__.py": "",
    "chatbridge/common/__init__.py": "",
    "chatbridge/common/config.py": """
import types
class Config:
    def __init__(self, args):
        assert args.options is None
        self.model_cfg = types.SimpleNamespace(arch=args.cfg_path)
""",
    "chatbridge/common/registry.py": """
class Model:
    @classmethod
    def from_config(cls, config): return cls()
    def to(self, device): return self
    def eval(self): return self
class registry:
    @staticmethod
    def get_model_class(arch): return Model
""",
    "chatbridge/models.py": "ChatBridge = None",
    "chatbridge/processors/__init__.py": "",
    "chatbridge/processors/alpro_processors.py": "AlproVideoEvalProcessor = dict",
    "chatbridge/processors/blip_processors.py": "BlipAudioEvalProcessor = dict",
    "chatbridge/conversation/__init__.py": "",
    "chatbridge/conversation/conversation.py": """
import json, torch
class Conversation(list):
    def copy(self): return Conversation(self)
CONV_VIDEO, CONV_ONLYVIDEO = Conversation(["video"]), Conversation(["onlyvideo"])
class Chat:
    def __init__(self, model, eyes, ears, device): pass
    def upload_img(self, path, conversation, media, type):
        print("moviepy talks")
        media.append(type)
    def ask(self, text, conversation): conversation.append(text)
    def answer(self, conversation, media, **kwargs):
        return json.dumps([conversation, media, kwargs, torch.seeds[-1]]), None
""",
}


def answers(folder: Path, runner: str, code: dict[str, str], *arguments: str) -> list[list[Answer]]:
    """What the runner says to three prompts about a clip with sound and one about a clip without."""
    for name, text in {"torch.py": TORCH, **code}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [sys.executable, "-S", f"{{runners}}/{runner}.py", *arguments]
    engine = ProcessEngine(ProcessSettings(command=command, folder=str(folder)))
    try:
        return engine.answer([task(SEE, DRAW, LONG), task(SEE, condition="audio_dropped")])
    finally:
        engine.close()


def said(answer: Answer) -> list[Any]:
    assert answer.error is None
    found: list[Any] = json.loads(answer.text or "")
    return found


def test_videollama2(tmp_path: Path) -> None:
    (see, draw, long), (deaf,) = answers(tmp_path, "run_videollama2", VIDEOLLAMA2, "checkpoint")
    greedy = {"max_new_tokens": 7, "do_sample": False}
    assert said(see) == [["clip", True], "What is seen?", "ear", "video", greedy, 0]
    drawn = {"max_new_tokens": 32, "do_sample": True, "temperature": 0.5}
    assert said(draw) == [["clip", True], "What is heard?", "ear", "video", drawn, 1]
    assert said(long)[1] == "Which? far ease"
    assert said(deaf)[:3] == [["clip", False], "What is seen?", None]


def test_pandagpt(tmp_path: Path) -> None:
    (see, draw, long), (deaf,) = answers(tmp_path, "run_pandagpt", PANDAGPT)
    assert said(see) == ["What is seen?", 1, 0, {"top_p": 1e-6, "temperature": 1.0, "max_tgt_len": 7}, 0]
    assert said(draw) == ["What is heard?", 1, 1, {"top_p": 0.9, "temperature": 0.5, "max_tgt_len": 32}, 1]
    assert said(long)[0] == "Which? far ease"
    assert said(deaf)[1:3] == [0, 0]


def test_chatbridge(tmp_path: Path) -> None:
    (see, draw, long), (deaf,) = answers(tmp_path, "run_chatbridge", CHATBRIDGE, "eval.yaml")
    greedy = {"max_new_tokens": 7, "top_p": 1e-6, "temperature": 1.0}
    assert said(see) == [["video", "What is seen?"], ["video"], greedy, 0]
    assert said(draw)[0] == ["video", "What is heard?"]
    assert said(draw)[2:] == [{"max_new_tokens": 32, "top_p": 0.9, "temperature": 0.5}, 1]
    assert said(long)[0] == ["video", "Which? far ease"]
    assert said(deaf)[:2] == [["onlyvideo", "What is seen?"], ["onlyvideo"]]


@pytest.mark.parametrize("runner", ["run_videollama2", "run_chatbridge", "run_pandagpt"])
def test_runners_need_nothing_of_this_package(runner: str) -> None:
    from mma_bench.models.process import RUNNERS

    assert "mma_bench" not in (RUNNERS / f"{runner}.py").read_text()
