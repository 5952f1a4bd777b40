"""The camera: it moves, it keeps the object in view, and it takes any photograph."""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mma_bench.builders.sources.camera import LONGER_SIDE, film, read_photo, scene, windows
from mma_bench.errors import InvalidInput

SAMPLE = Path(__file__).parents[3] / "sample"
FLOOR = 2.0  # four times the least motion that the gates ask for


def luma(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The luma plane of a frame as `film` gives it."""
    return planes[: planes.shape[0] * 2 // 3]


def motion(photo: Path, clip_id: str) -> float:
    """Mean absolute luma difference of 64×64 thumbnails 0.2 s apart over one circle, as the table's fact `motion`."""
    frames = film(scene(read_photo(photo)), clip_id, 25, 5)
    small = [np.asarray(Image.fromarray(luma(frame)).resize((64, 64), Image.Resampling.BOX), float) for frame in frames]
    return float(np.abs(np.diff(np.stack(small), axis=0)).mean() * 255 / 219)


@pytest.mark.slow
def test_every_clip_of_the_sample_moves() -> None:
    with (SAMPLE / "manifest.csv").open(encoding="utf-8") as stream:
        measured = {row["clip_id"]: motion(SAMPLE / row["photo"], row["clip_id"]) for row in csv.DictReader(stream)}
    assert len(measured) == 38
    assert {clip_id: value for clip_id, value in measured.items() if value < FLOOR} == {}


@settings(deadline=None, max_examples=60)
@given(clip_id=st.text(max_size=30), frames=st.integers(2, 260), fps=st.sampled_from([5, 24, 25, 30]))
def test_the_window_stays_on_the_canvas_and_the_middle_in_view(clip_id: str, frames: int, fps: int) -> None:
    boxes = np.array(list(windows(clip_id, frames, fps)))
    assert boxes.shape == (frames, 4)
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    left, top, right, bottom = boxes.T
    np.testing.assert_allclose(right - left, bottom - top, atol=2e-6)  # nothing is stretched
    assert (np.abs(np.diff(boxes, axis=0)).max(axis=1) > 0.001).all()  # it never stands still
    # Cut-outs fill 0.74 of the canvas; all of that is always seen.
    assert max(left.max(), top.max()) <= 0.13 + 1e-5
    assert min(right.min(), bottom.min()) >= 0.87 - 1e-5


def test_the_path_depends_on_the_clip() -> None:
    paths = {tuple(windows(clip_id, 3, 25)) for clip_id in map(str, range(50))}
    assert len(paths) > 40


@pytest.mark.parametrize("size", [(1024, 768), (683, 1024), (33, 31), (3000, 40), (1, 700)])
def test_a_photo_keeps_its_aspect(size: tuple[int, int]) -> None:
    width, height = scene(Image.new("RGB", size, (200, 30, 30))).size
    assert max(width, height) == LONGER_SIDE
    assert width % 2 == height % 2 == 0
    if min(size) * LONGER_SIDE / max(size) >= 16:
        # Half of two pixels is what rounding to even sides can change.
        assert abs(min(width, height) - min(size) * LONGER_SIDE / max(size)) <= 1
    else:
        assert min(width, height) == 16


@pytest.mark.parametrize(("size", "frame"), [((300, 100), (640, 480)), ((50, 400), (480, 640)), ((80, 80), (640, 640))])
def test_a_cut_out_fills_most_of_the_frame_and_is_whole(size: tuple[int, int], frame: tuple[int, int]) -> None:
    photo = Image.new("RGBA", (500, 500))
    photo.paste((255, 0, 0, 255), (20, 60, 20 + size[0], 60 + size[1]))
    what = scene(photo)
    assert what.size == frame
    for planes in film(what, "any", 4, 1):
        dark = luma(planes) < 140  # red is darker than the ground
        assert not dark[[0, -1]].any()
        assert not dark[:, [0, -1]].any()
        rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
        assert max(np.ptp(rows) / frame[1], np.ptp(columns) / frame[0]) > 0.8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_any_kind_of_image_is_taken(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("photo.jpg" if mode in ("CMYK", "YCbCr") else "photo.png")
    Image.new(mode, (40, 30)).save(path)
    frame = next(iter(film(scene(read_photo(path)), "any", 1, 25)))
    assert frame.shape == (720, 640)


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    photo = Image.new("RGB", (40, 20))
    exif = photo.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    photo.save(tmp_path / "photo.jpg", exif=exif)
    assert read_photo(tmp_path / "photo.jpg").size == (20, 40)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", "cut"])
def test_what_is_no_image_is_refused_by_name(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "photo.webp"
    whole = (SAMPLE / "photos" / "gc-cat.webp").read_bytes()
    path.write_bytes(whole[:5000] if isinstance(content, str) else content)
    with pytest.raises(InvalidInput, match=r"photo\.webp") as caught:
        read_photo(path)
    assert caught.value.reason == "unreadable_photo"
