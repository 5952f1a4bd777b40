"""The checkpoint reader: what a writer of the same format wrote comes back; anything else is a DataError."""

import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import DataError
from mma_bench.models.specialist.tf_checkpoint import FloatArray, read_float_variables

SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
KEYS = st.text("abc/-0123456789", min_size=1, max_size=12)


def varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A protobuf message of varints and length-delimited fields."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def block(entries: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    """A LevelDB block with its trailer; keys share their prefixes, as the format wants it."""
    out, last = b"", b""
    for key, value in entries:
        shared = next((i for i, (a, b) in enumerate(zip(last, key, strict=False)) if a != b), min(len(last), len(key)))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return out + struct.pack("<II", 0, 1) + bytes([compression]) + bytes(4)


def write_bundle(prefix: Path, variables: dict[str, FloatArray], kind: int = 1, compression: int = 0) -> None:
    """Write a checkpoint with at most three entries in a block."""
    data, entries = b"", [(b"", message((1, 1)))]  # the header
    for key in sorted(variables):
        array = variables[key]
        shape = message(*((2, message((1, size))) for size in array.shape))
        checksum = varint(6 << 3 | 5) + bytes(4)  # fixed32
        entries.append((key.encode(), message((1, kind), (2, shape), (4, len(data)), (5, array.nbytes)) + checksum))
        data += array.tobytes()
    blocks = [(some[-1][0], block(some, compression)) for some in batched(entries, 3)]
    table, handles = b"", []
    for key, content in blocks:
        handles.append((key, varint(len(table)) + varint(len(content) - 5)))
        table += content
    index = block(handles, compression)
    footer = varint(len(table) + len(index)) + varint(8) + varint(len(table)) + varint(len(index) - 5)
    table += index + block([])
    Path(f"{prefix}.index").write_bytes(table + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)


def batched(items: list[tuple[bytes, bytes]], size: int) -> list[list[tuple[bytes, bytes]]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


@settings(max_examples=50, deadline=None)
@given(shapes=st.dictionaries(KEYS, SHAPES, max_size=5), seed=st.integers(0, 9))
def test_what_was_written_is_read(
    shapes: dict[str, tuple[int, ...]], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    numbers = np.random.default_rng(seed)
    variables = {key: numbers.normal(size=shape).astype("<f4") for key, shape in shapes.items()}
    prefix = tmp_path_factory.mktemp("bundle") / "variables"
    write_bundle(prefix, variables)
    found = read_float_variables(prefix)
    assert found.keys() == variables.keys()
    for key, array in variables.items():
        assert found[key].shape == array.shape
        np.testing.assert_array_equal(found[key], array)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "v", {"a/kernel": np.arange(6, dtype="<f4").reshape(2, 3), "a/bias": np.ones(3, "<f4")})
    return tmp_path / "v"


@pytest.mark.slow
def test_every_cut_of_either_file_is_named(bundle: Path) -> None:
    for part in (".index", ".data-00000-of-00001"):
        path = Path(f"{bundle}{part}")
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(DataError, match="not a readable checkpoint"):
                read_float_variables(bundle)
        path.write_bytes(whole)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(where=st.floats(0, 0.999), value=st.integers(0, 255))
def test_a_damaged_index_never_ends_in_another_error(
    where: float, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prefix = tmp_path_factory.mktemp("damaged") / "v"
    write_bundle(prefix, {"kernel": np.arange(6, dtype="<f4").reshape(2, 3)})
    index = Path(f"{prefix}.index")
    content = bytearray(index.read_bytes())
    content[int(where * len(content))] = value
    index.write_bytes(content)
    with suppress(DataError):
        read_float_variables(prefix)


def test_other_types_are_left_out_and_compression_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "v", {"count": np.ones(1, "<f4")}, kind=9)
    assert read_float_variables(tmp_path / "v") == {}
    write_bundle(tmp_path / "w", {"count": np.ones(1, "<f4")}, compression=1)
    with pytest.raises(DataError, match="compressed"):
        read_float_variables(tmp_path / "w")


def test_a_missing_file_is_named(bundle: Path) -> None:
    Path(f"{bundle}.data-00000-of-00001").unlink()
    with pytest.raises(DataError, match=r"v\.data-00000-of-00001 does not exist"):
        read_float_variables(bundle)
