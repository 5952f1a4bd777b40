"""A list of pairs to keep: whose sound each clip gets, as others have chosen it (`pair.given` in params.yaml).

A CSV with a header: base_id, donor_id, donor_class. One of the last two may be empty: without a donor, one of the class
is chosen; without a class, it is the donor's.
"""

from pathlib import Path

from pydantic import model_validator

from mma_bench.csv_rows import ClipId, CsvRow, read_rows


class GivenPair(CsvRow):
    """A row: the ids of base and donor, "" for a donor that is not named, and the class of the sound, or ""."""

    base_id: ClipId
    donor_id: str = ""
    donor_class: str = ""

    @model_validator(mode="after")
    def _names_a_sound(self) -> "GivenPair":
        if not (self.donor_id or self.donor_class):
            raise ValueError("neither donor_id nor donor_class is given")
        if self.donor_id == self.base_id:
            raise ValueError(f"{self.base_id} is its own donor")
        return self


def read_pairs(path: Path) -> list[GivenPair]:
    """The pairs in the order of the file.

    Raises:
        DataError: See `read_rows`; the same pair twice; names file and line.
    """
    return read_rows(
        path, GivenPair, unique=["base_id", "donor_id", "donor_class"], hint="correct pair.given in params.yaml"
    )
