"""The files of a version: the gated files unchanged, and metadata files that depend on repository, version and day.

In: the dataset's folder, and the previous version. Out: a folder `data/publications/ORG--NAME/VERSION/` with the files
    generated for the publication, and the list of all files with their hashes. An interrupted publication reuses its
    metadata files, so that it continues with the same bytes on another day.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import BaseModel, ValidationError

from mma_bench import layout
from mma_bench.builders.dataset.card import templates
from mma_bench.builders.package import CHECKSUMS
from mma_bench.builders.publish.changelog import CHANGELOG, entry, extended
from mma_bench.builders.publish.citation import citation
from mma_bench.builders.publish.datasheet import datasheet
from mma_bench.builders.publish.difference import Difference
from mma_bench.builders.publish.facts import BuildFacts
from mma_bench.builders.publish.manifest import CARD, MANIFEST, SCHEMA, Release, read_head
from mma_bench.errors import ConfigError, DataError
from mma_bench.files import file_sha256, write_json, write_text
from mma_bench.hub.repository import Contents
from mma_bench.progress import Progress
from mma_bench.schema import Split
from mma_bench.tables import write_table

CROISSANT: Final = "croissant.json"
PUBLICATIONS: Final = layout.DATA / "publications"
# Generated for each publication; every other file of a version is a file of the build, byte for byte.
METADATA_FILES: Final = (CARD, CHECKSUMS, MANIFEST, CROISSANT, CHANGELOG, "DATASHEET.md", "CITATION.cff")
_RECORD: Final = "publication.json"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LOAD: Final = re.compile(r"^## Load it\n.*?(?=^## )", re.DOTALL | re.MULTILINE)


class _Record(BaseModel):
    """When this publication was first attempted, and for which dataset."""

    released: date
    checksums: str


def hashed(folder: Path) -> Contents:
    """All files below a folder.

    Raises:
        DataError: There is no such folder, or it holds a broken link.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}", hint="run `dvc repro`, or name the dataset's folder with --dataset")
    paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
    sha256 = {}
    with Progress("publish: hashes", len(paths), "file") as progress:
        for path in paths:
            if not path.is_file():  # a broken link into DVC's cache
                raise DataError(f"{path} is not a file", hint="run `dvc checkout`")
            sha256[path.relative_to(folder).as_posix()] = file_sha256(path)
            progress.advance()
    return Contents({name: folder / name for name in sha256}, sha256)


def refuse_other_version(folder: Path, version: str) -> None:
    """Check that the dataset's card states this version.

    Raises:
        ConfigError: It states another one, or none.
    """
    said = read_head(folder / CARD).get("version")
    if said != version:
        raise ConfigError(
            f"{folder} is version {said or '(none)'}, not {version}",
            hint=f"set package.version to {version} in params.yaml and run `dvc repro`",
        )


def release_date(folder: Path, checksums: str) -> date:
    """The day of a publication: that of its first attempt, if this folder belongs to the same dataset, else today."""
    try:
        record = _Record.model_validate_json((folder / _RECORD).read_bytes())
    except (FileNotFoundError, ValidationError):
        record = None
    if record is None or record.checksums != checksums:
        record = _Record(released=datetime.now(UTC).date(), checksums=checksums)
        write_json(folder / _RECORD, record.model_dump(mode="json"))
    return record.released


def publication_folder(repo: str, version: str) -> Path:
    """The folder for the metadata files of a publication."""
    return PUBLICATIONS / repo.replace("/", "--") / version


def assemble(
    dataset: Contents,
    release: Release,
    facts: BuildFacts,
    *,
    metadata: Path,
    repo: str,
    url: str,
    version: str,
    released: date,
    index_only: bool,
    found: Difference | None,
    last: str | None,
    changelog: str | None,
) -> Contents:
    """Write the metadata files into `metadata` and return all files of the version.

    Args:
        dataset: The gated files, or those of the edition without media.
        release: Of the same files; its manifest is published.
        found: What has changed since `last`; None for the first version.
        changelog: That of the last version.
    """
    # Imported here, since `mlcroissant` comes with the extra `publish` and `rebuild` does not need it.
    from mma_bench.builders.publish.croissant import croissant

    split = str(Split.TEST if Split.TEST in release.classes else Split.TRAIN)
    card = dataset.files[CARD].read_text(encoding="utf-8")
    write_text(metadata / CARD, hub_card(card, repo, version, split, index_only=index_only))
    write_table(release.manifest, metadata / MANIFEST, SCHEMA, sort_by=["id"])
    write_text(metadata / CHANGELOG, extended(changelog, entry(version, released, release, found, last)))
    write_text(metadata / "DATASHEET.md", datasheet(facts, version, index_only=index_only))
    write_text(metadata / "CITATION.cff", citation(version, released, url))
    files = dict(sorted({**dataset.files, **{name: metadata / name for name in METADATA_FILES}}.items()))
    sha256 = {name: dataset.sha256[name] for name in dataset.sha256 if name not in METADATA_FILES}
    sha256 |= {name: file_sha256(metadata / name) for name in METADATA_FILES if name not in (CROISSANT, CHECKSUMS)}
    described = {name: (sha256[name], files[name].stat().st_size) for name in sorted(sha256)}
    write_json(
        metadata / CROISSANT,
        croissant(facts, described, url=url, version=version, released=released, index_only=index_only),
    )
    sha256[CROISSANT] = file_sha256(metadata / CROISSANT)
    write_text(metadata / CHECKSUMS, checksum_lines(sha256))
    sha256[CHECKSUMS] = file_sha256(metadata / CHECKSUMS)
    return Contents(files, dict(sorted(sha256.items())))


def hub_card(card: str, repo: str, version: str, split: str, *, index_only: bool) -> str:
    """The build's card with the section on loading rewritten for the Hub; its metadata and figures are kept.

    Args:
        split: For the example.

    Raises:
        DataError: The card has no such section.
    """
    template = templates("mma_bench.builders.publish").get_template("hub_card.md")
    text = template.render(repo=repo, version=version, index_only=index_only, split=split)
    rewritten, times = _LOAD.subn(lambda _: text, card)
    if times != 1:
        raise DataError("the card has no section 'Load it'", hint="run `mma-bench build package` again")
    return rewritten


def checksum_lines(sha256: Mapping[str, str]) -> str:
    """Lines of `<sha256>  <path>`, as `sha256sum --check` reads them; excludes the list itself."""
    return "".join(f"{sha256[name]}  {name}\n" for name in sorted(sha256) if name != CHECKSUMS)


def read_checksums(data: bytes, where: object) -> dict[str, str]:
    """Path → SHA-256, from lines of `<sha256>  <path>` in UTF-8.

    Raises:
        DataError: A line is malformed, or its path leaves the folder; names `where` and the line.
    """
    hashes = {}
    for number, line in enumerate(data.decode(errors="replace").splitlines(), start=1):
        sha256, gap, name = line.partition("  ")
        path = PurePosixPath(name)
        if not gap or not _SHA256.fullmatch(sha256) or path.is_absolute() or ".." in path.parts or not path.parts:
            raise DataError(
                f"{where}, line {number}: not the checksum of a file of the dataset",
                hint="fetch it again, or run `dvc repro package`",
            )
        hashes[name] = sha256
    return hashes
