"""A version is published whole, once, from gated bytes; a cut costs nothing, and what comes back is what was sent."""

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mma_bench import layout
from mma_bench.builders.publish.contents import METADATA_FILES
from mma_bench.errors import ConfigError, DataError, GateError
from mma_bench.hub.client import TRIES, Hub, HubError
from mma_bench.schema import VARIANTS
from mma_bench.tables import read_table
from tests.builders.publish import project
from tests.builders.publish.conftest import TOKEN
from tests.hub import Hub as StandIn

Publish = Callable[..., None]
UPLOADS, COMMITS = r"^PUT /lfs/", r"^POST /api/datasets/org/mma/commit/"


@pytest.mark.slow
def test_a_version_is_one_commit_its_tag_and_exactly_the_gated_bytes(
    publish: Publish, hub: StandIn, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish()
    assert len(hub.sent(COMMITS)) == 1
    files = hub.files("org/mma", "1.0.0")
    gated = {name: value for name, value in project.checksums(root).items() if name not in METADATA_FILES}
    assert {name: hashlib.sha256(files[name]).hexdigest() for name in gated} == gated
    assert set(files) == {*gated, *METADATA_FILES, ".gitattributes"}
    listed = dict(reversed(line.split("  ")) for line in files["checksums.sha256"].decode().splitlines())
    own = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert listed == {name: value for name, value in own.items() if name not in (".gitattributes", "checksums.sha256")}
    assert "downloaded again by tag" in capsys.readouterr().out


@pytest.mark.slow
def test_every_file_is_fetched_again_by_the_tag(publish: Publish, hub: StandIn) -> None:
    publish()
    fetched = {path.rpartition("/resolve/1.0.0/")[2] for _, path, _ in hub.sent("^GET .*/resolve/1.0.0/")}
    assert fetched == set(hub.files("org/mma")) - {".gitattributes"}


@pytest.mark.slow
def test_a_dry_run_prints_what_would_change_and_changes_nothing(
    publish: Publish, hub: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(dry_run=True)
    said = capsys.readouterr().out
    assert "org/mma (a new repository): version 1.0.0, the first" in said
    assert "+ data/misaligned/test-00000-of-00001.parquet (" in said
    assert not hub.repos
    assert all(method in ("GET", "HEAD") or path == "/api/validate-yaml" for method, path, _ in hub.requests)


@pytest.mark.slow
def test_published_again_it_only_proves_what_is_there(publish: Publish, hub: StandIn) -> None:
    publish()
    hub.requests.clear()
    publish()
    assert not hub.sent("^(PUT|DELETE)|/commit/|/tag/")
    assert hub.sent("^GET .*/resolve/1.0.0/data/")


@pytest.mark.slow
def test_unchanged_shards_are_not_sent_again(publish: Publish, hub: StandIn, root: Path) -> None:
    publish()
    hub.requests.clear()
    project.renew(root, "1.0.1", without=["cat-test1_30000"])
    publish("1.0.1")
    train = [project.checksums(root)[f"data/{c}/train-00000-of-00001.parquet"] for c in ("aligned", "misaligned")]
    sent = [path.rpartition("/")[2] for _, path, _ in hub.sent(UPLOADS)]
    assert sent
    assert not set(sent) & set(train)


@pytest.mark.slow
def test_a_removed_clip_is_nowhere_in_the_patch_version(publish: Publish, hub: StandIn, root: Path) -> None:
    publish()
    project.renew(root, "1.0.1", without=["cat-test1_30000"])
    publish("1.0.1", {"cat-test1"})
    before, after = hub.files("org/mma", "1.0.0"), hub.files("org/mma", "1.0.1")
    # As base under six conditions and as donor under one; in the manifest and in the shards.
    assert [sum("cat-test1" in said for said in _rows(files)) for files in (before, after)] == [14, 0]
    changelog = after["CHANGELOG.md"].decode()
    assert "- clips removed (1): `cat-test1_30000 (test)`" in changelog
    assert "## 1.0.0" in changelog


def _rows(files: dict[str, bytes]) -> list[str]:
    """All rows of all tables of a version, as text without media."""
    tables = [pl.read_parquet(data) for name, data in files.items() if name.endswith(".parquet")]
    return [str(row) for table in tables for row in table.drop("video", strict=False).iter_rows()]


@pytest.mark.parametrize("stone", ["cat-test1_30000", "cat-test1"], ids=["clip", "video"])
def test_a_clip_that_was_to_be_removed_is_not_published(publish: Publish, hub: StandIn, stone: str) -> None:
    # Six rows of its own, and one whose sound it is.
    with pytest.raises(DataError, match="7 rows hold a clip that must be removed"):
        publish(removed={stone})
    assert not hub.requests


@pytest.mark.slow
def test_a_change_that_the_version_does_not_admit_is_refused(publish: Publish, hub: StandIn, root: Path) -> None:
    publish()
    hub.requests.clear()
    project.renew(root, "1.0.1", extra=True)
    with pytest.raises(ConfigError, match=r"1\.0\.1 cannot follow 1\.0\.0: this is a minor change") as refused:
        publish("1.0.1")
    assert "clips added: bird-test2_30000 (test)" in str(refused.value)
    assert "1.1.0 or 2.0.0" in str(refused.value)
    assert not hub.sent("^PUT|/commit/")
    project.renew(root, "1.1.0", extra=True)
    publish("1.1.0")
    assert set(hub.repos["dataset", "org/mma"].tags) == {"1.0.0", "1.1.0"}


@pytest.mark.slow
def test_a_relabelled_clip_is_a_major_change(publish: Publish, root: Path) -> None:
    publish()
    variants = read_table(layout.VARIANTS, VARIANTS)
    one = pl.col("base_id") == "cat-test0_30000"
    other = pl.when(one & pl.col("donor_id").is_null()).then(pl.lit("Bird"))
    changed = variants.with_columns(
        pl.when(one).then(pl.lit("Bird")).otherwise(pl.col("visual_class")).alias("visual_class"),
        other.otherwise(pl.col("audio_class")).alias("audio_class"),
    )
    project.edit(root, "1.1.0", changed)
    with pytest.raises(ConfigError, match="a major change\n  major: 6 rows relabelled"):
        publish("1.1.0")


@pytest.mark.slow
def test_a_version_never_changes(publish: Publish, root: Path) -> None:
    publish()
    project.renew(root, "1.0.0", without=["cat-test1_30000"])
    with pytest.raises(DataError, match=r"org/mma has a version 1\.0\.0, and its (CREDITS|LICENSE)\.md differs"):
        publish()


def test_the_version_is_that_of_the_dataset(publish: Publish, hub: StandIn) -> None:
    with pytest.raises(ConfigError, match=r"mma-bench is version 1\.0\.0, not 1\.0\.1"):
        publish("1.0.1")
    assert not hub.requests


@pytest.mark.parametrize("name", ["data/aligned/test-00000-of-00001.parquet", "README.md", "classes.json"])
def test_a_tampered_file_is_refused(publish: Publish, hub: StandIn, root: Path, name: str) -> None:
    path = root / "mma-bench" / name
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(GateError, match=f"mma-bench/{name} is not the file that gate package passed"):
        publish()
    assert not hub.requests


@pytest.mark.slow
def test_a_file_that_arrived_tampered_is_noticed(publish: Publish, hub: StandIn) -> None:
    hub.fail(r"^POST .*/tag/main|/tag/[0-9a-f]{40}", 500, times=TRIES)
    with pytest.raises(HubError):
        publish()
    repo = hub.repos["dataset", "org/mma"]
    files = repo.commits[repo.branch[-1]]
    shard = "data/aligned/train-00000-of-00001.parquet"
    original, hub_bytes = files[shard], bytearray(files[shard])
    hub_bytes[100] ^= 1
    # The server goes on saying that it holds the file that was sent.
    hub.swapped[hashlib.sha256(original).hexdigest()] = bytes(hub_bytes)
    with pytest.raises(DataError, match=f"{shard} is not the file that was sent"):
        publish()


@pytest.mark.slow
def test_a_cut_in_the_middle_of_a_shard_is_gone_on_from(publish: Publish, hub: StandIn, waits: list[float]) -> None:
    hub.fail(UPLOADS, after=2000, skip=2, times=1000)
    with pytest.raises(HubError, match=r"send data/[\s\S]*same command again"):
        publish()
    before = {path for _, path, size in hub.requests if path.startswith("/lfs/") and size}
    assert len(before) == 2
    assert not hub.sent(COMMITS)
    assert len(waits) == TRIES - 1
    hub.faults.clear()
    hub.requests.clear()
    publish()
    assert not before & {path for _, path, _ in hub.requests}
    assert len(hub.sent(COMMITS)) == 1
    assert "1.0.0" in hub.repos["dataset", "org/mma"].tags


@pytest.mark.slow
def test_killed_between_commit_and_tag_it_goes_on_with_the_tag(
    publish: Publish, hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.fail("^POST .*/tag/", 500, times=TRIES)
    with pytest.raises(HubError, match=r"tag 1\.0\.0"):
        publish()
    _another_day(monkeypatch)
    publish()
    assert len(hub.sent(COMMITS)) == 1
    assert hub.repos["dataset", "org/mma"].tags


@pytest.mark.slow
def test_an_answer_that_was_lost_is_no_second_commit(publish: Publish, hub: StandIn) -> None:
    hub.fail(COMMITS, late=True)  # made, but the connection ends before the answer
    publish()
    repo = hub.repos["dataset", "org/mma"]
    assert len(repo.branch) == 2
    assert repo.tags == {"1.0.0": repo.branch[-1]}


@pytest.mark.slow
def test_files_that_went_are_deleted(publish: Publish, hub: StandIn, root: Path) -> None:
    publish()
    shutil.rmtree(root / "sample/licences")
    (root / "sample/licences").mkdir()
    (root / "sample/licences/GPL-3.txt").write_text("another\n")
    project.package.main(project._params(root, "1.0.1"))
    project.gates_pass(root)
    publish("1.0.1")
    assert "licences/GPL-2.txt" not in hub.files("org/mma")
    assert hub.files("org/mma")["licences/GPL-3.txt"] == b"another\n"
    assert "licences/GPL-2.txt" in hub.files("org/mma", "1.0.0")


@pytest.mark.slow
def test_without_a_token_a_dry_run_reads_what_is_public(publish: Publish, root: Path, hub: StandIn) -> None:
    from mma_bench.builders.publish.dataset import publish as call

    publish()
    hub.requests.clear()
    call(Hub(None), Path("mma-bench"), "org/mma", "1.0.0", set(), dry_run=True)
    assert hub.requests


def _another_day(monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import datetime

    from mma_bench.builders.publish import contents

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2099, 1, 1)

    monkeypatch.setattr(contents, "datetime", Tomorrow)


@pytest.mark.slow
def test_the_token_is_in_no_output_log_or_file(
    publish: Publish, hub: StandIn, root: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.fail(COMMITS, 503, times=2)
    hub.fail("/tag/", 403, message=f"{TOKEN} may not tag")
    with pytest.raises(HubError) as refused:
        publish()
    publish()
    out, err = capfd.readouterr()
    assert caplog.records
    assert TOKEN not in "".join([out, err, caplog.text, str(refused.value), repr(refused.value)])
    sent = b"".join(data for data in hub.files("org/mma").values())
    kept = b"".join(path.read_bytes() for path in root.parent.rglob("*") if path.is_file())
    assert TOKEN.encode() not in sent + kept
