"""Names of clips: each has one reading, and the forms that other tools leave are known."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mma_bench.builders.sources.naming import SUFFIXES, Cut, parse_name

ID = "-abc_1Y34_Z"
IDS = st.text("ABCXYZabcxyz0123456789_-", min_size=11, max_size=11)


@settings(deadline=None, max_examples=200)
@given(
    video_id=IDS,
    prefix=st.sampled_from(["", "Y", "v"]),
    start_s=st.integers(0, 590),
    length_s=st.integers(1, 10),
    form=st.sampled_from(["s", "s.0", "s.000", "zeros", "ms"]),
    parts=st.integers(0, 2),
    join=st.sampled_from("_-"),
    end=st.sampled_from(["", "_out"]),
    suffix=st.sampled_from([*SUFFIXES, ".MP4"]),
)
def test_every_usual_name_of_every_segment_is_read_back(
    video_id: str,
    prefix: str,
    start_s: int,
    length_s: int,
    form: str,
    parts: int,
    join: str,
    end: str,
    suffix: str,
) -> None:
    write = {"s": "{}", "s.0": "{:.1f}", "s.000": "{:.3f}", "zeros": "{:06d}", "ms": "{}"}[form].format
    factor = 1000 if form == "ms" else 1
    times = [start_s, start_s + length_s][:parts]
    name = (
        prefix
        + video_id
        + join.join(["", *(write(time * factor) for time in times)]).replace("-", "_", 1)
        + end
        + suffix
    )
    expected = [time * 1000 for time in times] + [None, None]
    assert parse_name(name) == Cut(video_id, expected[0], expected[1])


@settings(deadline=None, max_examples=300)
@given(stem=st.text("Yv_-.013aout", min_size=10, max_size=24))
@example("Yabcdefghij__30")
@example("Yabcdefghij_30")
@example("Y_________3_3")
def test_no_name_has_two_readings(stem: str) -> None:
    number = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
    rest = rf"(?:_{number}(?:[_-]{number})?)?(?:_out)?"
    with_y = re.fullmatch(rf"[Yv]([\w-]{{11}}){rest}", stem, re.ASCII)
    without = re.fullmatch(rf"([\w-]{{11}}){rest}", stem, re.ASCII)
    assert with_y is None or without is None
    readings = [match[1] for match in (with_y, without) if match]
    cut = parse_name(f"{stem}.mp4")
    assert ([cut.video_id] if cut else []) == readings


@pytest.mark.parametrize(
    "name",
    [
        "abcdefghij.mp4", "Xabcdefghijk.mp4", "abcdefghijk.mp3", "abcdefghijk", "abcdefghijk_.mp4", ".mp4", "",
        "abcdefghijk_30_40_50.mp4", "abcdefghijk_-30.mp4", "abcdefghijk_30_.mp4", "abcdefghijk_3e1.mp4",
        "abcdefghijk_٣٠.mp4", "abcdefghijk_30.mp4\n", "abcdefghijk_30\n.mp4", "abcdefghijk_nan.mp4", "abcdefgh/jk.mp4",
        "abcdefghi\0k.mp4", "\u202eabcdefghij.mp4", "abcdefghijk.mp4.part", ".tmp-abcdefghijk.mp4", "ábcdefghijk.mp4",
        "abcdefghijk_" + "1" * 4096 + ".mp4",
    ],
)  # fmt: skip
def test_other_names_are_not_ours(name: str) -> None:
    assert parse_name(name) is None


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        (f"[{ID}]-[20-30].mp4", Cut(ID, 20_000, 30_000)),
        (f"v{ID}_26_36_out.mkv", Cut(ID, 26_000, 36_000)),
        (f"Title [{ID}].mp4", Cut(ID)),
        (f"A [first] [abcdefghijk] and [{ID}].webm", Cut(ID)),
        (f"Title [{ID}]_30000_40000.mp4", Cut(ID, 30_000, 40_000)),
        (f"{ID}_30.avi", Cut(ID, 30_000)),
        (f"{ID}.flv", Cut(ID)),
        (f"Title [{ID}].f137.mp4", None),  # a picture that yt-dlp has not merged with its sound
        (f"Title-{ID}.mp4", None),  # the id may begin earlier
        (f"[{ID}]-[20-30.mp4", None),
    ],
)
def test_forms_that_other_tools_leave(name: str, cut: Cut | None) -> None:
    assert parse_name(name) == cut
