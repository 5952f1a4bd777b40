"""The commands of `mma-bench publish`; `mma_bench.training.cli` adds `publish adapter`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mma_bench.commands import needs

if TYPE_CHECKING:
    from mma_bench.builders.publish.manifest import Release
    from mma_bench.hub.client import Hub

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_dataset_option = click.option(
    "--dataset",
    "folder",
    type=_FOLDER,
    default=Path("mma-bench"),
    show_default=True,
    help="The folder that the build wrote.",
)
repo_option = click.option("--repo", required=True, metavar="ORG/NAME", help="The repository on the Hub.")
private_option = click.option("--private", is_flag=True, help="Make the repository private if it is created.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Print what would change; send nothing.")


@click.group()
def publish() -> None:
    """Publish versions of the dataset and adapters on the Hub; compare and rebuild published versions.

    The token is taken from HF_TOKEN or from `hf auth login`.
    """


@publish.command()
@repo_option
@click.option("--version", required=True, help="The dataset's version and the tag, e.g. 1.2.0.")
@_dataset_option
@click.option("--index-only", is_flag=True, help="Without media: ids, times, labels, pairs and hashes.")
@private_option
@dry_run_option
@needs("publish")
def dataset(repo: str, version: str, folder: Path, index_only: bool, private: bool, dry_run: bool) -> None:
    """Publish a version of the dataset: one commit, its tag, and a fresh download to verify it.

    Refuses unless every gate passed on exactly these bytes, and unless the version number reflects what has changed
    since the last one. If interrupted, the same command resumes.
    """
    from mma_bench.builders.publish import dataset as publication
    from mma_bench.builders.publish.removal import removed_ids

    hub = open_hub(needs_token=not dry_run)
    publication.publish(
        hub, folder, repo, version, removed_ids(), index_only=index_only, private=private, dry_run=dry_run
    )


@publish.command()
@click.argument("old")
@click.argument("new")
def diff(old: str, new: str) -> None:
    """Compare two releases and report the size of the change.

    OLD and NEW are folders, or ORG/NAME@VERSION.
    """
    from mma_bench.builders.publish.difference import difference

    found = difference(_release(old), _release(new))
    for line in found.lines():
        click.echo(line)
    click.echo(f"a {found.level} change" if found.level else "no row differs; at most a patch")


@publish.command()
@click.argument("source")
@click.option("--revision", help="The version, if SOURCE is on the Hub.")
@click.option(
    "--clips", type=_FOLDER, default=Path("data/normalised"), show_default=True, help="Base clips, named by id."
)
@click.option("--out", type=_FOLDER, default=Path("mma-bench"), show_default=True, help="Where the dataset is written.")
@click.option("--report", type=_FILE, default=Path("reports/rebuild.json"), show_default=True)
@needs("build")
def rebuild(source: str, revision: str | None, clips: Path, out: Path, report: Path) -> None:
    """Rebuild the dataset with media from an edition without media and local clips; report what matches.

    SOURCE is a folder, or ORG/NAME.
    """
    import tempfile

    from mma_bench.builders.publish.rebuild import rebuild as make
    from mma_bench.errors import ConfigError

    if Path(source).is_dir():
        if revision is not None:
            raise ConfigError(f"{source} is a folder; --revision applies only to names on the Hub", hint="omit it")
        make(Path(source), clips, out, report)
        return
    if "/" not in source:
        raise ConfigError(f"{source!r} is not a folder", hint="correct the path, or name a Hub dataset as ORG/NAME")
    if revision is None:
        raise ConfigError(f"which version of {source}?", hint="name it: --revision 1.2.0; or correct the folder's path")
    from mma_bench.hub.client import repo_name

    hub = open_hub(needs_token=False)
    with tempfile.TemporaryDirectory() as folder:
        fetch = hub.api.snapshot_download
        what = f"fetch {source}@{revision}"
        options = {"repo_type": "dataset", "revision": revision, "local_dir": folder}
        # An edition without media is small, so all of it is fetched.
        hub.ask(what, fetch, repo_name(source), ignore_patterns=[".gitattributes"], **options)
        make(Path(folder), clips, out, report)


@publish.command()
@click.argument("target")
@_dataset_option
def copy(target: str, folder: Path) -> None:
    """Copy the dataset to any fsspec path, e.g. s3://bucket/mma-bench; if interrupted, the same command resumes."""
    from mma_bench.builders.publish.shards import copy as send

    done = send(folder, target)
    click.echo(f"{done.sent} files sent ({done.bytes} bytes), {done.kept} already there")


def open_hub(*, needs_token: bool) -> "Hub":
    """A Hub client with the user's token, if there is one.

    Raises:
        ConfigError: A token is needed and there is none.
    """
    from huggingface_hub import get_token

    from mma_bench.hub.client import Hub, token_or_refuse

    return Hub(token_or_refuse() if needs_token else get_token())


def _release(name: str) -> "Release":
    from mma_bench.builders.publish.dataset import fetch_release
    from mma_bench.builders.publish.manifest import read_release
    from mma_bench.hub.repository import Repository

    if Path(name).is_dir() or "@" not in name:
        return read_release(Path(name))
    repo, _, version = name.partition("@")
    return fetch_release(Repository(open_hub(needs_token=False), repo, "dataset"), version)


COMMANDS = (publish,)
