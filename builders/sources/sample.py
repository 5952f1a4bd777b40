"""The bundled sample as a source: each clip composed from one photograph and one sound (see sample/README.md).

In: `sample/manifest.csv`, which names photo, sound, their authors and licences for each clip. Such clips are
"photo + sound": no clip of them is called a recording.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import PIL

from mma_bench.builders.sources import camera, composition, soundtrack
from mma_bench.builders.sources.contracts import Fetched, Refusal, Request, Segment
from mma_bench.errors import ConfigError, InvalidInput, Permanent
from mma_bench.files import clip_path, file_sha256, fingerprint

SAMPLE: Final = Path("sample")
NAME: Final = "sample (photo + sound)"

_COLUMNS: Final = (
    "clip_id",
    *(f"{part}{column}" for part in ("photo", "sound") for column in ("", "_author", "_licence", "_package")),
)


@dataclass(frozen=True)
class Pair:
    """A row of the manifest: the two files and the terms of both."""

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
        self._pairs = read_manifest(folder / "manifest.csv")
        # The encoder is part of the library, and the code is part of the recipe.
        code = [file_sha256(Path(str(module.__file__))) for module in (camera, soundtrack, composition)]
        self._recipe = fingerprint(code, av.__version__, PIL.__version__)

    def request(self, segment: Segment) -> Request:
        """The composition of the pair with the segment's clip id."""
        pair = self._pairs.get(segment.clip_id)
        if pair is None:
            return Refusal(Permanent("not_in_sample", f"the sample has no clip {segment.clip_id[:80]!r}"))
        revision = fingerprint(self._recipe, file_sha256(pair.photo), file_sha256(pair.sound), pair.licence)
        return Composition(pair, revision)


def read_manifest(path: Path) -> dict[str, Pair]:
    """The manifest's pairs by clip id; every file that it names exists and lies beside it.

    Raises:
        ConfigError: It cannot be read, lacks a column, or a row is wrong; names file and line.
    """
    pairs: dict[str, Pair] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, strict=True)
            missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise ConfigError(f"{path}, line 1: column {missing[0]!r} is missing", hint="add the column")
            for row in rows:
                pair = _pair(row, path, rows.line_num)
                if pair.clip_id in pairs:
                    raise _wrong(path, rows.line_num, f"{pair.clip_id} stands in an earlier row too")
                pairs[pair.clip_id] = pair
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror})", hint="run in the project's root, where sample/ lies"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 ({error})", hint="save it as UTF-8") from None
    except csv.Error as error:
        raise _wrong(path, rows.reader.line_num, str(error)) from None
    return pairs


def _wrong(path: Path, line: int, what: str) -> ConfigError:
    return ConfigError(f"{path}, line {line}: {what}", hint="correct the row")


def _pair(row: dict[str, str], path: Path, line: int) -> Pair:
    # DictReader puts fields beyond the header under None, and None where a row is short.
    if None in row or None in row.values():
        raise _wrong(path, line, "the row has another number of fields than the header")
    empty = [column for column in _COLUMNS if not row[column].strip()]
    if empty:
        raise _wrong(path, line, f"{empty[0]} is empty")
    try:
        clip_path(Path(), row["clip_id"])
    except InvalidInput as error:
        raise _wrong(path, line, error.detail) from None
    terms = (
        f"{part}: {row[f'{part}_author']}, {row[f'{part}_licence']} ({row[f'{part}_package']})"
        for part in ("photo", "sound")
    )
    return Pair(
        clip_id=row["clip_id"],
        photo=_file(row["photo"], path, line),
        sound=_file(row["sound"], path, line),
        licence="; ".join(terms),
    )


def _file(name: str, manifest: Path, line: int) -> Path:
    file, folder = manifest.parent / name, manifest.parent.resolve()
    if "\0" in name or not file.resolve().is_relative_to(folder):
        raise _wrong(manifest, line, f"{name!r} leads out of {manifest.parent}")
    if not file.is_file():
        raise _wrong(manifest, line, f"{file} does not exist")
    return file
