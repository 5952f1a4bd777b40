"""The dataset's page: what it shows is what the tables say, and it is safe to open and to send."""

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mma_bench import layout
from mma_bench.builders import report
from mma_bench.builders.pages import charts, gallery, picture
from mma_bench.builders.pages.previews import preview_of
from mma_bench.classes import load_classes
from mma_bench.config import Params, load_params
from mma_bench.errors import DataError
from mma_bench.media.decode import frames
from mma_bench.schema import PAIRS, PAPERS_CONDITIONS, VARIANTS, VERDICTS, Condition
from mma_bench.tables import from_rows, read_table, write_table
from tests.browser import CHROMIUM, faults
from tests.clips import noise as make_noise

HOSTILE = '<script>alert("x")</script><img src=http://evil.example/x.png onerror=alert(1)>'


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(Path(__file__).parents[2] / "params.yaml")


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory, params: Params, make_build: Callable[[Path], None]) -> str:
    root = tmp_path_factory.mktemp("built")
    make_build(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        report.main(params)
        first = report.PAGE.read_bytes()
        report.main(params)
        assert report.PAGE.read_bytes() == first, "equal inputs gave another page"
    return first.decode()


class Page(HTMLParser):
    """What a browser would make of a page: elements by tag, text, and all that it would fetch or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: dict[str, list[dict[str, str | None]]] = {}
        self.unsafe = re.findall(r"@import[^;]*|url\((?!#)[^)]*\)", html)
        self.text = ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.setdefault(tag, []).append(dict(attrs))
        self.text += "" if tag == "b" else " "
        for name, value in attrs:
            fetches = name in ("src", "srcset", "poster", "data", "background") or (name == "href" and tag != "a")
            outside = fetches and not (value or "").startswith(("data:", "#"))
            if outside or name.startswith("on") or tag in ("script", "iframe", "object", "embed", "base", "form"):
                self.unsafe.append(f"<{tag} {name}={value}>")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_it_fits_a_phone_and_a_desktop(html: str, tmp_path: Path) -> None:
    (tmp_path / "dataset.html").write_text(html)
    assert faults(tmp_path / "dataset.html") == []


@pytest.mark.slow
def test_the_page_fetches_and_runs_nothing(html: str) -> None:
    page = Page(html)
    assert page.unsafe == []
    assert all((link["href"] or "").startswith("#") for link in page.elements["a"])


@pytest.mark.slow
def test_names_from_outside_are_text(build: Path, params: Params) -> None:
    for path, schema, key in ((layout.VARIANTS, VARIANTS, "id"), (layout.VERDICTS, VERDICTS, "clip_id")):
        table = read_table(path, schema)
        columns = [name for name in ("licence", "visual_class", "class_name", "reason", "caption") if name in schema]
        table = table.with_columns(pl.lit(HOSTILE).alias(name) for name in columns)
        if schema is VERDICTS:
            table = table.with_columns(status=pl.lit("rejected"))
        else:
            table = table.with_columns(visual_class=pl.lit("Bird"))
        write_table(table, path, schema, [key])
    pairs = read_table(layout.PAIRS, PAIRS).with_columns(audio_class=pl.lit(HOSTILE))
    write_table(pairs, layout.PAIRS, PAIRS, ["split", "base_id", "rank"])
    report.main(params)
    html = report.PAGE.read_text()
    assert Page(html).unsafe == []
    assert "<b>Hiss</b>" not in html
    assert "&lt;b&gt;Hiss&lt;/b&gt;" in html
    assert html.count("&lt;script&gt;") > 3


def test_the_page_says_what_the_tables_say(html: str) -> None:
    text = Page(html).text
    for statement in (
        "55 rows in 6 conditions",
        "8 aligned test clips",
        "4 aligned train clips",
        "0 clips reviewed by people",
        "All clips of this build are composed from a real photograph and a real sound",
        "eval: 3,518 candidates; the paper has 3,518.",
        "− judge: audio unimodal",
        "1 not in sample",
        "1 ambiguous, 1 depth, 4 kept, 1 multi parent",
        "The four checks of the paper’s appendix B.1 on 12 clips",
        "test: 8 pairs",
    ):
        assert statement in text, statement


@pytest.mark.slow
def test_the_gallery_holds_previews_of_every_class(build: Path, params: Params) -> None:
    report.main(params)
    page = Page(report.PAGE.read_text())
    shown = [base64.b64decode((video["src"] or "").split(",")[1]) for video in page.elements["video"]]
    variants = read_table(layout.VARIANTS, VARIANTS).filter(pl.col("status") == "ok")
    chosen = gallery.choose(variants)
    assert [base.split("-")[0] for base in chosen] == ["bird", "cat", "cattle", "horse"]
    assert len(shown) == 16, "of six conditions two are in words"
    aligned = variants.filter(pl.col("base_id").is_in(list(chosen)) & (pl.col("condition") == "aligned")).sort("id")
    for number, path in enumerate(aligned["path"]):  # of each clip the aligned one comes first
        Path("preview.mp4").write_bytes(shown[4 * number])
        same = np.abs(frames(Path("preview.mp4"), 3).astype(int) - frames(Path(path), 3)).mean()
        assert same < 12, path
    assert all((video["poster"] or "").startswith("data:image/jpeg") for video in page.elements["video"])
    assert "“Video_caption: Cattle. Which class best describes the visual content" in page.text


def rows_of(clips: list[tuple[str, str, int]], path: str = "") -> pl.DataFrame:
    """Variants of clips: id, class, and how many conditions they have."""
    return from_rows(
        [
            {"id": f"{base}.{condition}", "base_id": base, "condition": condition, "split": "test", "status": "ok"}
            | {"visual_class": name, "audio_class": name, "path": path or f"{base}.{condition}", "licence": "CC0"}
            | {"label_ids": [], "caption": "x", "context_seed": 1}
            for base, name, count in clips
            for condition in PAPERS_CONDITIONS[:count]
        ],
        VARIANTS,
    )


@given(
    st.lists(st.tuples(st.sampled_from("ABCDEFGH"), st.integers(1, len(PAPERS_CONDITIONS))), min_size=1, max_size=20)
)
@settings(deadline=None, max_examples=40)
def test_the_gallery_shows_every_class_once_and_some_under_every_condition(clips: list[tuple[str, int]]) -> None:
    named = [(f"clip{n:02}", name, count) for n, (name, count) in enumerate(clips)]
    chosen = gallery.choose(rows_of(named))
    classes = {base: name for base, name, _ in named}
    counts = {base: count for base, _, count in named}
    assert [classes[base] for base in chosen] == sorted({name for name, _ in clips})
    for base in chosen:
        assert counts[base] == max(count for other, count in counts.items() if classes[other] == classes[base])
    most = max(counts.values())
    full = [base for base, conditions in chosen.items() if len(conditions) > 2]
    assert len(full) == min(gallery.COMPLETE_CLIPS, sum(counts[base] == most for base in chosen))


def test_the_first_donor_is_shown_and_each_file_is_previewed_once() -> None:
    made = [
        {"id": f"a.{condition}.{donor}", "base_id": "a", "condition": condition, "split": "test", "status": status}
        | {"path": path, "label_ids": []}
        for condition, donor, status, path in (
            ("misaligned", "d3", "ok", "m3.mp4"),
            ("misaligned", "d2", "ok", "m2.mp4"),
            ("misaligned", "d1", "refused", None),
            ("aligned", "", "ok", "a.mp4"),
            ("misleading_caption", "", "ok", "a.mp4"),
        )
    ]
    chosen = {"a": (Condition.ALIGNED, Condition.MISALIGNED, Condition.FRAMES_ZEROED, Condition.MISLEADING_CAPTION)}
    (rows,) = gallery.rows_shown(from_rows(made, VARIANTS), chosen)
    assert [row["path"] for row in rows] == ["a.mp4", "m2.mp4", "a.mp4"]
    assert gallery.paths_shown([rows]) == ["a.mp4", "m2.mp4"]


@pytest.mark.slow
def test_heavy_clips_stay_within_the_budget_and_every_class_is_shown(tmp_path: Path) -> None:
    """Noise, which no encoder can make small: the clips weigh a hundred times what the page may hold."""
    heavy = make_noise(tmp_path / "heavy.mp4")
    budget = 400_000
    clips = [(f"clip{n}", f"Class_{n}", len(PAPERS_CONDITIONS)) for n in range(9)]
    variants = rows_of(clips, str(heavy))
    weight = heavy.stat().st_size * variants.height
    assert weight > 100 * budget
    options = [name for _, name, _ in clips]
    chosen = gallery.choose(variants)
    rows = gallery.rows_shown(variants, chosen)
    made = preview_of({"path": str(heavy), "share": gallery.share_of(chosen, 0, budget)})
    shown = gallery.gallery(rows, options, dict.fromkeys(gallery.paths_shown(rows), made))
    assert [exhibits[0].row["visual_class"] for exhibits in shown] == [name for _, name, _ in clips]
    embedded = [exhibit.preview for exhibits in shown for exhibit in exhibits if exhibit.preview]
    media = [uri for of_clip in embedded for uri in (of_clip.video, of_clip.poster) if uri]
    held = [base64.b64decode(uri.split(",")[1]) for uri in media]
    assert sum(map(len, held)) <= budget
    assert all(preview.video for preview in embedded), "each class can be watched"
    for share in (30_000, 60_000, 120_000):
        parts = preview_of({"path": str(heavy), "share": share})
        assert sum(len(base64.b64decode(uri.split(",")[1])) for uri in (parts.video, parts.poster) if uri) <= share
    tight = gallery.share_of(chosen, 0, 20_000)
    assert preview_of({"path": str(heavy), "share": tight}).video is None, "nothing fits into a kilobyte"


counts = st.dictionaries(st.sampled_from(["too_short", "silent", "blocked", "x"]), st.integers(0, 9), max_size=4)


@given(counts, st.integers(0, 20))
def test_a_funnel_ends_where_its_counts_say(dropped: dict[str, int], left: int) -> None:
    whole = {"in": left + sum(dropped.values()), **dropped, "ok": left}
    steps = report.remaining(whole, "in", "ok")
    assert steps[0] == ("in", whole["in"])
    assert steps[-1] == ("ok", left)
    losses = [before[1] - after[1] for before, after in pairwise(steps[:-1])]
    assert losses == [count for count in dropped.values() if count]
    with pytest.raises(DataError, match="a funnel ends with"):
        report.remaining({**whole, "ok": left + 1}, "in", "ok")


def test_the_tree_holds_every_node_below_each_of_its_parents(build: Path) -> None:
    (animal,) = report.forest(load_classes(layout.CLASSES))
    assert (animal.name, animal.classes, animal.step) == ("Animal", 4, "ambiguous")
    assert [branch.name for branch in animal.below] == ["<b>Hiss</b>", "Bird", "Cat", "Cattle", "Horse"]
    (meow,) = animal.below[2].below
    assert (meow.name, meow.counts_as) == ("Meow", "Cat")


def test_scores_are_split_at_the_threshold_that_is_drawn() -> None:
    rows = [
        {"visual_unimodal_score": score, "visual_unimodal_pass": score >= 0.3} for score in (0.1, 0.2, 0.4, 0.9, 0.95)
    ]
    (axes,) = charts.scores(from_rows(rows, VERDICTS), "visual_unimodal", 0.3).axes
    (line,) = axes.lines
    assert set(line.get_xdata()) == {0.3}
    heights = dict.fromkeys(("pass", "fail"), 0.0)
    for container, label in zip(axes.containers, ("pass", "fail"), strict=True):
        heights[label] = sum(bar.get_height() for bar in container)
        for bar in container:
            assert not bar.get_height() or (bar.get_x() >= 0.3 - 1e-9) == (label == "pass")
    assert heights == {"pass": 3, "fail": 2}


def test_the_matrix_has_the_pairs_in_their_squares() -> None:
    rows = [{"visual_class": seen, "audio_class": heard} for seen, heard in [("A", "B"), ("A", "B"), ("C", "A")]]
    (axes,) = charts.pair_matrix(from_rows(rows, PAIRS)).axes
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    squares = {(labels[int(t.get_position()[1])], labels[int(t.get_position()[0])], t.get_text()) for t in axes.texts}
    assert squares == {("A", "B", "2"), ("C", "A", "1")}
    centres = {(round(square.get_x() + 0.45), round(square.get_y() + 0.45)) for square in axes.patches}
    assert centres == {text.get_position() for text in axes.texts}


def test_bars_add_up_over_splits() -> None:
    (axes,) = charts.bars({"Cat": {"test": 2, "train": 1}, "Dog": {"train": 4}}, "clips").axes
    ends = [max(bar.get_x() + bar.get_width() for bar in pair) for pair in zip(*axes.containers, strict=True)]
    assert ends == [3, 4]


def test_a_histogram_holds_every_value_and_the_bound() -> None:
    (axes,) = charts.histogram({"test": [1.0, 2.0], "train": [10.0]}, "s", "clips", bound=-5.0).axes
    assert sum(bar.get_height() for bar in axes.containers[-1]) == 1
    low, high = axes.get_xlim()
    assert low < -5 < 10 < high


def test_empty_data_still_gives_charts() -> None:
    charts.histogram({"test": []}, "s", "clips")
    charts.bars({}, "clips")
    charts.pair_matrix(from_rows([], PAIRS))
    charts.scores(from_rows([], VERDICTS), "visual_unimodal", 0.5)


@pytest.mark.slow
def test_the_picture_shows_one_clip_under_every_condition(build: Path) -> None:
    run = CliRunner().invoke(picture.main, ["docs/overview.png", "--clip", "cat-test0"], catch_exceptions=False)
    assert run.output == "wrote docs/overview.png\n"
    with Image.open("docs/overview.png") as image:
        assert image.size[0] > 1200
    rows = picture.rows_of(read_table(layout.VARIANTS, VARIANTS), "cat-test0")
    assert [row["condition"] for row in rows] == [str(condition) for condition in PAPERS_CONDITIONS]
    words = [text.get_text() for text in picture.picture(rows).texts]
    assert "Shown: cat-test0, photo + sound with camera motion, not a recording." in words[2]
    assert words.count("None of the above") == 2
    assert words.count("Cattle") == 1
    assert "“Video_caption:\n Cattle.”\n+ the question" in words


def test_a_picture_of_an_unknown_clip_is_refused(build: Path) -> None:
    run = CliRunner().invoke(picture.main, ["x.png", "--clip", "nobody"])
    assert run.exit_code == 1
    assert run.output.startswith("Error: no test clip 'nobody' to show\n  hint: ")
    assert not Path("x.png").exists()
