"""Makes small clips and broken files for tests, with the FFmpeg program and by hand."""

import subprocess
from pathlib import Path

H264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
AAC = ("-c:a", "aac")
SILENCE = ("-f", "lavfi", "-i", "anullsrc=sample_rate=44100:channel_layout=stereo")


def picture(seconds: float = 2, size: str = "160x120", rate: str = "25", kind: str = "testsrc2") -> tuple[str, ...]:
    """FFmpeg's arguments for a moving test picture as input."""
    return ("-f", "lavfi", "-i", f"{kind}=size={size}:rate={rate}:duration={seconds}")


def plain(colour: str, seconds: float = 2, size: str = "160x120") -> tuple[str, ...]:
    """FFmpeg's arguments for a picture of one colour as input."""
    return ("-f", "lavfi", "-i", f"color={colour}:size={size}:rate=25:duration={seconds}")


def tone(seconds: float = 2, hz: int = 440, rate: int = 44_100) -> tuple[str, ...]:
    """FFmpeg's arguments for a sine of amplitude 1/8 (-21.07 dBFS) in one channel as input."""
    return ("-f", "lavfi", "-i", f"sine=frequency={hz}:duration={seconds}:sample_rate={rate}")


def make(path: Path, *arguments: str) -> Path:
    """Run FFmpeg with `arguments` and the output `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments, str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


def clip(path: Path, seconds: float = 2, size: str = "160x120", rate: str = "25") -> Path:
    """A sound H.264 + AAC clip."""
    return make(path, *picture(seconds, size, rate), *tone(seconds), *H264, *AAC)


def noise(path: Path, seconds: float = 6, size: str = "320x180") -> Path:
    """A heavy clip: noise that no encoder can make small, several MB."""
    picture = f"nullsrc=size={size}:rate=25:duration={seconds},geq=random(1)*255:128:128"
    inputs = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"anoisesrc=duration={seconds}:amplitude=0.3:seed=1")
    return make(path, *inputs, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv420p", *AAC)


def cut_off(source: Path, target: Path, share: float) -> Path:
    """The first `share` of the bytes of `source`."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def damaged(source: Path, target: Path) -> Path:
    """`source` with a run of bytes in the middle of its media data set to 0xFF."""
    data = bytearray(source.read_bytes())
    begin = data.index(b"mdat") + 4
    length = int.from_bytes(data[begin - 8 : begin - 4], "big") - 8
    middle = begin + length // 2
    data[middle : middle + length // 20] = b"\xff" * (length // 20)
    target.write_bytes(data)
    return target


def giant(source: Path, target: Path, side: int) -> Path:
    """`source`, an H.264 MP4 file, with headers that claim `side` × `side` pixels."""
    data = bytearray(source.read_bytes())
    entry = data.index(b"avc1", data.index(b"stsd"))
    data[entry + 28 : entry + 32] = min(side, 65_535).to_bytes(2, "big") * 2
    config = data.index(b"avcC") + 4  # AVCDecoderConfigurationRecord: six bytes, length of the SPS, the SPS
    length = int.from_bytes(data[config + 6 : config + 8], "big")
    parameters = _sequence_parameters(side // 16).ljust(length, b"\0")
    assert len(parameters) == length, "a longer parameter set would move every box"
    data[config + 8 : config + 8 + length] = parameters
    target.write_bytes(data)
    return target


def _sequence_parameters(macroblocks: int) -> bytes:
    """An H.264 sequence parameter set of the baseline profile for a square picture, with its start byte."""

    def golomb(value: int) -> str:
        digits = f"{value + 1:b}"
        return "0" * (len(digits) - 1) + digits

    bits = f"{66:08b}" + "0" * 8 + f"{62:08b}"  # profile, constraints, level
    bits += golomb(0) + golomb(0) + golomb(2) + golomb(1) + "0"  # id, frame numbers, picture order, references, gaps
    bits += golomb(macroblocks - 1) * 2 + "1" + "1" + "0" + "0" + "1"  # size, frames only, inference, crop, VUI, stop
    bits += "0" * (-len(bits) % 8)
    return b"\x67" + bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
