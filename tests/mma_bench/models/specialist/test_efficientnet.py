"""EfficientNet-Lite2 on photographs of the sample, and on checkpoints that are none."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mma_bench.errors import DataError
from mma_bench.models.specialist.efficientnet import EfficientNetLite2, prepared
from mma_bench.models.specialist.specialist import Specialist

PHOTOS = Path(__file__).parents[4] / "sample" / "photos"


@pytest.fixture(scope="module")
def eyes(specialist: Specialist) -> EfficientNetLite2:
    return EfficientNetLite2(specialist.lite2_weights)


def photo(name: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(PHOTOS / name).convert("RGB"))


@pytest.mark.parametrize(
    ("name", "index"), [("gc-jaguar.webp", 290), ("gc-dog.webp", 235), ("gc-chicken.webp", 8), ("gc-duck.webp", 99)]
)
def test_sees_what_is_there(eyes: EfficientNetLite2, name: str, index: int) -> None:
    (probabilities,) = eyes.probabilities(photo(name)[None])
    assert probabilities.shape == (1000,)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert probabilities.argmax() == index
    assert probabilities[index] > 0.5


def test_each_frame_is_seen_for_itself_and_the_same_every_time(eyes: EfficientNetLite2) -> None:
    dog, jaguar = photo("gc-dog.webp")[:600], photo("gc-jaguar.webp")[:600]
    frames = np.stack([dog, jaguar, dog])
    first, other, third = eyes.probabilities(frames)
    np.testing.assert_array_equal(first, third)
    assert (first.argmax(), other.argmax()) == (235, 290)
    np.testing.assert_array_equal(eyes.probabilities(frames)[0], first)


def test_the_edges_of_a_wide_picture_are_seen(eyes: EfficientNetLite2) -> None:
    """A crop to the middle would not see the dog at the edge of a picture twice as wide."""
    dog = photo("gc-dog.webp")
    wide = np.concatenate([dog, np.full_like(dog, 128)], axis=1)
    (probabilities,) = eyes.probabilities(wide[None])
    assert probabilities[235] > 0.2


@pytest.mark.parametrize(("level", "value"), [(0, -127 / 128), (127, 0.0), (255, 1.0)])
def test_pixels_are_scaled_as_the_network_was_trained(level: int, value: float) -> None:
    frame = np.full((30, 50, 3), 127, np.uint8)
    frame[:, :, 2] = level  # blue is the third channel
    picture = prepared(frame)
    assert tuple(picture.shape) == (1, 3, 260, 260)
    np.testing.assert_allclose(picture[0, 2], value, atol=1e-6)
    np.testing.assert_allclose(picture[0, :2], 0, atol=1e-6)


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    weights, proof = tmp_path / "weights.pth", tmp_path / "proof"
    weights.write_bytes(pickle.dumps(Attack(proof), protocol=2))
    with pytest.raises(DataError, match=r"weights\.pth is not a checkpoint of EfficientNet-Lite2"):
        EfficientNetLite2(weights)
    assert not proof.exists()


def test_a_cut_checkpoint_and_one_of_another_network_are_named(specialist: Specialist, tmp_path: Path) -> None:
    import torch

    cut, other, empty = (tmp_path / name for name in ("cut.pth", "other.pth", "empty.pth"))
    empty.touch()
    cut.write_bytes(specialist.lite2_weights.read_bytes()[:100_000])
    torch.save({"weight": torch.zeros(2)}, other)
    for path in (cut, other, empty):
        with pytest.raises(DataError, match=rf"{path.name} is not a checkpoint"):
            EfficientNetLite2(path)
