"""Where clips come from: selects the `ClipSource` configured in params.yaml.

`sample` composes the bundled photographs and sounds; `folder` copies from a folder of AudioSet clips with known names;
`clips` copies clips that are not AudioSet's, by a manifest; `tar`
reads members of WebDataset shards; `youtube` downloads one section of a video; `composed` is a chain of sources, which
tries the next source if the answer is a `Refusal` or a fetch shows that the clip is unavailable there: a mirror first,
YouTube for the rest.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from mma_bench.builders.sources.contracts import ClipSource
from mma_bench.errors import ConfigError

if TYPE_CHECKING:  # the command line imports this package, and `--help` should not wait for pydantic
    from mma_bench.builders.sources.account import FileAccount
    from mma_bench.config import AcquireParams, SourceName


def open_source(acquire: "AcquireParams") -> ClipSource:
    """The source that params.yaml names.

    Raises:
        ConfigError: It cannot be used: no such folder, no manifest, a row of the manifest that is wrong.
    """
    sources = [_open(name, acquire) for name in acquire.sources]
    if len(sources) == 1:
        return sources[0]
    from mma_bench.builders.sources.composed import ComposedSource

    return ComposedSource(sources)


def _open(name: "SourceName", acquire: "AcquireParams") -> ClipSource:
    # Imported here because each brings libraries that the others do without.
    if name == "sample":
        from mma_bench.builders.sources.sample import SAMPLE, SampleSource

        return SampleSource(SAMPLE)
    if name == "folder" and acquire.folder is not None:
        from mma_bench.builders.sources.folder import FolderSource

        return FolderSource(Path(acquire.folder), max_bytes=acquire.max_bytes)
    if name == "clips" and acquire.folder is not None:
        from mma_bench.builders.sources.clips import ClipsSource

        return ClipsSource(Path(acquire.folder), max_bytes=acquire.max_bytes)
    if name == "tar" and acquire.shards is not None:
        from mma_bench.builders.sources.tar import TarSource

        return TarSource(Path(acquire.shards), max_bytes=acquire.max_bytes)
    if name == "youtube" and acquire.youtube is not None:
        from mma_bench.builders.sources.youtube import YouTubeSource

        return YouTubeSource(acquire.youtube, max_bytes=acquire.max_bytes)
    raise ConfigError(f"acquire.source names {name!r}, which is not described", hint="correct params.yaml")


def accounts(source: ClipSource) -> list["FileAccount"]:
    """The account of the files of each folder or set of shards."""
    from mma_bench.builders.sources.clips import ClipsSource
    from mma_bench.builders.sources.composed import ComposedSource
    from mma_bench.builders.sources.folder import FolderSource
    from mma_bench.builders.sources.tar import TarSource

    sources = source.sources if isinstance(source, ComposedSource) else [source]
    return [each.account for each in sources if isinstance(each, FolderSource | ClipsSource | TarSource)]
