"""Near-duplicate search against the definition, pair by pair."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.validation import leaks

# Few bits vary, so that equal and near hashes are common.
hashes = st.lists(st.tuples(st.sampled_from(["test", "train"]), st.integers(0, 255)), max_size=30)


def clips(drawn: list[tuple[str, int]]) -> pl.DataFrame:
    rows = [
        {"split": split, "clip_id": f"clip{number:02}", "phash": f"{bits << 56 | bits:016x}"}
        for number, (split, bits) in enumerate(drawn)
    ]
    return pl.DataFrame(rows, schema={"split": pl.String(), "clip_id": pl.String(), "phash": pl.String()})


@given(hashes, st.integers(0, 64))
@settings(deadline=None, max_examples=60)
def test_the_nearest_picture_is_the_nearest_of_the_other_split(drawn: list[tuple[str, int]], limit: int) -> None:
    table = clips(drawn)
    found = leaks.nearest_pictures(table, limit)
    bits = dict(zip(table["clip_id"], (int(text, 16) for text in table["phash"]), strict=True))
    for (split, clip_id, _), row in zip(table.iter_rows(), found.iter_rows(), strict=True):
        others = table.filter(pl.col("split") != split)["clip_id"].to_list()
        near = [((bits[clip_id] ^ bits[other]).bit_count(), other) for other in others]
        assert row == min((pair for pair in near if pair[0] <= limit), default=(64, None))


def test_a_malformed_hash_is_never_far_from_everything() -> None:
    table = clips([("test", 1), ("train", 255)]).with_columns(phash=pl.Series(["xyz", None]))
    assert leaks.nearest_pictures(table, 6).rows() == [(0, "clip00"), (0, "clip01")]


@given(hashes)
@settings(deadline=None, max_examples=60)
def test_a_value_is_shared_with_the_other_split_only(drawn: list[tuple[str, int]]) -> None:
    table = clips(drawn)
    for (split, _, phash), twin in zip(table.iter_rows(), leaks.shared_with(table, "phash"), strict=True):
        there = table.filter((pl.col("split") != split) & (pl.col("phash") == phash))["clip_id"]
        assert twin == there.min()
