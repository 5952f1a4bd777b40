"""The bundled sample as a source: each clip is composed of one photograph and one sound (see sample/README.md).

In: `sample/manifest.csv`, which names photo, sound, their authors and licences for each clip. Such clips are "photo +
    sound" and never called recordings.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import PIL

from mma_bench.builders.sources import camera, composition, soundtrack
from mma_bench.builders.sources.contracts import Fetched, Refusal, Request, Segment
from mma_bench.csv_rows import ClipId, CsvRow, Filled, read_rows
from mma_bench.errors import ConfigError, DataError, Permanent
from mma_bench.files import file_sha256, fingerprint

SAMPLE: Final = Path("sample")
NAME: Final = "sample (photo + sound)"


class SampleRow(CsvRow):
    """A row of the manifest."""

    clip_id: ClipId
    photo: Filled
    photo_author: Filled
    photo_licence: Filled
    photo_package: Filled
    sound: Filled
    sound_author: Filled
    sound_licence: Filled
    sound_package: Filled


@dataclass(frozen=True)
class Pair:
    """The two files of a clip and their licence terms."""

    clip_id: str
    photo: Path
    sound: Path
    licence: str


@dataclass(frozen=True)
class Composition:
    """The request for a composed clip."""

    pair: Pair
    revision: str
    remote = False
    suffix: str = ".mp4"

    def fetch(self, into: Path) -> Fetched:
        """Compose the clip; see `composition.compose`."""
        composition.compose(self.pair.photo, self.pair.sound, self.pair.clip_id, into)
        return Fetched(
            source=NAME, licence=self.pair.licence, origin=f"{self.pair.photo.name} + {self.pair.sound.name}"
        )


class SampleSource:
    """Composes clips from a folder with a manifest, photos and sounds.

    Raises:
        ConfigError: The manifest or a file that it names is missing or wrong; names file and line.
    """

    name = NAME

    def __init__(self, folder: Path) -> None:
        self._pairs = read_sample_pairs(folder / "manifest.csv")
        # The encoder is part of the library, so its version belongs to the recipe, and so does the code's.
        code = [file_sha256(Path(str(module.__file__))) for module in (camera, soundtrack, composition)]
        self._recipe = fingerprint(code, av.__version__, PIL.__version__)

    def request(self, segment: Segment) -> Request:
        """The composition of the pair with the segment's clip id."""
        pair = self._pairs.get(segment.clip_id)
        if pair is None:
            return Refusal(Permanent("not_in_sample", f"the sample has no clip {segment.clip_id[:80]!r}"))
        revision = fingerprint(self._recipe, file_sha256(pair.photo), file_sha256(pair.sound), pair.licence)
        return Composition(pair, revision)


def read_sample_pairs(path: Path) -> dict[str, Pair]:
    """The pairs of the sample's manifest by clip id; every file that it names exists and is in its folder.

    Raises:
        ConfigError: It cannot be read, lacks a column, or a row is wrong; names file and line.
    """
    try:
        rows = read_rows(path, SampleRow, unique=["clip_id"], hint="run in the project's root, which contains sample/")
    except DataError as error:  # the configuration chose the sample
        raise ConfigError(error.message, hint=error.hint) from None
    return {row.clip_id: _pair(row, path.parent) for row in rows}


def _pair(row: SampleRow, folder: Path) -> Pair:
    return Pair(
        clip_id=row.clip_id,
        photo=_file(row.photo, folder, row.where),
        sound=_file(row.sound, folder, row.where),
        licence=(
            f"photo: {row.photo_author}, {row.photo_licence} ({row.photo_package}); "
            f"sound: {row.sound_author}, {row.sound_licence} ({row.sound_package})"
        ),
    )


def _file(name: str, folder: Path, where: str) -> Path:
    file = folder / name
    if "\0" in name or not file.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{where}: {name!r} leads out of {folder}", hint="correct the row")
    if not file.is_file():
        raise ConfigError(f"{where}: {file} does not exist", hint="correct the row")
    return file
