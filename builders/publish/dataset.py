"""`mma-bench publish dataset`: the gated dataset becomes a tagged version on the Hub, and is downloaded again to verify
it.

In: the dataset's folder, the records of the gates, the previous version on the Hub. Out: one commit with what differs,
    the tag, and the verification that the tag holds the local files. If interrupted, the same command resumes: uploaded
    shards are not sent again, and an existing version is only verified.
"""

import tempfile
from collections.abc import Collection
from pathlib import Path

from mma_bench import extras
from mma_bench.builders.package import CHECKSUMS
from mma_bench.builders.publish.changelog import CHANGELOG
from mma_bench.builders.publish.contents import (
    METADATA_FILES,
    assemble,
    hashed,
    publication_folder,
    read_checksums,
    refuse_other_version,
    release_date,
)
from mma_bench.builders.publish.difference import Difference, difference
from mma_bench.builders.publish.facts import build_facts
from mma_bench.builders.publish.gates import refuse_unproven
from mma_bench.builders.publish.index import write_index
from mma_bench.builders.publish.manifest import (
    CARD,
    MANIFEST,
    Release,
    read_published,
    read_release,
    with_decoded_facts,
)
from mma_bench.builders.publish.release import Version, last_version, refuse_too_small
from mma_bench.builders.publish.removal import refuse_removed
from mma_bench.errors import DataError
from mma_bench.files import file_sha256
from mma_bench.hub.cards import refuse_bad_card
from mma_bench.hub.client import Hub
from mma_bench.hub.repository import Contents, Plan, Repository, State, compare


def publish(
    hub: Hub,
    folder: Path,
    repo: str,
    version: str,
    removed: Collection[str],
    *,
    index_only: bool = False,
    private: bool = False,
    dry_run: bool = False,
) -> None:
    """Publish a version, or print what would change.

    Args:
        folder: The dataset that passed the gates.
        repo: `ORG/NAME`; created if it does not exist.
        version: Such as 1.2.0; also the tag.
        removed: Ids of clips and source videos that it must not contain.
        index_only: Without media.
        private: Whether a newly created repository is private.
        dry_run: Send nothing.

    Raises:
        ConfigError: The version does not follow the last one or is not the dataset's; mlcroissant is not installed.
        GateError: A gate did not pass on exactly these bytes.
        DataError: A removed clip is in the dataset; the version is on the Hub with other bytes; the downloaded files
            differ from those sent.
        HubError: See there.
    """
    extras.require("publish dataset", "publish")
    repository, new = Repository(hub, repo, "dataset"), Version.parse(version)
    refuse_other_version(folder, version)
    dataset = hashed(folder)
    refuse_unproven(folder, dataset.sha256)
    facts, release = build_facts(), read_release(folder)
    refuse_removed(release.manifest, facts.aligned, removed)
    print(f"gates: all passed on exactly these {len(dataset.files)} files")
    metadata = publication_folder(repo, version)
    released = release_date(metadata, dataset.sha256[CHECKSUMS])
    if index_only:
        write_index(dataset, metadata / "index")
        dataset, release = hashed(metadata / "index"), read_release(metadata / "index")
    release = Release(release.name, with_decoded_facts(release.manifest, facts.variants), release.columns)
    state = repository.state()
    if version in state.tags:
        verify_published(repository, version, dataset)
        return
    last = last_version(list(state.tags))
    found = difference(fetch_release(repository, str(last)), release) if last else None
    if found is not None:
        refuse_too_small(new, last, found.level, found.lines())
    contents = assemble(
        dataset,
        release,
        facts,
        metadata=metadata,
        repo=repo,
        url=repository.url,
        version=version,
        released=released,
        index_only=index_only,
        found=found,
        last=str(last) if last else None,
        changelog=_changelog(repository, last),
    )
    refuse_bad_card(hub, contents.files[CARD], "dataset")
    plan = compare(contents, state)
    for line in _described(repo, version, state, last, found, plan, contents):
        print(line)
    if dry_run:
        print("dry run: nothing was sent")
        return
    head = repository.send(contents, plan, state.head, f"Version {version}", private=private)
    tag = {"tag": version, "revision": head, "repo_type": "dataset", "exist_ok": True}
    hub.ask(f"tag {version}", hub.api.create_tag, repo, **tag)
    repository.verify(version, contents.sha256)
    print(f"published {repo} {version}: all {len(contents.sha256)} files downloaded again by tag, all hashes match")


def fetch_release(repository: Repository, version: str) -> Release:
    """The manifest and columns of a published version.

    Raises:
        DataError: There is no such version, or it was not published by this project.
    """
    with tempfile.TemporaryDirectory() as folder:
        card, manifest = (repository.fetch(version, name, Path(folder)) for name in (CARD, MANIFEST))
        if card is None or manifest is None:
            raise DataError(
                f"{repository.name}@{version} has no {MANIFEST if card else CARD} that can be read",
                hint="check name and version; only datasets published by this project can be compared",
            )
        return read_published(f"{repository.name}@{version}", card, manifest)


def verify_published(repository: Repository, version: str, dataset: Contents) -> None:
    """Check a version that is already tagged: its build files must be the local ones.

    Raises:
        DataError: It holds other files; a version is never replaced.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = repository.fetch(version, CHECKSUMS, Path(folder))
        listed = {} if path is None else read_checksums(path.read_bytes(), f"{repository.name}@{version}/{CHECKSUMS}")
        itself = {} if path is None else {CHECKSUMS: file_sha256(path)}
    ours = {name: sha256 for name, sha256 in dataset.sha256.items() if name not in METADATA_FILES}
    theirs = {name: sha256 for name, sha256 in listed.items() if name not in METADATA_FILES}
    if differing := sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)):
        raise DataError(
            f"{repository.name} has a version {version}, and its {differing[0]} differs from the local file",
            hint="a version never changes: raise package.version in params.yaml, run `dvc repro`, publish that",
        )
    repository.verify(version, listed | itself)
    print(f"{repository.name} {version} is already published: all {len(listed) + 1} files downloaded, all hashes match")


def _changelog(repository: Repository, last: Version | None) -> str | None:
    if last is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = repository.fetch(str(last), CHANGELOG, Path(folder))
        return None if path is None else path.read_text(encoding="utf-8")


def _described(
    repo: str,
    version: str,
    state: State,
    last: Version | None,
    found: Difference | None,
    plan: Plan,
    contents: Contents,
) -> list[str]:
    """A readable summary of the change: by rows, and file by file."""
    where = repo if state.head else f"{repo} (a new repository)"
    lines = [f"{where}: version {version}" + (f" after {last}" if last else ", the first")]
    if found is not None:
        lines += [f"  {line}" for line in found.lines()] or [f"  no row differs from {last}"]
    return [*lines, *plan.lines(contents)]
