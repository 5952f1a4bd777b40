"""Stage `normalise`: acquired clips in, clips of the benchmark's length and geometry out, with their decoded facts.

Every clip that leaves is MP4 with H.264 (yuv420p, upright, constant frame rate) and AAC, so that the audio packets of
any clip can be combined with the video packets of any other. Sample rate and channels stay those of the source.

- **test**: native geometry with square pixels, at most `clip_s` long. A clip that already meets all this is copied
  packet by packet (see `copyable`), any other is re-encoded.
- **train** (appendix C): exactly `clip_s` long, a square of `train_size` pixels by cover-scaling and centre crop,
  always re-encoded; shorter clips are refused. With `train_min_s`, clips from that length on are kept as long as they
  are, which is what the authors' own script does.

A clip of `clip_s` holds the frames and the AAC packets that begin before `clip_s`: at 29.97 frames/s, 10 s are 300
frames (10.01 s), and sound lasts up to one packet longer. A train clip that lacks one frame of this counts as complete,
and so does one whose last frame is shown until then: its last frame is repeated. Sound that continues after the picture
is cut; missing sound at the end of a train clip is padded with silence.

Reasons to refuse a clip, besides those in `mma_bench.media`:

| reason | meaning |
|---|---|
| `truncated` | a packet is cut off, or less decodes than the header promises |
| `no_frames`, `no_audio_samples` | the file is well formed, but has no frames or samples within `clip_s` |
| `single_frame` | a still picture |
| `too_short` | test: under `min_test_s`; train: under `clip_s`, or `train_min_s` |
| `late_start` | picture (as decoded) and sound start more than 0.5 s apart, e.g. in a cut that begins off a key frame |
| `picture_gap` | no new picture is decoded for longer than `max_gap_s` |
| `frozen` | the decoded picture stands still for longer than `max_frozen_s` and moves at other times |
| `audio_too_short` | under 90 % of the picture has sound; the rest can be labelled neither as sound nor as silence |
| `silent` | the loudest 0.1 s are quieter than `min_rms_dbfs` |
| `black_picture` | no pixel is brighter than `validate.max_black_luma` |
| `still_picture` | the picture moves less than `validate.min_motion` |
| `wrong_length` | longer than `clip_s`, or for train shorter, by more than `validate.duration_tolerance_s` |
| `remux_differs` | the copied packets, read back, are not the source's |
| `encode_timed_out` | FFmpeg used ten minutes of CPU time |
"""

import math
import shutil
import subprocess
from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from mma_bench import layout
from mma_bench.config import NormaliseParams, Params, ValidateParams
from mma_bench.errors import ConfigError, InvalidInput
from mma_bench.executor import run
from mma_bench.executor.task import Task
from mma_bench.files import atomic_path, clip_path, file_sha256, fingerprint, remove_strays, write_json
from mma_bench.media.bounds import MIN_AUDIO_SHARE, check_bounds
from mma_bench.media.encode import Shape, encode
from mma_bench.media.facts import media_facts
from mma_bench.media.loudness import WINDOW_S, loudest_dbfs
from mma_bench.media.packets import packet_sha256
from mma_bench.media.pictures import Pictures, check_pictures, pictures
from mma_bench.media.probe import Probe, probe
from mma_bench.media.remux import remux
from mma_bench.media.timeline import Timeline, timeline
from mma_bench.schema import ACQUIRED, IDENTITY, NORMALISED, Split
from mma_bench.tables import outcome_counts, outcome_table, read_table, write_table

VERSION = 3  # of this stage's rules and of mma_bench.media: raise it to make every clip again
MAX_FPS = 60  # more frames add bytes, not evidence
MAX_LATE_START_S = 0.5
# Cameras and encoders round their rate: 30.001 frames/s is 30. Usual rates differ by 0.1 % or more.
_RATE_TOLERANCE = Fraction(2, 10_000)
HEADER_TOLERANCE_S = 0.5  # the headers of cut files are off by a few frames
_SAME_START_S = 0.1  # picture and sound that begin further apart are aligned by re-encoding
_MAX_PRIMING_S = 0.2  # sound hidden before the start: two packets of AAC at 11,025 Hz


def main(params: Params) -> None:
    """Normalise every acquired clip."""
    acquired = read_table(layout.ACQUIRED, ACQUIRED).filter(pl.col("status") == "ok").sort("split", "clip_id")
    clips = acquired.rows(named=True)
    settings, bounds = params.normalise, params.validate_
    encoder = encoder_version()
    tasks = [task_of(clip, settings, bounds, encoder) for clip in clips]
    entries = run(
        tasks,
        partial(normalise_and_check, settings, bounds),
        layout.ledger("normalise"),
        workers=params.workers,
        title="normalise",
        give_up_after=params.give_up_after,
        ray=params.on_ray(),
    )
    table = outcome_table(acquired.select(list(IDENTITY)).iter_rows(named=True), entries, NORMALISED)
    kept = [Path(path) for path in table["path"].drop_nulls()]
    remove_strays(layout.NORMALISED_CLIPS, kept)
    write_table(table, layout.NORMALISED, NORMALISED, ["split", "clip_id"])
    write_json(layout.metrics("normalise"), outcome_counts(table))


