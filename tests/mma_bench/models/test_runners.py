"""The runners against stand-ins for their models' code: what each is asked, with sound and without."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mma_bench.models.contracts import Answer, Prompt
from mma_bench.models.process import RUNNERS, ProcessEngine, ProcessSettings
from tests.mma_bench.models.servers import task

SEE = Prompt("visual.forced_choice.0", "What is seen?", max_new_tokens=7)
DRAW = Prompt("audio.forced_choice.1", "What is heard?", temperature=0.5, seed=1)
TOO_LONG = "and 32 for the answer do not fit into the context of"
LONG = Prompt("visual.forced_choice.2", "far ease " * 20_000)

TORCH = """
import contextlib
no_grad = contextlib.nullcontext
seeds = []
manual_seed = seeds.append
class Tensor:
    def __init__(self, *shape):
        self.shape = shape
def load(path, map_location=None, weights_only=False):
    return {"weights": path, "only": weights_only}
"""
# As the branch audio_visual: a track that cannot be read becomes zeros, and the loop of tokens calls the embedding too.
VIDEOLLAMA2 = {
    "videollama2/__init__.py": """
import json, types, torch
from . import mm_utils
class Model:
    def __init__(self):
        self.model = types.SimpleNamespace(audio_tower="ear")
        self.config = types.SimpleNamespace(max_position_embeddings=32768)
    def prepare_inputs_labels_for_multimodal(self, input_ids, attention_mask, past_key_values, labels, images):
        if input_ids.shape[1] == 1:
            return input_ids, attention_mask, past_key_values, None, labels
        return None, attention_mask, past_key_values, torch.Tensor(1, input_ids.shape[1] + 700, 3584), labels
def model_init(checkpoint):
    print("loading", checkpoint)
    assert torch.load("projector.bin")["only"]
    return Model(), {"video": mm_utils.process_video}, "tokenizer"
def mm_infer(media, text, model, tokenizer, modal, **kwargs):
    for tokens in (len(text.split()), 1):
        model.prepare_inputs_labels_for_multimodal(
            input_ids=torch.Tensor(1, tokens), attention_mask=None, past_key_values=None, labels=None, images=media)
    found = sorted(media) if isinstance(media, dict) else media.shape[0]
    return json.dumps([found, text, model.model.audio_tower, modal, kwargs, torch.seeds[-1]])
""",
    "videollama2/mm_utils.py": """
import torch
def load_audio_from_video(file, sr=16000):
    with open(file, "rb") as clip:
        clip.read(4)
    if READABLE is not True:
        raise RuntimeError("Failed to load audio")
    return [0.0] * (2 * sr), sr
READABLE = True
def process_video(path, va=False):
    video = torch.Tensor(16, 3, 336, 336)
    if not va:
        return video
    try:
        load_audio_from_video(path)
    except Exception as error:
        print("Failed to process audio from video due to error:", error)
    return {"video": video, "audio": torch.Tensor(1, 2998, 128)}
""",
}
PANDAGPT = {
    "header.py": "",
    "model/__init__.py": "",
    "model/ImageBind/__init__.py": "",
    "model/ImageBind/data.py": """
import os, torch
def load_and_transform_video_data(paths, device):
    assert all(map(os.path.getsize, paths))
    return torch.Tensor(1, 15, 3, 2, 224, 224)
def load_and_transform_audio_data(paths, device):
    assert all(map(os.path.getsize, paths))
    return torch.Tensor(1, 3, 1, 128, 204)
""",
    "model/openllama.py": """
import json, torch
from .ImageBind import data
class OpenLLAMAPEFTModel:
    def __init__(self, **kwargs):
        print("loading", kwargs["vicuna_ckpt_path"])
    def load_state_dict(self, weights, strict):
        assert weights["only"] and not strict
    def half(self): return self
    cuda = eval = half
    def extract_multimodal_feature(self, asked):
        if asked["audio_paths"]:
            data.load_and_transform_audio_data(asked["audio_paths"], 0)
        if asked["video_paths"]:
            data.load_and_transform_video_data(asked["video_paths"], 0)
        return "embeds"
    def prepare_generation_embedding(self, asked):
        if len(asked["modality_embeds"]) != 1:
            asked["modality_embeds"].append(self.extract_multimodal_feature(asked))
        return torch.Tensor(1, 10 + len(asked["prompt"].split()), 4096)
    def generate(self, asked):
        known = len(asked["modality_embeds"])
        self.prepare_generation_embedding(asked)
        kept = {key: asked[key] for key in ("top_p", "temperature", "max_tgt_len")}
        return json.dumps([asked["prompt"], len(asked["audio_paths"]), known, kept, torch.seeds[-1]])
