"""The scaler of a clip gives what PyAV's own call gives frame by frame, whatever came before."""

from typing import Literal

import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from mma_bench.media.scaling import Scaler

SIDES = st.integers(1, 40).map(lambda half: 2 * half)
METHODS = st.sampled_from([("gray", "AREA"), ("rgb24", "BICUBIC"), ("yuv420p", "BICUBIC")])


@st.composite
def frames(draw: st.DrawFn) -> VideoFrame:
    width, height, pixel_format = draw(SIDES), draw(SIDES), draw(st.sampled_from(["yuv420p", "yuv444p", "rgb24"]))
    levels = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (height, width, 3), np.uint8)
    return VideoFrame.from_ndarray(levels, format="rgb24").reformat(format=pixel_format)


@given(given=st.lists(frames(), min_size=1, max_size=5), width=SIDES, height=SIDES, target=METHODS)
def test_frames_of_any_shape_are_scaled_as_one_by_one(
    given: list[VideoFrame], width: int, height: int, target: tuple[str, Literal["AREA", "BICUBIC"]]
) -> None:
    pixel_format, method = target
    alone = [frame.reformat(width, height, pixel_format, interpolation=method).to_ndarray() for frame in given]
    scaler = Scaler()
    held = [scaler.scaled(frame, width, height, pixel_format, method) for frame in given]
    for frame, expected in zip(held, alone, strict=True):
        assert np.array_equal(frame.to_ndarray(), expected)


def test_a_frame_that_fits_is_the_same_one() -> None:
    frame = VideoFrame(16, 8, "gray")
    assert Scaler().scaled(frame, 16, 8, "gray", "AREA") is frame


def test_the_scaler_is_set_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted:
        def __init__(self) -> None:
            made.append(self)

        def reformat(self, frame: VideoFrame, *_: object, threads: int, **__: object) -> VideoFrame:
            assert threads == 1
            return frame

    monkeypatch.setattr("mma_bench.media.scaling.VideoReformatter", Counted)
    scaler = Scaler()
    for _ in range(3):
        scaler.scaled(VideoFrame(8, 8, "gray"), 4, 4, "gray", "AREA")
    assert len(made) == 1
