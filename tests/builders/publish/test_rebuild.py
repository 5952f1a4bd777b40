"""The edition without media: nothing of a clip is in it, and from the clips it becomes the dataset again, proved."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from mma_bench.builders.dataset.card import shards_content
from mma_bench.builders.publish.cli import publish as group
from mma_bench.builders.publish.contents import checksum_lines, hashed
from mma_bench.builders.publish.index import write_index
from mma_bench.builders.publish.manifest import read_release
from mma_bench.errors import ConfigError, DataError
from mma_bench.hub.cards import card_head
from mma_bench.media.packets import packet_sha256
from tests.builders.conftest import tiny_clip
from tests.builders.publish import project
from tests.hub import Hub as StandIn

Publish = Callable[..., None]
CLIPS = Path("data/normalised")
SHARD = "data/aligned/test-00000-of-00001.parquet"


@pytest.fixture
def index(publish: Publish, hub: StandIn, root: Path) -> Path:
    """A downloaded edition without media."""
    publish(index_only=True)
    for name, data in hub.files("org/mma", "1.0.0").items():
        path = root / "index" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root / "index"


def rebuilt(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(group, ["rebuild", *arguments, "--out", "again"])
    if done.exception is not None:
        raise done.exception
    report: dict[str, Any] = json.loads(Path("reports/rebuild.json").read_text())
    return report


@pytest.mark.slow
def test_it_holds_all_but_the_media(index: Path, root: Path) -> None:
    full, bare = root / "mma-bench", index
    for shard in sorted((full / "data").glob("*/*.parquet")):
        with_media = pl.read_parquet(shard)
        assert pl.read_parquet(bare / shard.relative_to(full)).equals(with_media.drop("video"))
    bytes_of = [row["video"]["bytes"] for row in pl.read_parquet(full / SHARD).iter_rows(named=True)]
    everything = b"".join(path.read_bytes() for path in bare.rglob("*") if path.is_file())
    assert not [clip for clip in bytes_of if clip[-2000:] in everything]
    assert "video" not in read_release(bare).columns
    # `load_dataset` looks rows up in its cache by the card.
    for info in card_head((bare / "README.md").read_text())["dataset_info"]:
        assert info["description"] == shards_content(bare, info["config_name"])
        assert info["description"] != shards_content(full, info["config_name"])
    assert "| `video` |" not in (bare / "README.md").read_text()
    assert "publish rebuild org/mma --revision 1.0.0" in (bare / "README.md").read_text()


@pytest.mark.slow
def test_from_the_same_clips_it_is_the_same_to_the_byte(index: Path, root: Path) -> None:
    report = rebuilt("index")
    assert hashed(Path("again")).sha256 == project.checksums(root)
    assert report["clips"]["counts"] == {"packets": 12}
    assert report["rows"]["counts"] == {"packets": 56}
    assert all(report["files_identical"].values())


@pytest.mark.slow
def test_from_the_hub_it_is_fetched_by_version(index: Path, hub: StandIn, root: Path) -> None:
    assert rebuilt("org/mma", "--revision", "1.0.0")["rows"]["counts"] == {"packets": 56}
    with pytest.raises(ConfigError, match="which version of org/mma"):
        rebuilt("org/mma")


def test_a_folder_that_is_not_there_is_not_taken_for_a_dataset_on_the_hub() -> None:
    for name, said in (("nowhere", "'nowhere' is not a folder"), ("no/where", "which version of no/where")):
        result = CliRunner().invoke(group, ["rebuild", name])
        assert isinstance(result.exception, ConfigError)
        assert said in str(result.exception)


@pytest.mark.slow
def test_a_clip_that_was_encoded_anew_is_known_by_its_looks(index: Path, root: Path) -> None:
    import av

    path = root / CLIPS / "cat-test0_30000.mp4"
    source, target = path, root / "anew.mp4"
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        video = new.add_stream("libx264", rate=5, options={"threads": "1", "crf": "10"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = audio
                new.mux(packet)
        old.seek(0)
        for frame in old.decode(video=0):
            new.mux(video.encode(frame))
        new.mux(video.encode(None))
    target.replace(path)
    report = rebuilt("index")
    assert report["clips"]["counts"] == {"looks": 1, "packets": 11}
    assert "picture" in report["clips"]["by_id"]["cat-test0_30000 (test)"]["detail"]
    # As base under five conditions whose picture it is; black frames and the donor's row need only its sound.
    kinds = {name: row["kind"] for name, row in report["rows"]["by_id"].items()}
    assert sum(kind == "looks" for kind in kinds.values()) == 5
    assert kinds["bird-test0_30000.misaligned.cat-test0_30000"] == "packets"
    row = pl.read_parquet(root / "again" / SHARD).filter(pl.col("base_id") == "cat-test0_30000").row(0, named=True)
    assert row["video_sha256"] == packet_sha256(path, "video")  # says what is in it, not what was
    assert row["video"]["bytes"] == path.read_bytes()
    assert not report["files_identical"][SHARD]
    assert report["files_identical"]["data/aligned/train-00000-of-00001.parquet"]


@pytest.mark.slow
def test_what_is_missing_or_another_clip_is_left_out_and_named(index: Path, root: Path) -> None:
    (root / CLIPS / "cat-test0_30000.mp4").unlink()
    (root / CLIPS / "horse-test1_30000.mp4").write_bytes(tiny_clip(200, 3000))
    (root / CLIPS / "bird-train0_30000.mp4").write_bytes(b"not a clip")
    report = rebuilt("index")
    assert report["clips"]["counts"] == {"missing": 1, "other": 2, "packets": 9}
    assert "duration" in report["clips"]["by_id"]["horse-test1_30000 (test)"]["detail"]
    gone = {"cat-test0_30000", "horse-test1_30000", "bird-train0_30000"}
    kept = pl.concat(pl.read_parquet(p) for p in sorted((root / "again/data").glob("*/*.parquet")))
    assert not gone & {*kept["base_id"], *kept["donor_id"]}
    # Six rows each of two test clips, two of the train clip, and three rows with the sound of one of them.
    assert kept.height == 56 - 6 - 6 - 2 - 3
    card = (root / "again/README.md").read_text()
    assert "**A part of the dataset**" in card
    assert "num_examples: 6" in card


@pytest.mark.slow
def test_nothing_is_made_from_nothing(index: Path, root: Path) -> None:
    (root / "empty").mkdir()
    with pytest.raises(DataError, match=r"none of the clips in empty .*reports/rebuild\.json says why"):
        rebuilt("index", "--clips", "empty")
    assert not (root / "again").exists()
    assert json.loads(Path("reports/rebuild.json").read_text())["clips"]["counts"] == {"missing": 12}


@pytest.mark.slow
def test_a_changed_edition_is_refused(index: Path, root: Path) -> None:
    (index / SHARD).write_bytes((index / SHARD).read_bytes() + b" ")
    with pytest.raises(DataError, match=rf"index/{SHARD} is missing or not as checksums\.sha256 lists it"):
        rebuilt("index")


def test_what_cannot_be_rebuilt_says_why(index: Path, root: Path) -> None:
    with pytest.raises(DataError, match="mma-bench is not an edition without media"):
        rebuilt("mma-bench")
    with pytest.raises(ConfigError, match="nowhere is not a directory"):
        rebuilt("index", "--clips", "nowhere")
    (root / "again").mkdir()
    with pytest.raises(ConfigError, match="again exists already"):
        rebuilt("index")
    with pytest.raises(DataError, match="already without media"):
        write_index(hashed(index), root / "other")


@pytest.mark.slow
def test_a_name_that_would_leave_the_folder_is_only_a_name(index: Path, root: Path) -> None:
    outside = root / "outside.mp4"
    shutil.copyfile(root / CLIPS / "cat-test0_30000.mp4", outside)
    manifest = pl.read_parquet(index / "manifest.parquet")
    hostile = pl.col("base_id").replace("cat-test0_30000", "../../outside")
    manifest.with_columns(hostile).write_parquet(index / "manifest.parquet")
    (index / "checksums.sha256").write_text(checksum_lines(hashed(index).sha256))
    report = rebuilt("index")
    assert report["clips"]["by_id"]["../../outside (test)"]["kind"] == "missing"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../secret.txt", "/etc/hostname"])
def test_a_list_that_names_a_file_outside_is_refused_before_anything(index: Path, root: Path, name: str) -> None:
    full = index / "full/checksums.sha256"
    full.write_text(full.read_text() + f"{'0' * 64}  {name}\n")
    (index / "checksums.sha256").write_text(checksum_lines(hashed(index).sha256))
    with pytest.raises(DataError, match=r"full/checksums\.sha256, line \d+: not the checksum of a file"):
        rebuilt("index")
    assert not list(root.glob("*again*"))
