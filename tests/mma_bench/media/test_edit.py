"""Media promises, checked on the written files by means of this test's own: payloads, times, decoded frames, sound."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import ClipError, InvalidInput, MachineFault
from mma_bench.media.edit import misalign, remove_audio, zero_frames
from tests.builders.noise_clips import TICKS, Clip, ends, header, payloads, pictures, sound, times, write
from tests.clips import cut_off, make


def assert_same_pictures(variant: Path, base: Path) -> None:
    seen, expected = pictures(variant), pictures(base)
    assert len(seen) == len(expected)
    begin = expected[0][0] - seen[0][0]
    assert [at for at, _ in seen] == [at - begin for at, _ in expected]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(seen, expected, strict=True))


def assert_misaligned(out: Path, base: Path, donor: Path, taken: int) -> None:
    assert payloads(out, "video") == payloads(base, "video")
    assert payloads(out, "audio") == payloads(donor, "audio")[:taken]
    assert header(out)["begins"] == (0, 0)
    assert_same_pictures(out, base)
    begin, heard = sound(out)
    _, source = sound(donor)
    assert begin == 0
    assert np.array_equal(heard, source[:, : heard.shape[1]])
    # Covers the picture, by no packet more than needed.
    needed = (ends(base)[0] - pictures(base)[0][0]) * header(donor)["sound"][0]
    assert needed <= heard.shape[1] < needed + 1024


def assert_silenced(out: Path, base: Path) -> None:
    assert payloads(out, "video") == payloads(base, "video")
    assert times(out, "video") == times(base, "video")
    assert_same_pictures(out, base)
    _, heard = sound(out)
    assert heard.size
    assert not heard.any()
    assert header(out) == header(base)
    assert ends(out) == ends(base)


def assert_blackened(out: Path, base: Path) -> None:
    assert payloads(out, "audio") == payloads(base, "audio")
    assert times(out, "audio") == times(base, "audio")
    assert np.array_equal(sound(out)[1], sound(base)[1])
    seen, expected = pictures(out), pictures(base)
    assert [at for at, _ in seen] == [at for at, _ in expected]
    height = header(base)["size"][1]
    for _, planes in seen:
        luma, chroma = (planes[:height], planes[height:]) if planes.ndim == 2 else (planes[0], planes[1:])
        assert (luma == 16).all()
        assert (chroma == 128).all()
    assert header(out) == header(base)
    assert ends(out) == ends(base)


frame_times = st.one_of(
    st.integers(2, 40).map(lambda n: [TICKS] * n),  # 30 frames/s
    st.lists(st.sampled_from([300, TICKS, 613, 3 * TICKS]), min_size=2, max_size=30),  # variable
)
clips = st.builds(
    lambda gaps, start, sound_begin, size, b_frames, rate, layout, seed: Clip(
        begins=tuple(start + sum(gaps[:i]) for i in range(len(gaps))),
        size=size,
        b_frames=b_frames,
        rate=rate,
        layout=layout,
        sound_begin=sound_begin,
        sound_s=0.5 + 2 * TICKS * len(gaps) / 15360,
        seed=seed,
    ),
    gaps=frame_times,
    start=st.sampled_from([0, 0, 511, 7680]),
    sound_begin=st.sampled_from([0, 0, 700, 12000]),
    size=st.sampled_from([(64, 64), (48, 96), (65, 33)]),
    b_frames=st.integers(0, 3),
    rate=st.sampled_from([16000, 22050, 44100, 48000]),
    layout=st.sampled_from(["mono", "stereo"]),
    seed=st.integers(0, 99),
)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(base=clips, donor=clips)
def test_every_variant_keeps_what_it_promises(
    tmp_path_factory: pytest.TempPathFactory, base: Clip, donor: Clip
) -> None:
    folder = tmp_path_factory.mktemp("clips")
    source = write(folder / "base.mp4", base)
    needed = (base.begins[-1] - base.begins[0] + 3 * TICKS) / 15360
    other = write(folder / "donor.mp4", replace(donor, sound_s=max(donor.sound_s, needed), seed=100))
    taken = misalign(source, other, folder / "misaligned.mp4")
    remove_audio(source, folder / "silent.mp4")
    zero_frames(source, folder / "black.mp4")
    assert_misaligned(folder / "misaligned.mp4", source, other, taken)
    assert_silenced(folder / "silent.mp4", source)
    assert_blackened(folder / "black.mp4", source)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("base") / "base.mp4", Clip())


def test_the_base_of_these_tests_has_b_frames(base: Path) -> None:
    presented = [at for at, _ in times(base, "video")]
    assert presented != sorted(presented)
    assert min(presented) == 0


@pytest.fixture(scope="module")
def donor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("donor") / "donor.mp4", Clip(seed=1, sound_s=1.5, rate=48000, layout="mono"))


OPERATIONS = {
    "misalign": lambda base, donor, out: misalign(base, donor, out),
    "remove_audio": lambda base, _, out: remove_audio(base, out),
    "zero_frames": lambda base, _, out: zero_frames(base, out),
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
Operation = Callable[[Path, Path, Path], Any]


@pytest.mark.slow
@each_operation
def test_same_sources_give_the_same_bytes_in_any_process(
    operation: Operation, base: Path, donor: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    operation(base, donor, tmp_path / "first.mp4")
    name = request.node.callspec.id
    sources = [base, donor] if name == "misalign" else [base]
    script = f"import sys; from pathlib import Path; from mma_bench.media.edit import {name} as f; "
    subprocess.run(
        [sys.executable, "-c", script + "f(*map(Path, sys.argv[1:]))", *sources, tmp_path / "second.mp4"], check=True
    )
    first = (tmp_path / "first.mp4").read_bytes()
    assert first == (tmp_path / "second.mp4").read_bytes()
    # Neither a library's version nor a moment of writing: other machines and days give the same bytes.
    assert b"Lavf" not in first
    with av.open(str(tmp_path / "first.mp4")) as container:
        assert "creation_time" not in container.metadata
        assert "encoder" not in container.metadata
    assert first.index(b"moov") < first.index(b"mdat")


def test_black_frames_and_silence_are_tiny_and_constant(base: Path, tmp_path: Path) -> None:
    zero_frames(base, tmp_path / "black.mp4")
    remove_audio(base, tmp_path / "silent.mp4")
    black, silent = payloads(tmp_path / "black.mp4", "video"), payloads(tmp_path / "silent.mp4", "audio")
    assert black[::2] == black[:1] * 15
    assert black[1::2] == black[1:2] * 15
    assert black[0] != black[1]  # two IDR frames in a row must differ in their identifier
    assert len(set(silent)) == 1
    # No encoder's name, which would change with its version.
    assert b"x264" not in (tmp_path / "black.mp4").read_bytes()
    assert b"Lavc" not in (tmp_path / "silent.mp4").read_bytes()
    assert max(map(len, black)) < 60
    assert len(silent[0]) < 16
    with av.open(str(tmp_path / "black.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert all(packet.is_keyframe for packet in packets)
        assert container.streams.video[0].codec_context.color_range != 2  # not full range: 16 is black


def test_donor_shorter_than_the_base_is_refused_by_name(base: Path, tmp_path: Path) -> None:
    short = write(tmp_path / "short.mp4", Clip(sound_s=0.9))
    with pytest.raises(InvalidInput) as error:
        misalign(base, short, tmp_path / "out.mp4", slack_s=0.05)
    assert error.value.reason == "donor_too_short"
    assert "short.mp4: 0.900 s of sound" in error.value.detail
    assert f"the picture of {base} lasts 1.000 s" in error.value.detail
    assert not (tmp_path / "out.mp4").exists()
    taken = misalign(base, short, tmp_path / "out.mp4", slack_s=0.101)
    assert payloads(tmp_path / "out.mp4", "audio") == payloads(short, "audio")
    assert taken == len(payloads(short, "audio"))


@pytest.mark.parametrize("codec", ["libopus", "libmp3lame"])
def test_sound_of_other_codecs_is_carried_over(codec: str, base: Path, tmp_path: Path) -> None:
    clip = Clip(codecs=("libx264", codec), rate=48000, layout="mono", sound_s=1.5, seed=2)
    other = write(tmp_path / "other.mp4", clip)
    taken = misalign(base, other, tmp_path / "out.mp4")
    assert payloads(tmp_path / "out.mp4", "audio") == payloads(other, "audio")[:taken]
    _, heard = sound(tmp_path / "out.mp4")
    assert np.array_equal(heard, sound(other)[1][:, : heard.shape[1]])
    remove_audio(other, tmp_path / "silent.mp4")
    assert not sound(tmp_path / "silent.mp4")[1].any()
    assert header(tmp_path / "silent.mp4")["sound"] == (48000, "mono")


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["libvpx-vp9", "libx265"])
def test_pictures_of_other_codecs_are_carried_over(codec: str, donor: Path, tmp_path: Path) -> None:
    base = write(tmp_path / "base.mp4", Clip(codecs=(codec, "aac")))
    assert_misaligned(tmp_path / "out.mp4", base, donor, misalign(base, donor, tmp_path / "out.mp4"))
    zero_frames(base, tmp_path / "black.mp4")
    assert_blackened(tmp_path / "black.mp4", base)


def test_what_an_edit_list_hides_stays_hidden(base: Path, donor: Path, tmp_path: Path) -> None:
    # A cut without re-encoding: packets before the cut are in the file, for the decoder only.
    cut = make(tmp_path / "cut.mp4", "-ss", "0.4", "-i", str(base), "-c", "copy")
    cut_donor = make(tmp_path / "cut-donor.mp4", "-ss", "0.3", "-i", str(donor), "-c", "copy")
    assert len(payloads(cut, "video")) > len(pictures(cut))
    assert len(payloads(cut_donor, "audio")) > sound(cut_donor)[1].shape[1] / 1024 + 2
    taken = misalign(cut, cut_donor, tmp_path / "out.mp4")
    assert_misaligned(tmp_path / "out.mp4", cut, cut_donor, taken)
    zero_frames(cut, tmp_path / "black.mp4")
    assert [at for at, _ in pictures(tmp_path / "black.mp4")] == [at for at, _ in pictures(cut)]
    with av.open(str(tmp_path / "black.mp4")) as container:
        assert container.streams.video[0].frames == len(pictures(cut))  # black needs none hidden
    remove_audio(cut, tmp_path / "silent.mp4")
    assert_same_pictures(tmp_path / "silent.mp4", cut)


@pytest.mark.slow
@each_operation
def test_sight_and_sound_lie_side_by_side_in_the_file(operation: Operation, tmp_path: Path) -> None:
    # Longer than what a muxer holds back by itself.
    long = Clip(begins=tuple(range(0, 15360 * 24, 7680)), sound_s=24.0, rate=16000, layout="mono")
    operation(write(tmp_path / "base.mp4", long), write(tmp_path / "donor.mp4", long), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        placed = sorted((p.pos, p.stream.type, p.dts * p.time_base) for p in container.demux() if p.size)
    reached = {"video": Fraction(0), "audio": Fraction(0)}
    for _, kind, at in placed:
        reached[kind] = at
        assert abs(reached["video"] - reached["audio"]) < 1.5


def test_pixel_aspect_ratio_of_the_container_is_kept(base: Path, donor: Path, tmp_path: Path) -> None:
    wide = make(tmp_path / "wide.mp4", "-i", str(base), "-c", "copy", "-aspect", "16:9")
    for operation in OPERATIONS.values():
        operation(wide, donor, tmp_path / "out.mp4")
        assert header(tmp_path / "out.mp4")["aspect"] == Fraction(16, 9)


@each_operation
def test_broken_sources_are_refused_by_name(operation: Operation, base: Path, donor: Path, tmp_path: Path) -> None:
    whole = make(tmp_path / "whole.mp4", "-i", str(base), "-c", "copy", "-movflags", "+faststart")
    cut_off(whole, tmp_path / "cut.mp4", 0.5)
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "empty.mp4").touch()
    for name, reason in (
        ("cut.mp4", "truncated"),
        ("text.mp4", "unreadable"),
        ("empty.mp4", "empty_file"),
        ("absent.mp4", "missing_file"),
    ):
        with pytest.raises(ClipError) as error:
            operation(tmp_path / name, donor, tmp_path / "out" / "out.mp4")
        assert (error.value.reason, name in error.value.detail) == (reason, True)
    with pytest.raises(MachineFault, match=r"absent\.mp4"):
        misalign(base, tmp_path / "absent.mp4", tmp_path / "out.mp4")
    assert not list(tmp_path.glob("**/*out*.mp4"))


def test_a_missing_stream_is_refused_by_name(base: Path, donor: Path, tmp_path: Path) -> None:
    mute = write(tmp_path / "mute.mp4", Clip(codecs=("libx264", None)))
    blind = write(tmp_path / "blind.mp4", Clip(codecs=(None, "aac")))
    for call, reason in (
        (lambda out: misalign(base, mute, out), "no_audio_stream"),
        (lambda out: misalign(blind, donor, out), "no_video_stream"),
        (lambda out: remove_audio(mute, out), "no_audio_stream"),
        (lambda out: remove_audio(blind, out), "no_video_stream"),
        (lambda out: zero_frames(blind, out), "no_video_stream"),
        (lambda out: zero_frames(mute, out), "no_audio_stream"),
    ):
        with pytest.raises(InvalidInput, match=r"mute\.mp4|blind\.mp4") as error:
            call(tmp_path / "out.mp4")
        assert error.value.reason == reason


def test_what_mp4_or_aac_cannot_hold_is_refused(base: Path, donor: Path, tmp_path: Path) -> None:
    odd = make(tmp_path / "odd.mkv", "-i", str(base), "-c:v", "huffyuv", "-c:a", "wmav2")
    for call, reason in (
        (lambda out: misalign(odd, donor, out), "codec_not_in_mp4"),
        (lambda out: misalign(base, odd, out), "codec_not_in_mp4"),
        (lambda out: remove_audio(odd, out), "codec_not_in_mp4"),
    ):
        with pytest.raises(InvalidInput, match=r"odd\.mkv") as error:
            call(tmp_path / "out.mp4")
        assert error.value.reason == reason
    flac = ("-c:a", "flac", "-ar", "192000", "-strict", "-2")
    fast = make(tmp_path / "fast.mp4", "-i", str(base), "-c:v", "copy", *flac)
    with pytest.raises(InvalidInput, match=r"fast\.mp4: no AAC at 192000 Hz") as error:
        remove_audio(fast, tmp_path / "out.mp4")
    assert error.value.reason == "no_silent_aac"
    assert not (tmp_path / "out.mp4").exists()


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Writing a file beyond `size` bytes fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
@each_operation
@pytest.mark.parametrize("size", [0, 8000])
def test_a_full_disk_is_no_fault_of_the_clip_and_leaves_the_old_file(
    operation: Operation, size: int, base: Path, donor: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    with full_disk(size), pytest.raises(OSError, match=r"out\.mp4"):
        operation(base, donor, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert out.read_bytes() == b"old"
