"""Reads the float variables of a TensorFlow checkpoint ("tensor bundle") without TensorFlow.

`<prefix>.index` is a table in LevelDB's format: prefix-compressed entries in blocks, a block that lists the blocks,
and a footer of 48 bytes. Its values are `BundleEntryProto` messages that say where in `<prefix>.data-00000-of-00001`
a tensor lies. Formats: tensorflow/core/lib/io/format.h and tensorflow/core/protobuf/tensor_bundle.proto.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mma_bench.errors import DataError

FloatArray: TypeAlias = NDArray[np.float32]

_FOOTER: Final = 48
_MAGIC: Final = struct.pack("<Q", 0xDB4775248B80FB57)
_BLOCK_TRAILER: Final = 5  # compression type (0: none), CRC
_DT_FLOAT: Final = 1


def read_float_variables(prefix: Path) -> dict[str, FloatArray]:
    """The float32 tensors of the checkpoint `prefix`, by key; tensors of other dtypes are skipped.

    Raises:
        DataError: A file is missing, truncated or compressed, or its index points outside the data.
    """
    index_path, data_path = Path(f"{prefix}.index"), Path(f"{prefix}.data-00000-of-00001")
    try:
        index, data = index_path.read_bytes(), data_path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} does not exist", hint="delete its folder; it is downloaded again") from None
    variables = {}
    try:
        for key, entry in _table(index):
            if not key:  # the header
                continue
            fields = dict(_fields(entry))
            if fields.get(1) != _DT_FLOAT:
                continue
            shape = [_integer(dict(_fields(size)), 1) for size in _messages(_message(fields, 2))]
            start, size = _integer(fields, 4), _integer(fields, 5)
            variables[key.decode()] = np.frombuffer(data[start : start + size], dtype="<f4").reshape(shape)
    except (ValueError, IndexError, struct.error) as error:
        raise DataError(
            f"{index_path}: not a readable checkpoint ({error})", hint="delete it; it is downloaded again"
        ) from None
    return variables


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of every entry of a LevelDB table."""
    footer = content[-_FOOTER:]
    if len(footer) < _FOOTER or not footer.endswith(_MAGIC):
        raise ValueError("the footer's magic number is missing")
    _, _, position = _handle(footer, 0)  # of the metaindex, which is empty in checkpoints
    offset, size, _ = _handle(footer, position)
    for _, handle in _block(content, offset, size):
        offset, size, _ = _handle(handle, 0)
        yield from _block(content, offset, size)


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if offset + size + _BLOCK_TRAILER > len(content):
        raise ValueError("a block lies outside the file")
    if content[offset + size] != 0:
        raise ValueError("a block is compressed")
    block = content[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        own, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + own]
        position += own
        yield key, block[position : position + length]
        position += length


def _handle(content: bytes, position: int) -> tuple[int, int, int]:
    offset, position = _varint(content, position)
    size, position = _varint(content, position)
    return offset, size, position


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field number and raw value of every field of a protobuf message."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        wire = tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, position = _varint(message, position)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"protobuf wire type {wire}")
        yield tag >> 3, message[position : position + length]
        position += length


def _messages(message: bytes) -> Iterator[bytes]:
    """The fields of a message that contains only messages."""
    for _, value in _fields(message):
        if not isinstance(value, bytes):
            raise ValueError("expected a message, found an integer")
        yield value


def _integer(fields: dict[int, int | bytes], number: int) -> int:
    value = fields.get(number, 0)
    if not isinstance(value, int):
        raise ValueError(f"field {number} is not an integer")
    return value


def _message(fields: dict[int, int | bytes], number: int) -> bytes:
    value = fields.get(number, b"")
    if not isinstance(value, bytes):
        raise ValueError(f"field {number} is not a message")
    return value


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
