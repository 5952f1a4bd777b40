"""Misaligned variants: packets swapped in process, against `ffmpeg -c copy` started per clip and against moviepy.

Run with `python benchmarks/variants.py`. All three make the same variants of the same clips, batch by batch in turn,
so that a busy machine slows all of them; what counts is the ratio, round by round. Ours includes the wait until the
files are on the disk, once for a batch as the stage has it; the others do not wait for theirs. ffmpeg copies packets as
we do. moviepy decodes and encodes again; it gets its fastest preset.
"""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mma_bench.files import sync_files, synced_later
from mma_bench.media.edit import misalign
from mma_bench.media.packets import packet_sha256

CLIPS = 4
IN_A_BATCH = 12  # about as many variants as a worker makes before they are synced
ROUNDS = 9
MOVIEPY_ROUNDS = 1  # it is slow
FFMPEG_TARGET, MOVIEPY_TARGET = 15, 50

Way = Callable[[Path, Path, Path], object]


def write_clip(path: Path, number: int) -> Path:
    """10 s of 640×480 H.264 at 30 frames/s, about 1 Mbit/s, and AAC stereo at 44.1 kHz."""
    picture = f"testsrc2=size=640x480:rate=30:duration=10,hue=h={60 * number}"
    tone = f"sine=frequency={300 + 100 * number}:sample_rate=44100:duration=10"
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone]
    codecs = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2"]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *inputs, *codecs, str(path)], check=True)
    return path


def by_ffmpeg(base: Path, donor: Path, out: Path) -> None:
    """One ffmpeg process that copies packets."""
    inputs = ["-i", str(base), "-i", str(donor), "-map", "0:v:0", "-map", "1:a:0"]
    subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-y", *inputs, "-c", "copy", "-shortest", str(out)], check=True
    )


def by_moviepy(base: Path, donor: Path, out: Path) -> None:
    """moviepy's way to replace the sound of a clip."""
    from moviepy import AudioFileClip, VideoFileClip

    with VideoFileClip(str(base)) as picture, AudioFileClip(str(donor)) as sound:
        length = min(picture.duration, sound.duration)
        mixed = picture.with_audio(sound.subclipped(0, length))
        mixed.write_videofile(str(out), preset="ultrafast", audio_codec="aac", logger=None)


def seconds(way: Way, clips: list[Path], folder: Path, variants: int) -> float:
    """Mean time per variant over a batch: each clip with the sound of the next, again and again."""
    folder.mkdir()
    os.sync()  # or ours would also wait for what the others left unwritten
    begin = time.perf_counter()
    with synced_later() as paths:
        for number in range(variants):
            base, donor = (clips[(number + step) % len(clips)] for step in (0, 1))
            way(base, donor, folder / f"{number}.mp4")
    sync_files(paths)  # none of the others'
    return (time.perf_counter() - begin) / variants


def measure(folder: Path) -> dict[Way, list[float]]:
    """Seconds per variant of each way, round by round."""
    clips = [write_clip(folder / f"{number}.mp4", number) for number in range(CLIPS)]
    rounds = {misalign: ROUNDS, by_ffmpeg: ROUNDS, by_moviepy: MOVIEPY_ROUNDS}
    variants = {misalign: IN_A_BATCH, by_ffmpeg: CLIPS, by_moviepy: CLIPS}
    times: dict[Way, list[float]] = {way: [] for way in rounds}
    for way in rounds:
        seconds(way, clips, folder / f"{way.__name__}-warm-up", CLIPS)
        kept = packet_sha256(folder / f"{way.__name__}-warm-up/0.mp4", "video") == packet_sha256(clips[0], "video")
        if kept == (way is by_moviepy):
            raise SystemExit(f"{way.__name__} does not do what this benchmark says of it")
    for turn in range(ROUNDS):
        for way, taken in times.items():
            if turn < rounds[way]:
                taken.append(seconds(way, clips, folder / f"{way.__name__}-{turn}", variants[way]))
    return times


def main() -> None:
    """Print medians, and the median of the rounds' ratios."""
    with tempfile.TemporaryDirectory() as folder:
        times = measure(Path(folder))
    ours = times[misalign]
    print("misaligned variant of a 10 s clip (640×480 H.264, AAC), seconds per clip")
    print(f"  {'packets swapped in process':32}{statistics.median(ours):8.4f}")
    for way, name, target in (
        (by_ffmpeg, "ffmpeg -c copy, started per clip", FFMPEG_TARGET),
        (by_moviepy, "moviepy", MOVIEPY_TARGET),
    ):
        ratio = statistics.median(theirs / own for theirs, own in zip(times[way], ours, strict=False))
        median = statistics.median(times[way])
        print(f"  {name:32}{median:8.4f}   {ratio:6.1f} times as long (target: at least {target})")


if __name__ == "__main__":
    main()
