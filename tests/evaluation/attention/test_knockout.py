"""The knockout against plain forward passes of an eager model whose masks are written by hand."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from mma_bench.evaluation.attention.knockout import Effect, Layers, cut_off, knock_out, layer_ranges
from mma_bench.models.contracts import Prompt
from mma_bench.models.omni.engine import OmniEngine, OmniSettings
from mma_bench.models.omni.token_groups import AUDIO, VIDEO, group_tokens
from mma_bench.training.miniature.checkpoint import Sizes, make_checkpoint
from mma_bench.training.miniature.tokenizer import Family
from tests.mma_bench.models.omni.omni_plain import OPTIONS, SETTINGS, TEXT, plain, task

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FAMILIES: tuple[Family, ...] = ("qwen2_5_omni", "qwen3_omni")
PROMPT = Prompt("visual", TEXT, options=OPTIONS)


@cache
def engine(family: Family) -> Any:
    """An engine on a checkpoint whose weights are large enough that every layer matters."""
    folder = Path(tempfile.mkdtemp(prefix="strong-omni-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_checkpoint(folder, family=family, sizes=Sizes(std=0.2))
    return OmniEngine(OmniSettings(checkpoint=str(folder), **SETTINGS))


def effects(family: Family, ranges: list[Layers], condition: str = "aligned") -> list[Effect]:
    made = engine(family)
    prepared = made.prepare(task(PROMPT, condition=condition))
    head, inputs = made._reader.read_clip(prepared.clip), prepared.prompts[0]
    groups = group_tokens([head.ids], made._reader._thinker.config)
    targets = dict(zip(OPTIONS[:2], inputs.options[:2], strict=True))
    text = made._reader._thinker.model.language_model
    return knock_out(made._reader, text, head, groups, inputs.ids, targets, ranges)


def by_hand(family: Family, layers: Layers | None, group: int, option: str) -> float:
    """The log-probability of an option with edges cut in masks that are put into single layers of an eager model."""
    made, asked = engine(family), task(PROMPT)
    own = made._reader._thinker
    model = type(own).from_pretrained(own.name_or_path, attn_implementation="eager").eval()
    inputs = plain(family).inputs(asked, PROMPT)
    ids = plain(family).processor.tokenizer(option + "<|im_end|>", return_tensors="pt")["input_ids"]
    whole = torch.cat([inputs["input_ids"], ids], dim=1)
    groups, length = group_tokens(whole, model.config)[0], whole.shape[1]
    cut = torch.zeros(length, length, dtype=torch.bool)
    cut[len(made.prepare(asked).clip.ids) :] = groups == group
    hidden = ~torch.ones(length, length, dtype=torch.bool).tril() | cut
    mask = torch.zeros(length, length).masked_fill(hidden, torch.finfo(torch.float32).min)[None, None]

    def put(_: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return arguments, {**named, "attention_mask": mask}

    for layer in model.model.language_model.layers[layers.first - 1 : layers.last] if layers else []:
        layer.register_forward_pre_hook(put, with_kwargs=True)
    with torch.inference_mode():
        logits = model(**inputs | {"input_ids": whole, "attention_mask": torch.ones_like(whole)}).logits[0]
    begin = inputs["input_ids"].shape[1] - 1
    answer = ids[0].tolist()
    return float(logits.log_softmax(-1)[range(begin, begin + len(answer)), answer].sum())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_equal_those_of_masks_written_by_hand(family: Family) -> None:
    ranges = [Layers(1, 3), Layers(2, 2)]
    found = effects(family, ranges)
    assert len(found) == 2 * len(ranges) * 2
    for effect in found:
        group = VIDEO if effect.modality == "video" else AUDIO
        assert effect.intact == pytest.approx(by_hand(family, None, group, effect.target), abs=5e-4)
        assert effect.cut == pytest.approx(by_hand(family, effect.layers, group, effect.target), abs=5e-4)
        assert abs(effect.cut - effect.intact) > 5e-3  # or the comparison would say nothing


def test_what_a_clip_does_not_have_is_not_cut() -> None:
    assert {effect.modality for effect in effects("qwen2_5_omni", [Layers(1, 3)], "audio_dropped")} == {"video"}


def test_what_is_hidden_has_no_influence_at_all() -> None:
    """With sight hidden everywhere from the clip's end on, other keys and values of sight give the same answer."""
    made: Any = engine("qwen2_5_omni")
    reader, prepared = made._reader, made.prepare(task(PROMPT))
    text, inputs = reader._thinker.model.language_model, prepared.prompts[0]
    scores = []
    for noise in (0.0, 3.0):
        head = reader.read_clip(prepared.clip)
        groups = group_tokens([head.ids], reader._thinker.config)
        with torch.inference_mode():
            for layer in head.cache.layers:
                layer.values[:, :, groups[0] == VIDEO] += noise
        with cut_off(text, groups, "video", Layers(1, 3)):
            scores.append(reader.score(reader.read(head, inputs.ids[:-1]), inputs.ids[-1], inputs.options[:1]))
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("layers", "ranges", "parts"),
    [
        (28, 4, [(1, 28), (1, 7), (8, 14), (15, 21), (22, 28)]),
        (3, 4, [(1, 3), (1, 1), (2, 2), (3, 3)]),
        (5, 2, [(1, 5), (1, 2), (3, 5)]),
        (4, 1, [(1, 4)]),
    ],
)
def test_ranges_cover_all_layers_once(layers: int, ranges: int, parts: list[tuple[int, int]]) -> None:
    assert layer_ranges(layers, ranges) == [Layers(*ends) for ends in parts]
