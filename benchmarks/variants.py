"""Misaligned variants: packets swapped in process, against `ffmpeg -c copy` started per clip and against moviepy.

Run with `python benchmarks/variants.py`. All three make the same variants of the same clips in the same run, in turn,
so that a busy machine slows all of them; what counts is the ratio of the medians. ffmpeg copies packets as we do and
does not sync its file to the disk, which we do. moviepy decodes and encodes again; it gets its fastest preset.
"""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mma_bench.builders.variants import misalign

from mma_bench.media.packets import packet_sha256

CLIPS, ROUNDS = 4, 8  # variants per way: 4 × 8; moviepy 4 × 1, being slow
FFMPEG_TARGET, MOVIEPY_TARGET = 10, 50

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


def seconds(way: Way, base: Path, donor: Path, out: Path) -> float:
    """How long one variant takes."""
    begin = time.perf_counter()
    way(base, donor, out)
    return time.perf_counter() - begin


def measure(folder: Path) -> dict[Way, float]:
    """Median seconds per variant of each way."""
    clips = [write_clip(folder / f"{number}.mp4", number) for number in range(CLIPS)]
    out = folder / "out.mp4"
    for way in (misalign, by_ffmpeg):  # warm, and known to do the same work
        way(clips[0], clips[1], out)
        if packet_sha256(out, "video") != packet_sha256(clips[0], "video"):
            raise SystemExit(f"{way.__name__} did not keep the video packets: there is nothing to compare")
    by_moviepy(clips[0], clips[1], out)
    times: dict[Way, list[float]] = {misalign: [], by_ffmpeg: [], by_moviepy: []}
    for turn in range(ROUNDS):
        for number, base in enumerate(clips):
            donor = clips[(number + 1) % CLIPS]
            for way, taken in times.items():
                if way is not by_moviepy or turn == 0:
                    taken.append(seconds(way, base, donor, out))
    return {way: statistics.median(taken) for way, taken in times.items()}


def main() -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        medians = measure(Path(folder))
    ours = medians[misalign]
    print("misaligned variant of a 10 s clip (640×480 H.264, AAC), median seconds per clip")
    print(f"  {'packets swapped in process':32}{ours:8.4f}")
    for way, name, target in (
        (by_ffmpeg, "ffmpeg -c copy, started per clip", FFMPEG_TARGET),
        (by_moviepy, "moviepy", MOVIEPY_TARGET),
    ):
        print(f"  {name:32}{medians[way]:8.4f}   {medians[way] / ours:6.1f}× slower   (target: at least {target}×)")


if __name__ == "__main__":
    main()
