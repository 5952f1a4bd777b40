"""One repository on the Hub: what it holds, what differs from the files here, sending that, and fetching it again."""

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
        files: Path inside the repository → where it lies here.
        sha256: Path inside the repository → hash of the file's bytes.
    """

    files: dict[str, Path]
    sha256: dict[str, str]

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())


@dataclass(frozen=True)
class State:
    """What is on the Hub.

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
    """What makes a repository hold exactly some files; paths are sorted."""

    added: list[str]
    replaced: list[str]
    deleted: list[str]
    kept: list[str]

    @property
    def sent(self) -> list[str]:
        return [*self.added, *self.replaced]

    def lines(self, contents: Contents) -> list[str]:
        """Every file that is sent or deleted, one a line."""
        lines = [
            f"  {mark} {name} ({contents.files[name].stat().st_size:,} bytes)"
            for mark, names in (("+", self.added), ("~", self.replaced))
            for name in names
        ]
        return [*lines, *(f"  - {name}" for name in self.deleted), f"  {len(self.kept)} files stay as they are"]


class Repository:
    """A repository.

    Args:
        hub: The client.
        name: `ORG/NAME`.
        kind: As the Hub calls it.

    Raises:
        ConfigError: `name` has another form.
    """

    def __init__(self, hub: Hub, name: str, kind: Literal["dataset", "model"]) -> None:
        self.hub, self.name, self.kind = hub, repo_name(name), kind

    @property
    def url(self) -> str:
        """Its page."""
        return f"{self.hub.api.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"

    def state(self) -> State:
        """What is there now."""
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
        """A file, fetched afresh into `folder`; None if it is not there."""
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
            HubError: See there; also if somebody else committed since.
        """
        # Not `upload_folder`: with hf_xet, its default, it splits a large folder into several commits and checks
        # `parent_commit` for the first alone, where a version is exactly one commit. It also takes a single folder,
        # where a version's files lie in two, and has no dry run.
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        hub, api = self.hub, self.hub.api
        if head is None:
            create = {"repo_type": self.kind, "private": private, "exist_ok": True}
            hub.ask(f"create {self.name}", api.create_repo, self.name, **create)
            head = self.state().head
            assert head is not None
        if not plan.sent and not plan.deleted:
            return head  # an earlier try made the commit
        additions = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=contents.files[name]) for name in plan.sent]
        with Progress("publish: files", len(additions), "file") as progress:
            for addition in additions:
                # One by one, so that each file has its own retries; `create_commit` would start over with all.
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
            # The answer to a commit that was made can get lost; then the next try meets a head that has moved on.
            now = self.state()
            left = compare(contents, now)
            if error.status in (409, 412) and now.head is not None and not left.sent and not left.deleted:
                return now.head
            raise
        return str(done.oid)

    def verify(self, revision: str, sha256: Mapping[str, str]) -> None:
        """Fetch every file of a revision afresh, one at a time, and compare its hash.

        Raises:
            DataError: A file is missing, is too many, or has other bytes; names it.
        """
        delete = f"`hf repo tag delete {self.name} {revision} --type {self.kind}`"
        hint = f"announce nothing: delete the tag, if it has one ({delete}), then run the same command again"
        where, there = f"{self.name}@{revision}", set(self._files(revision))
        if odd := sorted(there ^ set(sha256)):
            raise DataError(f"{where}: {odd[0]} is {'too many' if odd[0] in there else 'missing'}", hint=hint)
        with Progress("publish: verify", len(sha256), "file") as progress:
            for name, expected in sha256.items():
                with tempfile.TemporaryDirectory() as folder:
                    path = self.fetch(revision, name, Path(folder))
                    if path is None or file_sha256(path) != expected:
                        raise DataError(f"{where}: {name} is not the file that was sent", hint=hint)
                progress.advance()


def compare(contents: Contents, state: State) -> Plan:
    """What has to be sent and deleted so that the repository holds exactly these files."""
    here, there = set(contents.files), set(state.files)
    same = {name for name in here & there if _is(contents, name, *state.files[name])}
    return Plan(sorted(here - there), sorted((here & there) - same), sorted(there - here), sorted(same))


def _identity(file: "RepoFile") -> tuple[str, str]:
    """How the Hub names a file's bytes: ("sha256", …) for a large one, ("git", …) for one in the git tree."""
    return ("sha256", file.lfs.sha256) if file.lfs is not None else ("git", file.blob_id)


def _is(contents: Contents, name: str, kind: str, value: str) -> bool:
    from huggingface_hub.utils.sha import git_hash

    return (contents.sha256[name] if kind == "sha256" else git_hash(contents.files[name].read_bytes())) == value
