"""The README's picture: one clip under every condition, with what is seen, heard and asked, and what is right.

In: `variants.parquet` with its clips. Out: a PNG. Not a stage: the picture is kept in the repository and made anew
when its look should change, with

    python -m mma_bench.builders.pages.picture docs/images/overview.png
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np
import numpy.typing as npt
import polars as pl

from mma_bench import layout
from mma_bench.builders.pages.gallery import choose
from mma_bench.builders.pages.previews import peaks
from mma_bench.errors import ClipError, DataError, MmaBenchError
from mma_bench.files import atomic_path
from mma_bench.page import LIGHT, chart_style
from mma_bench.prompts import NONE_OF_THE_ABOVE
from mma_bench.schema import PAPERS_CONDITIONS, VARIANTS, Condition, Split
from mma_bench.tables import read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FRAMES: Final = 4
_FRAME_SIZE: Final = (192, 144)  # px, width × height
_BINS: Final = 260
_NAMES: Final = {
    Condition.ALIGNED: "In agreement",
    Condition.MISALIGNED: "In conflict",
    Condition.AUDIO_REMOVED: "Ears shut",
    Condition.FRAMES_ZEROED: "Eyes closed",
    Condition.MISLEADING_CAPTION: "Misled",
    Condition.LONG_CONTEXT: "Distracted",
}
_WORDS: Final = ("no", "one", "two", "three", "four", "five", "six")


def strip(path: Path) -> npt.NDArray[np.uint8]:
    """Frames of the clip side by side, cropped to one shape: uint8 [height, width, 3]."""
    from PIL import Image, ImageOps

    from mma_bench.media.decode import frames

    gap = np.full((_FRAME_SIZE[1], 4, 3), 255, np.uint8)
    tiles: list[npt.NDArray[np.uint8]] = []
    for frame in frames(path, _FRAMES):
        tiles += [np.asarray(ImageOps.fit(Image.fromarray(frame), _FRAME_SIZE)), gap]
    return np.concatenate(tiles[:-1], axis=1)


@chart_style()
def picture(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """The figure.

    Args:
        rows: Rows of VARIANTS of one base clip, one of each condition; their files are decoded.
    """
    from matplotlib.figure import Figure

    base = rows[0]
    composed = "photo + sound" in base["source"]
    figure = Figure((12.0, 2.12 + 1.02 * len(rows)), dpi=140, facecolor="white")
    figure.set_layout_engine("none")
    height = 1 / (len(rows) + 2.08)
    name = base["visual_class"].replace("_", " ").lower()
    made = "photo + sound with camera motion, not a recording" if composed else base["source"]
    title = f"One clip ({name}) under {_WORDS[len(rows)]} conditions"
    _text(figure, 0.025, 1 - 0.36 * height, title, 18, weight="bold")
    asked = "“Which class best describes the visual content of this video?”, and the same for the audio content."
    _text(figure, 0.025, 1 - 0.76 * height, f"Asked each time: {asked}", 10)
    _text(
        figure,
        0.025,
        1 - 1.04 * height,
        f"Shown: {base['base_id']}, {made}. Where a sense is gone, “{NONE_OF_THE_ABOVE}” is right if it is offered.",
        10,
        colour="muted",
    )
    for x, heading, colour in (
        (0.185, "SIGHT", "sight"),
        (0.525, "SOUND", "sound"),
        (0.695, "TEXT", "muted"),
        (0.83, "WHAT IS RIGHT", "ink"),
    ):
        _text(figure, x, 1 - 1.46 * height, heading, 8.5, colour=colour, weight="bold")
    for index, row in enumerate(rows):
        bottom = 1 - (index + 2.6) * height
        _draw_row(figure, row, bottom, height)
    _text(figure, 0.025, 0.012, base["licence"], 6.5, colour="muted")
    return figure


def _draw_row(figure: "Figure", row: Mapping[str, Any], bottom: float, height: float) -> None:
    condition = Condition(row["condition"])
    path = Path(row["path"])
    middle = bottom + height / 2
    line = figure.add_axes((0.025, bottom + height, 0.95, 0.001))
    line.set_axis_off()
    line.axhline(0, color=LIGHT["line"], linewidth=1)
    _text(figure, 0.025, middle + 0.12 * height, _NAMES[condition], 12.5, weight="bold")
    _text(figure, 0.025, middle - 0.16 * height, condition, 8.5, colour="muted", family="monospace")

    seen = _axes(figure, (0.185, bottom + 0.07 * height, 0.315, 0.86 * height))
    seen.imshow(strip(path), aspect="auto", interpolation="lanczos")
    heard = _axes(figure, (0.525, bottom + 0.14 * height, 0.145, 0.72 * height))
    loudness = np.maximum(peaks(path, _BINS), 0.012)
    heard.fill_between(np.arange(_BINS), -loudness, loudness, color=LIGHT["sound"], linewidth=0)
    heard.set_ylim(-1.05, 1.05)
    heard.set_xlim(0, _BINS - 1)

    asked, colour, style = "the question", "muted", "italic"
    if condition == Condition.MISLEADING_CAPTION:
        asked, colour, style = f"“Video_caption:\n {row['caption']}.”\n+ the question", "ink", "normal"
    elif condition == Condition.LONG_CONTEXT:
        words = len(row["context"].split())
        asked, colour, style = f"the question\n+ {words:,} irrelevant\nwords", "ink", "normal"
    _text(figure, 0.695, middle, asked, 9, colour=colour, style=style)

    for place, (verb, answer, gone, shade) in enumerate(
        (
            ("seen", row["visual_class"], condition == Condition.FRAMES_ZEROED, "sight"),
            ("heard", row["audio_class"], condition == Condition.AUDIO_REMOVED, "sound"),
        )
    ):
        y = middle + (0.2 - 0.4 * place) * height
        _text(figure, 0.83, y, verb, 9, colour="muted")
        if gone:
            _text(figure, 0.872, y, NONE_OF_THE_ABOVE, 8, colour=shade, style="italic")
        else:
            _text(
                figure, 0.872, y, answer.replace("_", " "), 10.5 if len(answer) < 12 else 8, colour=shade, weight="bold"
            )


def _axes(figure: "Figure", box: tuple[float, float, float, float]) -> "Axes":
    axes = figure.add_axes(box)
    axes.set_axis_off()
    return axes


def _text(
    figure: "Figure",
    x: float,
    y: float,
    text: str,
    size: float,
    *,
    colour: str = "ink",
    weight: str = "normal",
    style: str = "normal",
    family: str = "sans-serif",
) -> None:
    looks: dict[str, Any] = {"size": size, "color": LIGHT[colour], "weight": weight, "style": style, "family": family}
    figure.text(x, y, text, va="center", linespacing=1.35, **looks)


def rows_of(variants: pl.DataFrame, base_id: str) -> list[dict[str, Any]]:
    """The first good row of the clip under each condition, in the paper's order."""
    good = variants.filter((pl.col("status") == "ok") & (pl.col("base_id") == base_id)).sort("id")
    by_condition = {row["condition"]: row for row in reversed(good.to_dicts())}
    return [by_condition[condition] for condition in PAPERS_CONDITIONS if condition in by_condition]


@click.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--clip", "base_id", help="The base clip to show.  [default: the gallery's first]")
def main(out: Path, base_id: str | None) -> None:
    """Draw one clip of the build in the current folder under every condition."""
    try:
        rows = _chosen(read_table(layout.VARIANTS, VARIANTS), base_id)
        drawing = picture(rows)
    except (MmaBenchError, ClipError) as error:
        raise click.ClickException(str(error)) from None
    with atomic_path(out) as beside:
        drawing.savefig(beside, metadata={"Software": None})
    click.echo(f"wrote {out}")


def _chosen(variants: pl.DataFrame, base_id: str | None) -> list[dict[str, Any]]:
    good = variants.filter((pl.col("status") == "ok") & (pl.col("split") == Split.TEST))
    if base_id is None:
        shown = choose(variants)
        base_id = max(shown, key=lambda base: len(shown[base]), default="")
    rows = rows_of(good, base_id)
    if not rows:
        raise DataError(f"no test clip {base_id!r} to show", hint="name a base_id of data/variants.parquet")
    return rows


if __name__ == "__main__":
    main()
