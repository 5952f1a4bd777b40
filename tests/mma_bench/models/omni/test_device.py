"""What only a GPU would show: tensors that meet on two devices, and waits for the device inside a loop.

There need not be a GPU. torch's fake tensors say that they are on one and refuse to be combined with tensors of the
CPU; calls by which the host reads a tensor or sends one are counted.
"""

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.overrides import TorchFunctionMode

from mma_bench.evaluation.attention.capture import capture
from mma_bench.evaluation.attention.knockout import Layers, cut_off
from mma_bench.models.omni.inputs import ClipInputs, PromptInputs
from mma_bench.models.omni.prefix import Prefix, Reader
from tests.mma_bench.models.omni.omni_plain import engine
from tests.mma_bench.models.omni.test_prefix import ASKED, read

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class Calls(TorchFunctionMode):
    """Counts calls of torch's functions by name."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        self.count[getattr(function, "__name__", "")] += 1
        return function(*arguments, **(named or {}))


def counted(work: Callable[[], Any]) -> Counter[str]:
    """Calls by which the host reads a tensor of the device, and by which it sends one there."""
    with Calls() as calls:
        work()
    reads = ("item", "tolist", "cpu", "numpy", "__int__", "__bool__", "__float__")
    return Counter(
        {
            "reads": sum(calls.count[name] for name in reads),
            "sends": sum(calls.count[name] for name in ("tensor", "as_tensor", "from_numpy")),
        }
    )


@pytest.mark.parametrize("penalty", [None, 1.3])
def test_a_token_is_read_once_and_nothing_is_sent_for_it(
    penalty: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    thinker = engine()._reader._thinker
    monkeypatch.setattr(thinker.generation_config, "repetition_penalty", penalty)
    reader = Reader(thinker)
    prefix, last = read("qwen2_5_omni")
    reader._end = frozenset()
    few, many = (counted(lambda n=n: reader.generate(prefix, last, max_new_tokens=n)) for n in (4, 12))  # type: ignore[misc]
    assert many["reads"] - few["reads"] == 8
    assert many["sends"] == few["sends"] > 0


def test_options_are_read_together() -> None:
    reader = engine()._reader
    prefix, last = read("qwen2_5_omni")
    options = [[70 + index, 71, 72] for index in range(20)]
    few, many = (counted(lambda n=n: reader._score(prefix, last, options[:n], lambda logits: logits)) for n in (2, 20))  # type: ignore[misc]
    assert many["sends"] == few["sends"] > 0


class Faked:
    """A thinker and a prefilled prompt on a GPU that is not there."""

    def __init__(self, own: Any) -> None:
        with torch.device("cuda"):
            thinker = type(own)._from_config(copy.deepcopy(own.config), dtype=torch.bfloat16).eval()
        thinker.generation_config = copy.deepcopy(own.generation_config)
        self.text = thinker.model.language_model
        self.reader = Reader(thinker)
        self.prefix: Prefix = self.reader.read(self.reader.nothing(), list(range(30)))


def test_text_stays_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Qwen2.5-Omni; the experts of Qwen3-Omni ask for the properties of a real GPU."""
    # Otherwise tensors of one number or none are really made, which needs the device.
    monkeypatch.setattr("torch._subclasses.fake_tensor.CONSTANT_NUMEL_LIMIT", -1)
    own = engine()._reader._thinker
    with FakeTensorMode():
        groups = torch.zeros(1, 30, dtype=torch.int8)
        faked = Faked(own)
        assert faked.prefix.cache.layers[0].keys.is_cuda
        with pytest.raises(DataDependentOutputException, match="_local_scalar_dense"):  # the one read per token
            faked.reader.generate(faked.prefix, 3, max_new_tokens=2)
        with pytest.raises(DataDependentOutputException, match="_local_scalar_dense"):  # the scores
            faked.reader.score(faked.prefix, 3, [[4, 5, 6], [4, 7]])
        with (
            capture(faked.text, groups, rows=True) as recorder,
            pytest.raises(DataDependentOutputException, match="_local_scalar_dense"),
        ):
            faked.reader.generate(faked.prefix, 3, max_new_tokens=2)
        assert all(sums.is_cuda for step in recorder._steps for sums, _ in step)
        with (
            cut_off(faked.text, groups, "video", Layers(1, 2)),
            pytest.raises(DataDependentOutputException, match="_local_scalar_dense"),
        ):
            faked.reader.score(faked.prefix, 3, [[4, 5, 6], [4, 7]])


def test_positions_of_a_clip_are_counted_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = engine().prepare(ASKED)
    assert isinstance(prepared.clip, ClipInputs)
    assert isinstance(prepared.prompts[0], PromptInputs)
    reader = engine()._reader
    given: dict[str, Any] = {}
    index = reader._thinker.get_rope_index

    def note(ids: torch.Tensor, **named: Any) -> Any:
        given.update(named, input_ids=ids)
        return index(ids, **named)

    monkeypatch.setattr(reader._thinker, "get_rope_index", note)
    reader.read_clip(prepared.clip)
    assert all(given[name] is prepared.clip.tensors[name] for name in ("input_ids", "video_grid_thw", "attention_mask"))


def test_clips_are_pinned_while_they_are_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    engine().prepare(ASKED)
    assert not pinned
    monkeypatch.setattr(engine(), "_on_gpu", True)
    clip = engine().prepare(ASKED).clip
    assert isinstance(clip, ClipInputs)
    assert len(pinned) == len(clip.tensors)
