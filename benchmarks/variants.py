"""Misaligned variants: packets swapped in process, against `ffmpeg -c copy` started per clip and against moviepy.

Run with `python benchmarks/variants.py`. All three make the same variants of the same clips, batch by batch in turn,
so that a busy machine slows all of them; what counts is the ratio, round by round. Ours includes the wait until the
files are on the disk, once for a batch as the stage has it; the others do not wait for theirs. ffmpeg copies packets as
we do. moviepy decodes and encodes again; it gets its fastest preset.

Last, the three variants of a clip that have media of their own under the paper's conditions, as the stage makes them:
written, hashed, decoded, and compared with their sources. The rival is the bare FFmpeg work in them, without any check:
one process that copies or encodes for each. What counts there are CPU seconds.
"""

import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mma_bench.builders.conflicts import make_variant
from mma_bench.files import file_sha256, sync_files, synced_later
from mma_bench.media import facts
from mma_bench.media.edit import misalign
from mma_bench.media.packets import packet_sha256
from mma_bench.schema import Condition

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


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of a call, its own and of the programs that it starts."""

    def spent() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    begin = spent()
    work()
    return spent() - begin


def stage_variants(base: Path, donor: Path, folder: Path) -> None:
    """As the stage makes them; nothing of another call is kept, not even the facts of a picture."""
    facts._DECODED.clear()
    sources = {
        role: {"clip_id": role, "path": str(path), "sha256": file_sha256(path), "found": file_sha256(path)}
        for role, path in (("base", base), ("donor", donor))
    }
    for condition in (Condition.MISALIGNED, Condition.AUDIO_REMOVED, Condition.FRAMES_ZEROED):
        payload = {"id": f"ours.{condition}", "condition": condition, "folder": str(folder), "slack_s": 0.0, **sources}
        make_variant(payload)


def bare_variants(base: Path, donor: Path, folder: Path) -> None:
    """The same by FFmpeg alone: the sound of another clip, silence, black frames."""
    silence = ["-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo", "-map", "0:v:0", "-map", "1:a:0", "-shortest"]
    black = ["-map", "0:v:0", "-map", "0:a:0", "-vf", "lutyuv=y=16:u=128:v=128", "-c:a", "copy"]
    by_ffmpeg(base, donor, folder / "bare.misaligned.mp4")
    for name, options in (
        ("audio_removed", [*silence, "-c:v", "copy", "-c:a", "aac"]),
        ("frames_zeroed", [*black, "-c:v", "libx264", "-preset", "veryfast", "-threads", "1"]),
    ):
        arguments = ["-threads", "1", "-i", str(base), *options, str(folder / f"bare.{name}.mp4")]
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments], check=True)


def measure_stage(folder: Path) -> tuple[list[float], list[float]]:
    """CPU seconds of a clip's three variants, ours and bare, round by round."""
    base, donor = folder / "0.mp4", folder / "1.mp4"
    found = [
        (cpu_s(lambda: stage_variants(base, donor, folder)), cpu_s(lambda: bare_variants(base, donor, folder)))
        for _ in range(ROUNDS)
    ]
    return [own for own, _ in found[1:]], [bare for _, bare in found[1:]]  # the first warms up


def main() -> None:
    """Print medians, and the median of the rounds' ratios."""
    with tempfile.TemporaryDirectory() as folder:
        times = measure(Path(folder))
        own, bare = measure_stage(Path(folder))
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
    ratio = statistics.median(theirs / mine for theirs, mine in zip(bare, own, strict=True))
    print("the three variants of a clip, written and verified, CPU seconds")
    print(f"  {'ours':32}{statistics.median(own):8.4f}")
    print(f"  {'bare FFmpeg':32}{statistics.median(bare):8.4f}   {ratio:6.2f} times as long (target: at least 0.95)")


if __name__ == "__main__":
    main()
