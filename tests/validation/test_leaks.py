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


@given(hashes)
@settings(deadline=None, max_examples=60)
def test_the_nearest_picture_is_the_nearest_of_the_other_split(drawn: list[tuple[str, int]]) -> None:
    table = clips(drawn)
    found = leaks.nearest_pictures(table)
    bits = dict(zip(table["clip_id"], (int(text, 16) for text in table["phash"]), strict=True))
    for (split, clip_id, _), (distance, nearest) in zip(table.iter_rows(), found.iter_rows(), strict=True):
        others = table.filter(pl.col("split") != split)["clip_id"].to_list()
        expected = min(((bits[clip_id] ^ bits[other]).bit_count() for other in others), default=64)
        assert distance == expected
        assert (nearest in others and (bits[clip_id] ^ bits[nearest]).bit_count() == distance) or not others


def test_blocks_give_what_one_block_gives(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    table = clips([("test" if i % 3 else "train", i * 37 % 256) for i in range(50)])
    whole = leaks.nearest_pictures(table)
    monkeypatch.setattr(leaks, "_BLOCK", 20)
    assert leaks.nearest_pictures(table).equals(whole)


def test_a_malformed_hash_is_never_far_from_everything() -> None:
    table = clips([("test", 1), ("train", 255)]).with_columns(phash=pl.Series(["xyz", None]))
    assert leaks.nearest_pictures(table).rows() == [(0, "clip00"), (0, "clip01")]


@given(hashes)
@settings(deadline=None, max_examples=60)
def test_a_value_is_shared_with_the_other_split_only(drawn: list[tuple[str, int]]) -> None:
    table = clips(drawn)
    for (split, _, phash), twin in zip(table.iter_rows(), leaks.shared_with(table, "phash"), strict=True):
        there = table.filter((pl.col("split") != split) & (pl.col("phash") == phash))["clip_id"]
        assert twin == there.min()