def encoder_version() -> str:
    """First line of `ffmpeg -version`: another encoder version writes other bytes.

    Raises:
        ConfigError: FFmpeg is not installed.
    """
    if shutil.which("ffmpeg") is None:
        raise ConfigError("the program ffmpeg is not on PATH", hint="install it; on Debian: apt-get install ffmpeg")
    answer = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()[0]


def task_of(clip: Mapping[str, Any], settings: NormaliseParams, bounds: ValidateParams, encoder: str) -> Task:
    """The clip's task, with a fingerprint of everything its result depends on."""
    payload = {name: clip[name] for name in ("clip_id", "split", "path")}
    checked = bounds.model_dump(exclude={"near_duplicate_bits"})
    return Task(
        key=f"{clip['split']}/{clip['clip_id']}",
        fingerprint=fingerprint(
            VERSION, encoder, settings.model_dump(exclude_defaults=True), checked, payload, clip["sha256"]
        ),
        payload=payload,
    )


def normalise_and_check(
    settings: NormaliseParams, bounds: ValidateParams, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """As `normalise_clip`, but a clip that the gate would not accept is refused, and its file removed.

    Raises:
        InvalidInput: See the table above.
    """
    result = normalise_clip(settings, payload)
    try:
        check_bounds(Path(result["path"]), Split(payload["split"]), result, settings, bounds)
    except InvalidInput:
        Path(result["path"]).unlink()
        raise
    return result


def normalise_clip(settings: NormaliseParams, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Write one clip and measure the written file.

    Returns:
        `path`, `sha256` and the keys of `mma_bench.schema.FACTS`.

    Raises:
        InvalidInput: See the table above.
    """
    source, split = Path(payload["path"]), Split(payload["split"])
    target = clip_path(layout.NORMALISED_CLIPS / split, payload["clip_id"])
    header = probe(source, max_pixels=settings.max_pixels, max_seconds=settings.max_source_s)
    times = timeline(source, settings.clip_s)
    check_source(source, times, header, settings.clip_s)
    seen = pictures(source, times.start_s, min(times.video_end_s, Fraction(settings.clip_s)))
    if (late_s := float(seen.start_s)) > MAX_LATE_START_S:
        raise InvalidInput("late_start", f"its first picture decodes {late_s:.2f} s after its start", subject=source)
    check_pictures(source, seen, settings)
    with atomic_path(target) as staged:
        if split is Split.TEST and copyable(header, times, seen):
            packets = remux(source, staged, min(settings.clip_s, float(times.video_end_s)))
            facts = facts_of(staged, target)
            check_copied(source, facts, packets)
        else:
            shape = shape_of(split, header, times, settings)
            encode(source, staged, shape)
            facts = facts_of(staged, target)
            if split is Split.TRAIN and settings.train_min_s is None and facts["frames"] < shape.frames:
                raise InvalidInput("too_short", f"{facts['frames']} frames, {shape.frames} are needed", subject=source)
        check_written(source, staged, split, facts, times, settings)
        sha256 = file_sha256(staged)
    return {"path": target.as_posix(), "sha256": sha256, **facts}


def check_source(source: Path, times: Timeline, header: Probe, clip_s: float) -> None:
    """Refuse a clip whose packets already show it to be unfit, before anything is encoded.

    Raises:
        InvalidInput: `truncated`, `late_start`, `audio_too_short`.
    """
    promised_s, found_s = header.duration_s or 0.0, float(max(times.video_end_s, times.audio_end_s))
    if found_s < min(promised_s, clip_s) - HEADER_TOLERANCE_S:
        raise InvalidInput(
            "truncated", f"the header promises {promised_s:.2f} s, it has {found_s:.2f} s", subject=source
        )
    late_s = float(max(times.video_start_s, times.audio_start_s))
    if late_s > MAX_LATE_START_S:
        raise InvalidInput("late_start", f"one stream begins {late_s:.2f} s after the other", subject=source)
    sound_s = times.audio_end_s - times.audio_start_s - times.audio_gaps_s
    picture_s = min(times.video_end_s, Fraction(clip_s))
    if sound_s < MIN_AUDIO_SHARE * picture_s:
        raise InvalidInput(
            "audio_too_short",
            f"{float(sound_s):.2f} s of sound for {float(picture_s):.2f} s of picture",
            subject=source,
        )


def copyable(header: Probe, times: Timeline, seen: Pictures) -> bool:
    """Whether a test clip already meets the requirements, so that its packets can stay untouched."""
    return (
        "mp4" in header.container.split(",")
        and (header.video_codec, header.pixel_format, header.audio_codec) == ("h264", "yuv420p", "aac")
        and not header.rotated
        and header.pixel_aspect == 1
        and header.channels <= 2
        and times.constant_rate
        and times.fps <= MAX_FPS * (1 + _RATE_TOLERANCE)
        and not times.continues
        and times.hidden_frames == 0
        and times.hidden_audio_s <= _MAX_PRIMING_S
        and times.audio_gaps_s == 0  # encoding fills them with silence
        and max(abs(times.start_s), seen.start_s, times.audio_start_s) <= _SAME_START_S
    )


def shape_of(split: Split, header: Probe, times: Timeline, settings: NormaliseParams) -> Shape:
    """What to encode the clip to."""
    fps = (times.fps if times.constant_rate else times.usual_fps).limit_denominator(1001)
    if header.fps is not None and abs(header.fps / fps - 1) < 0.02:
        fps = Fraction(header.fps).limit_denominator(1001)  # 30000/1001 even if the container rounds times
    fps = min(usual_rate(fps), Fraction(MAX_FPS))
    is_train = split is Split.TRAIN
    is_whole = is_train and settings.train_min_s is None
    seconds = settings.clip_s if is_whole else min(settings.clip_s, float(times.video_end_s))
    return Shape(
        fps=fps,
        frames=frames_within(seconds, fps),
        seconds=seconds,
        square=settings.train_size if is_train else None,
        fill=max(1, round(times.last_may_stand_s * fps)) if is_whole else 0,
        stretch=header.pixel_aspect != 1,
        sample_rate=header.sample_rate,
        channels=header.channels,
        preset=settings.preset,
    )


def usual_rate(fps: Fraction) -> Fraction:
    """The whole rate, or the NTSC one (whole × 1000/1001), within 0.02 % of `fps`; else `fps`."""
    whole = Fraction(round(fps))
    near = [rate for rate in (whole, whole * 1000 / 1001) if abs(fps - rate) <= rate * _RATE_TOLERANCE]
    return near[0] if near else fps


def frames_within(seconds: float, fps: Fraction) -> int:
    """How many frames begin before `seconds`."""
    return math.ceil(Fraction(seconds).limit_denominator(1_000_000) * fps)


def facts_of(staged: Path, target: Path) -> dict[str, Any]:
    """The facts of a file under its temporary name; errors name the clip's final path, which is the same on every
    run.
    """
    try:
        return media_facts(staged)
    except InvalidInput as error:
        error.subject = target
        raise


def check_copied(source: Path, facts: Mapping[str, Any], audio_packets: int) -> None:
    """Check that the packets written are the packets read.

    Raises:
        InvalidInput: `remux_differs`.
    """
    read = {
        "video_sha256": packet_sha256(source, "video"),
        "audio_sha256": packet_sha256(source, "audio", first=audio_packets),
    }
    for name, sha256 in read.items():
        if facts[name] != sha256:
            raise InvalidInput(
                "remux_differs", f"copied packets have {name} {facts[name]}, read {sha256}", subject=source
            )


def check_written(
    source: Path, written: Path, split: Split, facts: Mapping[str, Any], times: Timeline, settings: NormaliseParams
) -> None:
    """Refuse a clip that decoding shows to be unfit.

    Raises:
        InvalidInput: `truncated`, `too_short`, `silent`.
    """
    seen_s, announced_s = facts["video_duration_s"], min(float(times.video_end_s), settings.clip_s)
    if seen_s < announced_s - HEADER_TOLERANCE_S:
        raise InvalidInput(
            "truncated", f"the header announces {announced_s:.2f} s of picture, {seen_s:.2f} s decode", subject=source
        )
    least_s = settings.min_test_s if split is Split.TEST else settings.train_min_s
    if least_s is not None and seen_s < least_s:
        raise InvalidInput("too_short", f"decodes to {seen_s:.3f} s, {split} clips need {least_s:g} s", subject=source)
    # The loudest part is at least as loud as the whole, so most clips need no second decoding.
    if facts["rms_dbfs"] < settings.min_rms_dbfs and (loudest := loudest_dbfs(written)) < settings.min_rms_dbfs:
        raise InvalidInput(
            "silent",
            f"its loudest {WINDOW_S:g} s have {loudest:.1f} dBFS, at least {settings.min_rms_dbfs:g} are needed",
            subject=source,
        )
