"""`mma-bench authors import`: from a list on disk or on the Hub to the files of a build."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from mma_bench.builders.labels.decisions import read_decisions
from mma_bench.builders.manifests import authors_files
from mma_bench.builders.manifests.audioset_segments import segments_of
from mma_bench.builders.manifests.authors import imported
from mma_bench.builders.manifests.authors_report import compare
from mma_bench.builders.manifests.labels_of_list import Labels
from mma_bench.builders.manifests.listed import read_list
from mma_bench.builders.metadata import locate
from mma_bench.builders.ontology import class_map, load_ontology
from mma_bench.errors import ConfigError

TABLE: Final = files("mma_bench.builders") / "curation" / "class_decisions.csv"
MAX_DEPTH: Final = 3  # of the class list that a list is compared with, as in params.yaml


def import_list(source: str, out: Path, *, revision: str | None = None, split: str | None = None) -> dict[str, Any]:
    """Read a list and write the files of a build; returns the report.

    Args:
        source: A file, a folder, or ORG/NAME of a dataset on the Hub.
        out: The folder to write.
        revision: Of the dataset on the Hub.
        split: Of entries that state none.

    Raises:
        MmaBenchError: See `listed`, `authors`; or the Hub cannot be reached.
    """
    with _local(source, revision) as path:
        official = locate()
        classes = class_map(load_ontology(official["ontology.json"]), read_decisions(TABLE), MAX_DEPTH)
        labels = Labels.of(classes)
        entries, unused = read_list(path, labels.plain_names, source)
        videos = {each.video_id for entry in entries for each in (entry.clip, *entry.sounds) if each.video_id}
        audioset = segments_of(videos, official, classes)
        found = imported(entries, labels, audioset, split)
    report = {"source": source, "revision": revision, **compare(found, labels, audioset, unused)}
    authors_files.write(out, found, labels, TABLE, report)
    return report


@contextmanager
def _local(source: str, revision: str | None) -> Iterator[Path]:
    path = Path(source)
    if not source:
        raise ConfigError("no list is named", hint="name a JSON file, a folder, or a dataset on the Hub: ORG/NAME")
    if (
        path.suffix.lower() in (".json", ".jsonl")
        or path.exists()
        or source.count("/") != 1
        or source.startswith((".", "/"))
    ):
        if revision is not None:
            raise ConfigError(f"{source} is on disk; --revision applies to datasets on the Hub", hint="omit it")
        yield path
        return
    from huggingface_hub import get_token

    from mma_bench.hub.client import Hub, HubError, repo_name

    hub = Hub(get_token())
    with tempfile.TemporaryDirectory() as folder:
        options = {"repo_type": "dataset", "revision": revision, "local_dir": folder}
        try:
            patterns = ["*.json", "*.jsonl"]
            hub.ask(f"fetch {source}", hub.api.snapshot_download, repo_name(source), allow_patterns=patterns, **options)
        except HubError as error:
            if error.status in (401, 403, 404):
                raise
            error.hint = "run the same command again later, or fetch the JSON by other means and name its path"
            raise
        yield Path(folder)
