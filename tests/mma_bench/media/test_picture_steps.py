"""Pictures blurred, darkened, faded and replaced: the change is in the file, by a measurement of this test's own."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from mma_bench.errors import InvalidInput
from mma_bench.media.facts import media_facts
from mma_bench.media.picture_steps import degrade_video, replace_video
from mma_bench.schema import Manipulation
from tests.builders.noise_clips import Clip, ends, header, payloads, pictures, write
from tests.clips import AAC, H264, make, picture, plain, tone

BLUR, DARKNESS, LOW_CONTRAST = Manipulation.BLUR, Manipulation.DARKNESS, Manipulation.LOW_CONTRAST


def luma(path: Path) -> npt.NDArray[np.float64]:
    """[frames, height, width]"""
    height = header(path)["size"][1]
    return np.stack([planes[:height] if planes.ndim == 2 else planes[0] for _, planes in pictures(path)]).astype(float)


def grating(path: Path, cycles: int, side: int = 192) -> Path:
    """Stripes of `cycles` periods per height, of luma 126 ± 80, that do not move."""
    stripes = f"126+80*cos(2*PI*{cycles}*(Y+0.5)/{side})"
    source = (
        "-f",
        "lavfi",
        "-i",
        f"nullsrc=size={side}x{side}:rate=10:duration=1,format=yuv420p,geq={stripes}:128:128",
    )
    return make(path, *source, *tone(1.2), *H264, "-qp", "1", *AAC)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    inputs = (*picture(1, "160x120", "10"), *tone(1))
    return make(tmp_path_factory.mktemp("base") / "base.mp4", *inputs, *H264, *AAC)


@pytest.fixture(scope="module")
def donor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("donor") / "donor.mp4", *picture(3, "64x48"), *tone(3, 900), *H264, *AAC)


@pytest.mark.slow
@pytest.mark.parametrize("percent", [0, 0.5, 20, 50, 80, 95, 100])
def test_darkness_and_contrast_are_as_asked(percent: float, base: Path, donor: Path, tmp_path: Path) -> None:
    before, kept = luma(base), 1 - percent / 100
    dark = degrade_video(base, donor, tmp_path / "dark.mp4", manipulation=DARKNESS, percent=percent)
    assert dark.percent == pytest.approx(percent, abs=0.6)
    assert (luma(tmp_path / "dark.mp4") - 16).mean() == pytest.approx(kept * (before - 16).mean(), abs=1)
    faded = degrade_video(base, donor, tmp_path / "faded.mp4", manipulation=LOW_CONTRAST, percent=percent)
    assert faded.percent == pytest.approx(percent, abs=0.6)
    assert luma(tmp_path / "faded.mp4").mean() == pytest.approx(before.mean(), abs=1)
    assert luma(tmp_path / "faded.mp4").std() == pytest.approx(kept * before.std(), abs=1)


@pytest.mark.slow
@pytest.mark.parametrize(("percent", "cycles"), [(1, 8), (2, 6), (4, 4), (8, 2), (16, 1)])
def test_a_blur_lowers_a_grating_as_a_gaussian_does(
    percent: float, cycles: int, base: Path, donor: Path, tmp_path: Path
) -> None:
    stripes = grating(tmp_path / "stripes.mp4", cycles)
    degrade_video(stripes, donor, tmp_path / "out.mp4", manipulation=BLUR, percent=percent)
    left = luma(tmp_path / "out.mp4")[:, 32:-32, 32:-32].std() / luma(stripes)[:, 32:-32, 32:-32].std()
    assert left == pytest.approx(np.exp(-2 * (np.pi * percent / 100 * cycles) ** 2), abs=0.06)
    measured = degrade_video(base, donor, tmp_path / "out.mp4", manipulation=BLUR, percent=percent).percent
    assert measured == pytest.approx(percent, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "clip",
    [
        Clip(begins=(0, 300, 812, 1425, 2961, 3473), size=(65, 33), rate=16_000, sound_s=1.0),
        Clip(begins=(511, 1023, 2047, 2559), size=(48, 96), b_frames=0, layout="stereo", sound_s=1.0, sound_begin=700),
    ],
)
def test_frames_times_and_sound_are_kept_at_any_size_and_rate(clip: Clip, donor: Path, tmp_path: Path) -> None:
    source, out = write(tmp_path / "base.mp4", clip), tmp_path / "out.mp4"
    for step, percent in ((BLUR, 2), (DARKNESS, 50), (LOW_CONTRAST, 50)):
        taken = degrade_video(source, donor, out, manipulation=step, percent=percent).taken
        assert payloads(out, "audio") == payloads(donor, "audio")[:taken]
        shown, expected = pictures(out), pictures(source)
        assert [at - shown[0][0] for at, _ in shown] == [at - expected[0][0] for at, _ in expected]
        assert header(out)["size"] == header(source)["size"]
        assert ends(out)[0] - shown[0][0] == ends(source)[0] - expected[0][0]
    for step in (Manipulation.GREY, Manipulation.PIXEL_NOISE, Manipulation.FROZEN):
        replace_video(source, out, manipulation=step, seed=1)
        assert payloads(out, "audio") == payloads(source, "audio")
        assert [at for at, _ in pictures(out)] == [at for at, _ in pictures(source)]
        assert header(out)["size"] == header(source)["size"]
        assert ends(out) == ends(source)


def test_a_replaced_picture_shows_nothing_of_the_clip(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    assert replace_video(base, out, manipulation=Manipulation.GREY, seed=1) == pytest.approx(0, abs=0.02)
    assert np.abs(luma(out) - 126).max() <= 1
    assert abs(replace_video(base, out, manipulation=Manipulation.PIXEL_NOISE, seed=1)) < 0.05
    noise = luma(out)
    assert noise.std() > 40
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1, "drawn anew for each frame"
    assert replace_video(base, out, manipulation=Manipulation.FROZEN, seed=1) > 0.99
    assert media_facts(out)["motion"] < 0.1
    assert np.abs(luma(out) - luma(base)[0]).mean() < 2


def test_same_sources_and_seed_give_the_same_bytes(base: Path, donor: Path, tmp_path: Path) -> None:
    def made(name: str, seed: int) -> bytes:
        replace_video(base, tmp_path / f"{name}.mp4", manipulation=Manipulation.PIXEL_NOISE, seed=seed)
        return (tmp_path / f"{name}.mp4").read_bytes()

    assert made("one", 1) == made("again", 1)
    assert made("other", 2) != made("one", 1)
    for name in ("one", "again"):
        degrade_video(base, donor, tmp_path / f"{name}.mp4", manipulation=BLUR, percent=2)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()


def test_what_cannot_be_measured_is_refused_by_name(base: Path, donor: Path, tmp_path: Path) -> None:
    flat = make(tmp_path / "flat.mp4", *plain("gray", 1), *tone(1), *H264, *AAC)
    for step in (BLUR, DARKNESS, LOW_CONTRAST):
        with pytest.raises(InvalidInput, match=r"flat\.mp4") as error:
            degrade_video(flat, donor, tmp_path / "out.mp4", manipulation=step, percent=5)
        assert error.value.reason == "flat_picture"
    with pytest.raises(InvalidInput, match=r"base\.mp4") as error:
        degrade_video(donor, base, tmp_path / "out.mp4", manipulation=BLUR, percent=5)
    assert error.value.reason == "donor_too_short"
