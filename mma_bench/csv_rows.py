"""Hand-written CSV files as validated rows: one reader, with errors that say what is wrong and where.

Files saved by a spreadsheet are read as well: with a byte order mark, semicolons or tabs between cells, empty rows and
columns at the end, and texts that a leading `'` or a formula `="…"` keeps from being computed, as ids that begin with
`-` need. A cell that the spreadsheet has computed to an error, e.g. `#NAME?`, is refused: its text is lost.

`csv_text` writes such a file; texts that would be read otherwise than they are stand in it as a formula `="…"`.
"""

import csv
import io
import re
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from mma_bench.errors import DataError, InvalidInput
from mma_bench.files import clip_path

Row = TypeVar("Row", bound="CsvRow")


class CsvRow(BaseModel):
    """A row. A subclass has a field for each used column, by its name or its `validation_alias`.

    A column whose field has a default may be absent. Other columns are ignored, unless the subclass forbids them.

    Attributes:
        where: File and line, for messages.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    where: str


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("empty")
    return text


def _clip_id(text: str) -> str:
    try:
        clip_path(Path(), text)
    except InvalidInput as error:
        raise ValueError(error.detail) from None
    return text


_DELIMITERS = ",;\t"
_FORMULA = re.compile(r'="(.*)"', re.DOTALL)
_QUOTED = re.compile(r"'([-=+@].*)", re.DOTALL)
_LOST = frozenset({"#NAME?", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#N/A", "#NULL!"})

Filled = Annotated[str, AfterValidator(_filled)]
ClipId = Annotated[str, AfterValidator(_clip_id)]  # safe as a path component


def read_rows(
    file: Traversable, model: type[Row], *, unique: Sequence[str] = (), hint: str = "correct the path"
) -> list[Row]:
    """The rows of a CSV file with a header, in UTF-8 or, with a byte order mark, UTF-16. Blank lines are skipped.

    Args:
        file: The file to read.
        model: The model of a row.
        unique: Fields whose combined value must differ between rows.
        hint: What to do if the file does not exist.

    Raises:
        DataError: No such file, not UTF-8, not CSV, a missing column, a row with another number of cells than the
            header, a wrong or lost value, or two rows with the same `unique` fields; names the file, and the line and
            column.
    """
    rows: list[Row] = []
    seen: dict[tuple[object, ...], int] = {}
    columns = {name: str(field.validation_alias or name) for name, field in model.model_fields.items()}
    for line, cells in _cells(file, model, hint):
        where = f"{file}, line {line}"
        try:
            row = model.model_validate(cells | {"where": where})
        except ValidationError as error:
            raise DataError(f"{where}{_problem(error)}", hint="correct the row") from None
        key = tuple(getattr(row, name) for name in unique)
        if unique and (first := seen.setdefault(key, line)) != line:
            said = ", ".join(f"{columns[name]} {value!r}" for name, value in zip(unique, key, strict=True))
            raise DataError(f"{where}: {said} is already in line {first}", hint="rename or remove one of the two")
        rows.append(row)
    return rows


def csv_text(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A CSV file whose texts `read_rows` gives back exactly, up to its largest cell of 131,072 characters.

    Args:
        header: The columns.
        rows: The cells of each row; a row of empty cells would not be read back.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_protected(str(cell)) for cell in row] for row in rows)
    return stream.getvalue()


def _protected(text: str) -> str:
    # A carriage return alone would end the row: not every version of Python puts it in quotes.
    return f'="{text}"' if text in _LOST or _value(text) != text or "\r" in text else text


def warn_unknown(file: Path, column: str, values: Iterable[str], known: Iterable[str]) -> None:
    """Say on stderr which values of a column match nothing of this build, as they may be misspelt."""
    unknown = sorted(set(values) - set(known))
    if unknown:
        examples = ", ".join(repr(value) for value in unknown[:3])
        print(f"{file}: {len(unknown)} of column {column!r} match nothing here, e.g. {examples}", file=sys.stderr)


def _cells(file: Traversable, model: type[CsvRow], hint: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and column → text of each row."""
    text = read_text(file, hint)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(text, _fields(model)))
    try:
        header = next(reader, [])
        while header and not header[-1].strip():  # a spreadsheet's empty columns
            header.pop()
        _check_header(header, model, f"{file}, line {max(reader.line_num, 1)}")
        for cells in reader:
            if not any(cells):
                continue
            while len(cells) > len(header) and not cells[-1]:
                cells.pop()
            where = f"{file}, line {reader.line_num}"
            if len(cells) != len(header):
                raise DataError(
                    f"{where}: {len(cells)} columns, the header has {len(header)}",
                    hint="correct the row; put a text that contains a comma in quotes",
                )
            for column, cell in zip(header, cells, strict=True):
                if cell in _LOST:
                    raise DataError(
                        f"{where}, column {column!r}: a spreadsheet has replaced the text by {cell}",
                        hint="restore the text; in a spreadsheet, format the column as text before pasting",
                    )
            yield reader.line_num, dict(zip(header, map(_value, cells), strict=True))
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}", hint="save the table as CSV") from None


def _delimiter(text: str, fields: Iterable[str]) -> str:
    """The delimiter under which the header has the most known columns; a comma unless another one has more."""
    header = text.partition("\n")[0].rstrip("\r")
    known = set(fields)
    return max(_DELIMITERS, key=lambda each: len(known & {name.strip('"') for name in header.split(each)}))


def _value(cell: str) -> str:
    """The text of a cell; that of a formula `="…"` exactly."""
    # Blanks around a value are invisible in an editor, and an id with one would match nothing.
    cell = cell.strip()
    if formula := _FORMULA.fullmatch(cell):
        return formula[1]
    quoted = _QUOTED.fullmatch(cell)
    return cell if quoted is None else quoted[1]


def read_text(file: Traversable, hint: str = "correct the path") -> str:
    """A text file that a person wrote, in UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises:
        DataError: No such file, or not text; names the file and the line.
    """
    try:
        data = file.read_bytes()
        return data.decode("utf-16" if data.startswith((BOM_UTF16_BE, BOM_UTF16_LE)) else "utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{file} does not exist", hint=hint) from None
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror})", hint=hint) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}, line {line}: not UTF-8", hint="save the file in UTF-8") from None


def _fields(model: type[CsvRow]) -> dict[str, FieldInfo]:
    """Column → field."""
    fields = {str(field.validation_alias or name): field for name, field in model.model_fields.items()}
    del fields["where"]
    return fields


def _check_header(header: Sequence[str], model: type[CsvRow], where: str) -> None:
    fields = _fields(model)
    for column, field in fields.items():
        if field.is_required() and column not in header:
            raise DataError(f"{where}: column {column!r} is missing", hint="restore the table's header")
        if header.count(column) > 1:
            raise DataError(f"{where}: column {column!r} appears twice", hint="rename or remove one of the two")
    if model.model_config.get("extra") == "forbid" and (unknown := [name for name in header if name not in fields]):
        raise DataError(f"{where}: unknown column {unknown[0]!r}", hint=f"the columns are {','.join(fields)}")


def _problem(error: ValidationError) -> str:
    """What is wrong with a row's first wrong cell, and its column."""
    first = error.errors()[0]
    column = f", column {first['loc'][0]!r}" if first["loc"] else ""
    if first["type"] == "value_error":
        return f"{column}: {first['ctx']['error']}"
    return f"{column}: {first['msg'][0].lower()}{first['msg'][1:]}, not {str(first['input'])[:80]!r}"
