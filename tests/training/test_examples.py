"""Examples and batches: the evaluation's tokens, loss on the answer alone, and the same loss in any company."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from mma_bench.errors import DataError, InvalidInput
from mma_bench.models.contracts import ClipTask, Prompt
from mma_bench.models.omni.inputs import InputMaker
from mma_bench.training.clips import TrainClips
from mma_bench.training.collate import Collate
from mma_bench.training.examples import IGNORED, Example, ExampleSet, HeadCache
from mma_bench.training.miniature.tokenizer import Family
from mma_bench.training.train import read_sft
from tests.mma_bench.models.omni.omni_plain import SETTINGS, clip, engine, plain, task
from tests.training import small as making

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FAMILIES: tuple[Family, ...] = ("qwen2_5_omni", "qwen3_omni")
SIZE = {"shortest_edge": SETTINGS["min_pixels"], "longest_edge": SETTINGS["max_pixels"]}


class Given:
    """Clips by id, in the place of a dataset."""

    def __init__(self, **tasks: ClipTask) -> None:
        self.tasks, self.read = tasks, 0

    def task(self, row_id: str) -> ClipTask:
        self.read += 1
        return self.tasks[row_id]


# Different lengths and sizes; one without sound.
CLIPS = {
    "short": task(seed=1),
    "long": task(seed=2, video=clip(2, seconds=4)),
    "wide": task(seed=3, video=clip(3, size=(112, 56))),
    "mute": task(seed=4, condition="audio_dropped"),
}
ASKED = [("short", "visual", "Cat"), ("mute", "visual", "Bowed string instrument"), ("long", "audio", "Dog")]
ASKED += [("wide", "audio", "Bird"), ("short", "audio", "Bowed string instrument")]


def rows() -> list[dict[str, Any]]:
    return [
        {"example_id": f"{name}.{question}.0", "id": name, "prompt": f"What {question} is it?", "answer": answer}
        for name, question, answer in ASKED
    ]


def example_set(family: Family = "qwen2_5_omni", clips: Any = None, **settings: Any) -> ExampleSet:
    processor = engine(family)._processor
    usual: dict[str, Any] = {"fps": 2.0, "max_frames": None, "cache": HeadCache(10**9)}
    return ExampleSet(
        rows(),
        clips or Given(**CLIPS),
        InputMaker(processor, system=None, size=SIZE),
        processor.video_processor,
        plain(family).model.get_rope_index,
        **usual | settings,
    )


@cache
def examples(family: Family) -> list[Example]:
    made = example_set(family)
    return [made[index] for index in range(len(made))]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_an_example_is_what_the_model_is_asked_then_the_answer_and_the_end_token(family: Family) -> None:
    tokenizer = engine(family)._processor.tokenizer
    for example, (name, question, answer) in zip(examples(family), ASKED, strict=True):
        asked = plain(family).inputs(CLIPS[name], Prompt("q", f"What {question} is it?"))
        wanted = [*asked["input_ids"][0].tolist(), *tokenizer(f"{answer}<|im_end|>")["input_ids"]]
        assert example.ids.tolist() == wanted
        kept = example.labels != IGNORED
        assert tokenizer.decode(example.labels[kept]) == f"{answer}<|im_end|>"
        assert example.labels[kept].tolist() == example.ids[kept].tolist()
        assert not kept[: -int(kept.sum())].any()
        assert torch.equal(example.media["pixel_values_videos"], asked["pixel_values_videos"])
        assert ("input_features" in example.media) == (name != "mute")


def losses(family: Family, batch: list[Example]) -> tuple[list[float], torch.Tensor]:
    """The loss of each example of a batch, and the gradient of their sum with respect to one weight."""
    model = plain(family).model
    tail = max(int((e.labels != IGNORED).sum()) for e in examples(family)) + 1
    inputs = Collate(tail, 0)(batch)
    labels = inputs.pop("labels")
    assert inputs.pop("example_ids") == [example.example_id for example in batch]
    assert inputs.pop("faults") == {}
    weight = model.model.language_model.layers[0].self_attn.q_proj.weight
    logits = model(**inputs, use_cache=False).logits[:, -tail:]
    each = torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=IGNORED, reduction="none"
    ).sum(dim=1)
    (gradient,) = torch.autograd.grad(each.sum(), weight)
    return each.tolist(), gradient


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_that_mixes_clips_gives_each_example_the_loss_that_it_has_alone(family: Family) -> None:
    alone = [losses(family, [example]) for example in examples(family)]
    together, gradient = losses(family, examples(family))
    assert together == pytest.approx([loss for (loss,), _ in alone], rel=1e-5)
    assert torch.allclose(gradient, torch.stack([one for _, one in alone]).sum(dim=0), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_the_log_likelihood_that_the_evaluation_gives(family: Family) -> None:
    for example, (name, question, answer) in zip(examples(family), ASKED, strict=True):
        asked = CLIPS[name]
        prompt = Prompt("q", f"What {question} is it?", mode="score", options=(answer,))
        answers = engine(family).answer([replace(asked, prompts=(prompt,))])
        assert losses(family, [example])[0] == pytest.approx(
            [-value for value in answers[0][0].logprobs.values()], 1e-4
        )


def test_clips_are_processed_once_while_the_cache_has_room_and_never_more_bytes_are_held() -> None:
    clips = Given(**CLIPS)
    made = example_set(clips=clips)
    for _ in range(2):
        _ = [made[index] for index in range(len(made))]
    assert clips.read == len(CLIPS)
    one = max(
        sum(t.nelement() * t.element_size() for t in (*e.media.values(), e.ids, e.positions))
        for e in examples("qwen2_5_omni")
    )
    cache_of_one = HeadCache(one)
    clips = Given(**CLIPS)
    made = example_set(clips=clips, cache=cache_of_one)
    for _ in range(2):
        for index in range(len(made)):
            assert torch.equal(made[index].ids, examples("qwen2_5_omni")[index].ids)
            assert sum(head.bytes for head in cache_of_one._heads.values()) == cache_of_one._held <= one
    assert clips.read > len(CLIPS)


def test_an_unreadable_clip_gives_an_example_without_loss_that_says_why() -> None:
    broken = Given(**CLIPS | {"long": task(seed=2, video=b"no media")})
    example = example_set(clips=broken)[2]
    assert (example.fault or "").startswith("clip long cannot be read: ")
    assert not (example.labels != IGNORED).any()
    batch = Collate(5, 0)([examples("qwen2_5_omni")[0], example])
    assert batch["faults"] == {"long.audio.0": example.fault}
    assert batch["labels"][1].tolist() == [IGNORED] * 5


def test_a_prompt_with_special_tokens_is_refused_by_example(monkeypatch: pytest.MonkeyPatch) -> None:
    def special(*_: Any) -> Any:
        raise InvalidInput("special_tokens", "the text contains special tokens")

    monkeypatch.setattr(InputMaker, "prompt", special)
    with pytest.raises(DataError, match=r"example short\.visual\.0: the text contains special tokens"):
        example_set()


def test_clips_come_from_the_dataset_by_id(small: Path) -> None:
    sft = read_sft(small / "sft", ["aligned", "misaligned"])
    clips = TrainClips(str(small / "dataset"), None, sft.train)
    by_id = {row["id"]: row for row in making.clip_rows()}
    assert set(clips.ids()) == {row_id for row_id, row in by_id.items() if row["base_id"] not in making.HELD_OUT}
    for row_id in clips.ids():
        got = clips.task(row_id)
        assert (got.id, got.condition, got.video) == (
            row_id,
            by_id[row_id]["condition"],
            by_id[row_id]["video"]["bytes"],
        )
    fewer = TrainClips(str(small / "dataset"), None, sft.train.head(2))
    assert (
        fewer.fingerprint() != clips.fingerprint() == TrainClips(str(small / "dataset"), None, sft.train).fingerprint()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.with_columns(id=pl.lit("a.nothing")), r"has no clip a\.nothing \(aligned, train\)"),
        (lambda rows: rows.with_columns(condition=pl.lit("audio_removed")), "has no train split of 'audio_removed'"),
    ],
)
def test_a_clip_that_the_dataset_lacks_is_named(
    small: Path, change: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    rows = read_sft(small / "sft", ["aligned"]).train.head(1)
    with pytest.raises(DataError, match=message):
        TrainClips(str(small / "dataset"), None, change(rows))


def test_an_older_dataset_in_the_cache_is_not_taken_for_this_one(small: Path, tmp_path: Path) -> None:
    rows = making.clip_rows()
    rows[0] |= {"video": {"bytes": b"another clip", "path": "a.mp4"}, "video_sha256": "0" * 64}
    wanted = read_sft(small / "sft", ["aligned"]).train
    TrainClips(str(small / "dataset"), None, wanted)  # in the cache from here on
    changed = TrainClips(str(making.write_dataset(tmp_path / "dataset", rows)), None, wanted)
    assert changed.task("a.aligned").video == b"another clip"
    before = TrainClips(str(small / "dataset"), None, wanted)
    assert before.task("a.aligned").video == making.clip_rows()[0]["video"]["bytes"]
    assert changed.fingerprint() != before.fingerprint()
