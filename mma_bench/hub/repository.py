"""A repository on the Hub: its contents, the difference from local files, uploading that, and verifying it."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from mma_bench.errors import DataError
from mma_bench.files import file_sha256
from mma_bench.hub.client import Hub, HubError, repo_name
from mma_bench.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_KEPT: Final = (".gitattributes",)  # the Hub's own


@dataclass(frozen=True)
class Contents:
    """All files of a version.

    Attributes:
        files: Path inside the repository → local path.
        sha256: Path inside the repository → hash of the file's bytes.
    """

    files: dict[str, Path]
    sha256: dict[str, str]

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())


@dataclass(frozen=True)
class State:
    """The state on the Hub.

    Attributes:
        head: Commit of the branch main; None if there is no repository.
        tags: Tag → commit.
        files: Of the head: path → identity, see `_identity`.
    """

    head: str | None
    tags: Mapping[str, str]
    files: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Plan:
    """The changes that make a repository hold exactly the given files; paths are sorted."""

    added: list[str]
    replaced: list[str]
    deleted: list[str]
    kept: list[str]

    @property
    def sent(self) -> list[str]:
        return [*self.added, *self.replaced]

    def lines(self, contents: Contents) -> list[str]:
        """Every file that is sent or deleted, one per line."""
        lines = [
            f"  {mark} {name} ({contents.files[name].stat().st_size:,} bytes)"
            for mark, names in (("+", self.added), ("~", self.replaced))
            for name in names
        ]
        return [*lines, *(f"  - {name}" for name in self.deleted), f"  {len(self.kept)} files unchanged"]


class Repository:
    """A repository.

    Args:
        hub: The client.
        name: `ORG/NAME`.
        kind: The Hub's repository type.

    Raises:
        ConfigError: `name` is malformed.
    """

    def __init__(self, hub: Hub, name: str, kind: Literal["dataset", "model"]) -> None:
        self.hub, self.name, self.kind = hub, repo_name(name), kind

    @property
    def url(self) -> str:
        """Its page."""
        return f"{self.hub.api.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"

    def state(self) -> State:
        """The current state."""
        api, name, kind = self.hub.api, self.name, self.kind
        info = self.hub.exists(api.repo_info, f"look at {name}", name, repo_type=kind)
        if info is None:
            return State(None, {}, {})
        refs = self.hub.ask(f"tags of {name}", api.list_repo_refs, name, repo_type=kind)
        assert info.sha is not None
        return State(info.sha, {tag.name: tag.target_commit for tag in refs.tags}, self._files(info.sha))

    def _files(self, revision: str) -> dict[str, tuple[str, str]]:
        def listed() -> dict[str, tuple[str, str]]:
            from huggingface_hub.hf_api import RepoFile

            tree = self.hub.api.list_repo_tree(self.name, recursive=True, revision=revision, repo_type=self.kind)
            return {item.path: _identity(item) for item in tree if isinstance(item, RepoFile)}

        files = self.hub.ask(f"files of {self.name}", listed)
        return {path: identity for path, identity in files.items() if path not in _KEPT}

    def fetch(self, revision: str, name: str, folder: Path) -> Path | None:
        """A file, freshly downloaded into `folder`; None if it does not exist."""
        download = self.hub.api.hf_hub_download
        what = f"fetch {name}"
        fetched = self.hub.exists(
            download, what, self.name, name, revision=revision, repo_type=self.kind, local_dir=folder
        )
        return None if fetched is None else Path(fetched)

    def send(self, contents: Contents, plan: Plan, head: str | None, message: str, *, private: bool) -> str:
        """Send what differs in one commit; return the commit that then holds the files.

        Args:
            head: The commit that `plan` was made for; None creates the repository first.

        Raises:
            HubError: See there; also if somebody else committed in the meantime.
        """
        # Not `upload_folder`: with hf_xet, its default, it splits a large folder into several commits and checks
        # `parent_commit` only for the first, but a version must be exactly one commit. It also accepts only one folder,
        # while a version's files are in two, and has no dry run.
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        hub, api = self.hub, self.hub.api
        if head is None:
            create = {"repo_type": self.kind, "private": private, "exist_ok": True}
            hub.ask(f"create {self.name}", api.create_repo, self.name, **create)
            head = self.state().head
            assert head is not None
        if not plan.sent and not plan.deleted:
            return head  # an earlier attempt made the commit
        additions = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=contents.files[name]) for name in plan.sent]
        with Progress("publish: files", len(additions), "file") as progress:
            for addition in additions:
                # One by one, so that each file has its own retries; `create_commit` would restart all of them.
                what, upload = f"send {addition.path_in_repo}", api.preupload_lfs_files
                hub.ask(what, upload, self.name, [addition], repo_type=self.kind, free_memory=False)
                progress.advance()
        operations: list[Any] = [*additions, *(CommitOperationDelete(path_in_repo=name) for name in plan.deleted)]
        try:
            done = hub.ask(
                f"commit {message}",
                api.create_commit,
                self.name,
                operations,
                commit_message=message,
                repo_type=self.kind,
                parent_commit=head,
            )
        except HubError as error:
            # The response to a successful commit can get lost; then the next attempt finds a newer head.
            now = self.state()
            left = compare(contents, now)
            if error.status in (409, 412) and now.head is not None and not left.sent and not left.deleted:
                return now.head
            raise
        return str(done.oid)

    def verify(self, revision: str, sha256: Mapping[str, str]) -> None:
        """Download every file of a revision again, one at a time, and compare its hash.

        Raises:
            DataError: A file is missing, unexpected, or has other bytes; names it.
        """
        delete = f"`hf repo tag delete {self.name} {revision} --type {self.kind}`"
        hint = f"do not announce it: delete the tag, if it has one ({delete}), then run the same command again"
        where, there = f"{self.name}@{revision}", set(self._files(revision))
        if odd := sorted(there ^ set(sha256)):
            raise DataError(f"{where}: {odd[0]} is {'unexpected' if odd[0] in there else 'missing'}", hint=hint)
        with Progress("publish: verify", len(sha256), "file") as progress:
            for name, expected in sha256.items():
                with tempfile.TemporaryDirectory() as folder:
                    path = self.fetch(revision, name, Path(folder))
                    if path is None or file_sha256(path) != expected:
                        raise DataError(f"{where}: {name} is not the file that was sent", hint=hint)
                progress.advance()


def compare(contents: Contents, state: State) -> Plan:
    """The uploads and deletions after which the repository holds exactly these files."""
    here, there = set(contents.files), set(state.files)
    same = {name for name in here & there if _is(contents, name, *state.files[name])}
    return Plan(sorted(here - there), sorted((here & there) - same), sorted(there - here), sorted(same))


def _identity(file: "RepoFile") -> tuple[str, str]:
    """How the Hub identifies a file's bytes: ("sha256", …) for a large one, ("git", …) for one in the git tree."""
    return ("sha256", file.lfs.sha256) if file.lfs is not None else ("git", file.blob_id)


def _is(contents: Contents, name: str, kind: str, value: str) -> bool:
    from huggingface_hub.utils.sha import git_hash

    return (contents.sha256[name] if kind == "sha256" else git_hash(contents.files[name].read_bytes())) == value
