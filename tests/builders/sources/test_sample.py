"""The bundled sample: its manifest is right, its licences are told, and a wrong row stops everything by name."""

import csv
import re
import shutil
from pathlib import Path

import pytest

from mma_bench.builders.sources import open_source
from mma_bench.builders.sources.contracts import Segment
from mma_bench.builders.sources.sample import SampleSource, read_sample_pairs
from mma_bench.config import AcquireParams
from mma_bench.errors import ConfigError, Permanent

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "sample"
CAT = Segment("cat-1", "gc-cat", 0.0, 10.0)
HEADER = (SAMPLE / "manifest.csv").read_text(encoding="utf-8").splitlines()[0]
ROW = "cow-9,eval,/m/01xq0k1,Cattle,photos/cow.png,Ann,CC0-1.0,Debian a 1,sounds/moo.ogg,Bo,GPL-2.0+,Debian b 2"


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A sample of one pair, whose files are not looked into when it is opened."""
    for name in ("photos/cow.png", "sounds/moo.ogg"):
        (tmp_path / "sample" / name).parent.mkdir(parents=True)
        (tmp_path / "sample" / name).write_bytes(b"anything")
    write(tmp_path / "sample", HEADER, ROW)
    return tmp_path / "sample"


def write(sample: Path, *lines: str) -> None:
    """The manifest, of these lines."""
    (sample / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_bundled_manifest_names_every_file() -> None:
    pairs = read_sample_pairs(SAMPLE / "manifest.csv")
    assert len(pairs) == 38
    named = {file for pair in pairs.values() for file in (pair.photo, pair.sound)}
    assert named == {file for folder in ("photos", "sounds") for file in (SAMPLE / folder).iterdir()}


def test_licences_page_and_manifest_agree() -> None:
    page = (SAMPLE / "LICENSES.md").read_text(encoding="utf-8")
    texts = page[page.index("## Texts") : page.index("## Files")]
    for target in re.findall(r"\]\((licences/[^)]+)\)", texts):
        assert (SAMPLE / target).stat().st_size > 5000, target
    told = set(re.findall(r"^\| `([^`]+)` \| `[^`]+` \| (.+?) \| (.+?) \|", page, re.MULTILINE))
    wanted = set()
    with (SAMPLE / "manifest.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            for part in ("photo", "sound"):
                wanted.add((row[part], row[f"{part}_author"], row[f"{part}_licence"]))
                assert row[f"{part}_package"] in page
                assert all(licence in texts for licence in row[f"{part}_licence"].split(" or ")), row
    assert told == wanted


def test_a_row_tells_both_licences(sample: Path) -> None:
    assert read_sample_pairs(sample / "manifest.csv")["cow-9"].licence == (
        "photo: Ann, CC0-1.0 (Debian a 1); sound: Bo, GPL-2.0+ (Debian b 2)"
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"line 1: column 'clip_id' is missing"),
        ([HEADER.replace("photo_licence", "license")], r"line 1: column 'photo_licence' is missing"),
        ([HEADER, ROW, ROW], r"line 3: clip_id 'cow-9' is already in line 2"),
        ([HEADER, ROW + ",x"], r"line 2: 13 columns, the header has 12"),
        ([HEADER, "cow-9,eval"], r"line 2: 2 columns, the header has 12"),
        ([HEADER, ROW.replace("Ann", " ")], r"line 2, column 'photo_author': empty"),
        ([HEADER, ROW.replace("cow-9", "../cow")], r"line 2, column 'clip_id': '\.\./cow' is not a clip id"),
        ([HEADER, ROW.replace("cow-9", "c" * 4096)], r"line 2, column 'clip_id': .* is not a clip id"),
        ([HEADER, ROW.replace("cow.png", "gnu.png")], r"line 2: .*photos/gnu\.png does not exist"),
        ([HEADER, ROW.replace("moo.ogg", "nu.ogg")], r"line 2: .*sounds/nu\.ogg does not exist"),
        ([HEADER, ROW.replace("photos/cow.png", "../../secret")], r"line 2: '\.\./\.\./secret' leads out of"),
        ([HEADER, ROW.replace("photos/cow.png", "/etc/passwd")], r"line 2: '/etc/passwd' leads out of"),
        ([HEADER, ROW.replace("photos/cow.png", "photos/a\0b")], r"line 2: 'photos/a\\x00b' leads out of"),
        ([HEADER, ROW, '"x'], r"line 3: unexpected end of data"),
    ],
)
def test_a_wrong_row_is_named(sample: Path, lines: list[str], message: str) -> None:
    write(sample, *lines)
    with pytest.raises(ConfigError, match=r"manifest\.csv, " + message):
        SampleSource(sample)


def test_a_link_out_of_the_sample_is_refused(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (sample / "photos" / "cow.png").unlink()
    (sample / "photos" / "cow.png").symlink_to(tmp_path / "secret")
    with pytest.raises(ConfigError, match=r"line 2: .* leads out of"):
        SampleSource(sample)


def test_no_manifest_and_no_text(sample: Path) -> None:
    (sample / "manifest.csv").write_bytes(b"clip_id,\xff\n")
    with pytest.raises(ConfigError, match=r"manifest\.csv, line 1: not UTF-8"):
        SampleSource(sample)
    (sample / "manifest.csv").unlink()
    with pytest.raises(ConfigError, match=r"manifest\.csv does not exist\n  hint: run in the project"):
        SampleSource(sample)


def test_the_revision_follows_everything_that_the_clip_depends_on(
    sample: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cow = Segment("cow-9", "cow", 0.0, 10.0)
    revisions = [SampleSource(sample).request(cow).revision]
    assert SampleSource(sample).request(cow).revision == revisions[0]
    (sample / "photos" / "cow.png").write_bytes(b"another photo")
    revisions.append(SampleSource(sample).request(cow).revision)
    (sample / "sounds" / "moo.ogg").write_bytes(b"another sound")
    revisions.append(SampleSource(sample).request(cow).revision)
    write(sample, HEADER, ROW.replace("CC0-1.0", "CC BY 4.0"))
    revisions.append(SampleSource(sample).request(cow).revision)
    monkeypatch.setattr("av.__version__", "99")
    revisions.append(SampleSource(sample).request(cow).revision)
    for module in ("camera", "soundtrack", "composition"):
        code = shutil.copy(ROOT / "builders" / "sources" / f"{module}.py", tmp_path / f"{module}.py")
        with Path(code).open("a") as stream:
            stream.write("# changed\n")
        monkeypatch.setattr(f"mma_bench.builders.sources.{module}.__file__", code)
        revisions.append(SampleSource(sample).request(cow).revision)
    assert len(set(revisions)) == 8


def test_a_clip_that_the_sample_lacks_is_unavailable(sample: Path, tmp_path: Path) -> None:
    request = SampleSource(sample).request(Segment("-abcdefghij_30000", "-abcdefghij", 30.0, 40.0))
    with pytest.raises(Permanent) as caught:
        request.fetch(tmp_path / "never.mp4")
    assert caught.value.reason == "not_in_sample"


def test_open_source_finds_the_sample_in_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    params = AcquireParams(
        source="sample",
        folder=None,
        splits={"test": ["sample_eval"]},
        shards=None,
        youtube=None,
        manifest=None,
        tombstones="tombstones.csv",
        limit=None,
        max_bytes=1,
    )
    monkeypatch.chdir(ROOT)
    source = open_source(params)
    assert source.name == "sample (photo + sound)"
    assert source.request(CAT).suffix == ".mp4"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"sample/manifest\.csv does not exist"):
        open_source(params)