""",
}
# As the project's code: what is longer than 2000 tokens is cut at its front, where the clip is.
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
import torch
class Model:
    @classmethod
    def from_config(cls, config):
        assert torch.load("ckpt.pth", map_location="cpu")["only"]
        return cls()
    def to(self, device): return self
    def eval(self): return self
class registry:
    @staticmethod
    def get_model_class(arch): return Model
""",
    "chatbridge/models.py": "ChatBridge = None",
    "chatbridge/processors/__init__.py": "",
    "chatbridge/processors/alpro_processors.py": """
import torch
class AlproVideoEvalProcessor:
    def __init__(self, image_size, n_frms): self.shape = 3, n_frms, image_size, image_size
    def __call__(self, path): return torch.Tensor(*self.shape)
""",
    "chatbridge/processors/blip_processors.py": """
import torch
class BlipAudioEvalProcessor:
    def __call__(self, banks): return torch.Tensor(1, 1024, 64)
""",
    "chatbridge/conversation/__init__.py": "",
    "chatbridge/conversation/conversation.py": """
import json, torch
class Conversation(list):
    def copy(self): return Conversation(self)
CONV_VIDEO, CONV_ONLYVIDEO = Conversation(["video"]), Conversation(["onlyvideo"])
class Chat:
    def __init__(self, model, eyes, ears, device):
        self.eyes, self.ears = eyes, ears
    def upload_img(self, path, conversation, media, type):
        print("moviepy talks")
        self.eyes(path)
        if type == "video":
            self.ears(torch.Tensor(1198, 64))
        media.append(type)
    def ask(self, text, conversation): conversation.append(text)
    def get_context_emb(self, conversation, media):
        return torch.Tensor(1, 64 + len(" ".join(conversation).split()), 4096)
    def answer(self, conversation, media, max_length=2000, **kwargs):
        tokens = self.get_context_emb(conversation, media).shape[1]
        clip = media if tokens + kwargs["max_new_tokens"] <= max_length else "cut off"
        return json.dumps([conversation, clip, kwargs, torch.seeds[-1]]), None
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
    assert said(see) == [["audio", "video"], "What is seen?", "ear", "video", greedy, 0]
    drawn = {"max_new_tokens": 32, "do_sample": True, "temperature": 0.5}
    assert said(draw) == [["audio", "video"], "What is heard?", "ear", "video", drawn, 1]
    assert see.usage == {"fed": {"frames": 16, "sound_s": 2.0, "tokens": 703, "context": 32768}}
    assert long == Answer(
        LONG.key, unsupported="40,700 tokens and 32 for the answer do not fit into the context of 32,768"
    )
    assert said(deaf)[:3] == [16, "What is seen?", None]
    assert deaf.usage["fed"]["sound_s"] == 0


def test_videollama2_whose_code_replaced_the_sound_by_zeros_gives_no_answer(tmp_path: Path) -> None:
    code = VIDEOLLAMA2["videollama2/mm_utils.py"].replace("READABLE = True", "READABLE = None")
    deaf = {**VIDEOLLAMA2, "videollama2/mm_utils.py": code}
    (see, draw, long), (without,) = answers(tmp_path, "run_videollama2", deaf, "checkpoint")
    for answer in (see, draw, long):
        assert answer.text is None
        assert "without the clip's sound" in str(answer.error)
    assert without.error is None


def test_pandagpt(tmp_path: Path) -> None:
    (see, draw, long), (deaf,) = answers(tmp_path, "run_pandagpt", PANDAGPT)
    assert said(see) == ["What is seen?", 1, 0, {"top_p": 1e-6, "temperature": 1.0, "max_tgt_len": 7}, 0]
    assert said(draw) == ["What is heard?", 1, 1, {"top_p": 0.9, "temperature": 0.5, "max_tgt_len": 32}, 1]
    fed = see.usage["fed"]
    assert fed == draw.usage["fed"] == {"frames": 10, "sound_s": fed["sound_s"], "tokens": 13, "context": 1024}
    assert fed["sound_s"] > 0
    assert f"{TOO_LONG} 1,024" in str(long.unsupported)
    assert said(deaf)[1:3] == [0, 0]
    assert deaf.usage["fed"]["sound_s"] == 0


def test_chatbridge(tmp_path: Path) -> None:
    (see, draw, long), (deaf,) = answers(tmp_path, "run_chatbridge", CHATBRIDGE, "eval.yaml")
    greedy = {"max_new_tokens": 7, "top_p": 1e-6, "temperature": 1.0}
    assert said(see) == [["video", "What is seen?"], ["video"], greedy, 0]
    assert said(draw)[0] == ["video", "What is heard?"]
    assert said(draw)[2:] == [{"max_new_tokens": 32, "top_p": 0.9, "temperature": 0.5}, 1]
    assert see.usage == {"fed": {"frames": 4, "sound_s": 10.24, "tokens": 68, "context": 2000}}
    assert (long.text, long.error) == (None, None)
    assert f"{TOO_LONG} 2,000" in str(long.unsupported)
    assert said(deaf)[:2] == [["onlyvideo", "What is seen?"], ["onlyvideo"]]


def json_lines() -> Any:
    spec = importlib.util.spec_from_file_location("json_lines", RUNNERS / "json_lines.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Code:
    """What a checkpoint may hold instead of weights."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('code ran')",)


def test_a_checkpoint_that_holds_code_is_refused_by_the_real_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.setattr(torch, "load", torch.load)  # so that it is put back
    monkeypatch.delenv("MMA_BENCH_TRUST_CHECKPOINTS", raising=False)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "good.pt")
    torch.save(Code(), tmp_path / "bad.pt")
    json_lines().load_weights_only(torch)
    assert list(torch.load(tmp_path / "good.pt")) == ["weight"]
    with pytest.raises(RuntimeError, match=r"bad\.pt holds more than weights.*MMA_BENCH_TRUST_CHECKPOINTS=1"):
        torch.load(tmp_path / "bad.pt", weights_only=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("trusted", ["", "1"])
def test_a_torch_that_must_run_code_is_told(
    trusted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MMA_BENCH_TRUST_CHECKPOINTS", trusted)
    old = SimpleNamespace(load=lambda path, map_location=None: path)
    json_lines().load_weights_only(old)
    assert old.load("weights.pt") == "weights.pt"
    assert "may run any code" in capsys.readouterr().err


@pytest.mark.parametrize("runner", ["run_videollama2", "run_chatbridge", "run_pandagpt"])
def test_runners_need_nothing_of_this_package(runner: str) -> None:
    assert "mma_bench" not in (RUNNERS / f"{runner}.py").read_text()
