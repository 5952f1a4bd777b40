"""CSV files that people write: read in full, or refused by file, line and column."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, Field

from mma_bench.csv_rows import ClipId, CsvRow, Filled, csv_text, read_rows, warn_unknown
from mma_bench.errors import DataError


class Animal(CsvRow):
    clip_id: ClipId
    sound: Filled
    class_name: Literal["Cat", "Dog"] = Field(validation_alias="class")
    legs: Annotated[int, Field(ge=0)] = 4


class Exact(Animal):
    model_config = ConfigDict(extra="forbid")


HEADER = "clip_id,sound,class,legs,note\n"


def listed(folder: Path, text: str) -> Path:
    path = folder / "animals.csv"
    path.write_bytes(text.encode())
    return path


def test_rows_are_checked_and_say_where_they_stand(tmp_path: Path) -> None:
    path = listed(tmp_path, HEADER + 'cat-1,meow,Cat,4,x\n\n"dog-1","woof,\nwoof",Dog,3,\n')
    cat, dog = read_rows(path, Animal)
    assert (cat.clip_id, cat.sound, cat.class_name, cat.legs) == ("cat-1", "meow", "Cat", 4)
    assert (dog.sound, dog.legs) == ("woof,\nwoof", 3)
    assert [cat.where, dog.where] == [f"{path}, line 2", f"{path}, line 5"]


def test_a_column_with_a_default_may_be_absent_and_others_are_ignored(tmp_path: Path) -> None:
    (cat,) = read_rows(listed(tmp_path, "note,class,sound,clip_id\nx,Cat,meow,cat-1\n"), Animal)
    assert cat.legs == 4


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_and_line_ends_do_not_matter(tmp_path: Path, start: bytes, end: bytes) -> None:
    path = tmp_path / "animals.csv"
    path.write_bytes(start + end.join([b"clip_id,sound,class", "cat-1,mïaou,Cat".encode(), b""]))
    assert [row.sound for row in read_rows(path, Animal)] == ["mïaou"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["\ufeff", ""])
@pytest.mark.parametrize("written", ["-Xx_1", "'-Xx_1", '"=""-Xx_1"""', '="-Xx_1"', '"-Xx_1"'])
def test_what_a_spreadsheet_saves(tmp_path: Path, delimiter: str, start: str, written: str) -> None:
    rows = ["clip_id,sound,class,,", f"{written},it's,Cat,,", ",,,,"]
    text = start + "\r\n".join(rows).replace(",", delimiter) + "\r\n"
    (cat,) = read_rows(listed(tmp_path, text), Exact)
    assert (cat.clip_id, cat.sound, cat.class_name) == ("-Xx_1", "it's", "Cat")


def test_cells_may_hold_the_other_delimiters(tmp_path: Path) -> None:
    (cat,) = read_rows(listed(tmp_path, 'clip_id,sound,class\ncat-1,"a;b,c;d",Cat\n'), Animal)
    assert cat.sound == "a;b,c;d"
    (cat,) = read_rows(listed(tmp_path, '"clip_id";"sound";"class"\ncat-1;a,b;Cat\n'), Animal)
    assert cat.sound == "a,b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: column 'clip_id' is missing"),
        ("clip_id|sound|class\n", "line 1: column 'clip_id' is missing"),
        ("clip_id;sound;class\ncat-1;meow;Cow\n", "line 2, column 'class': input should be 'Cat' or 'Dog', not 'Cow'"),
        (HEADER + "#NAME?,meow,Cat,4,\n", "line 2, column 'clip_id': a spreadsheet has replaced the text by #NAME?"),
        ("clip_id,sound,class,sound\n", "line 1: column 'sound' appears twice"),
        (HEADER + "cat-1,meow,Cat,4\n", "line 2: 4 columns, the header has 5"),
        (HEADER + "cat-1,meow,Cat,4,x,y\n", "line 2: 6 columns, the header has 5"),
        (HEADER + "cat-1, ,Cat,4,\n", "line 2, column 'sound': empty"),
        (HEADER + "../cat,meow,Cat,4,\n", "line 2, column 'clip_id': '../cat' is not a clip id"),
        (HEADER + "cat-1,meow,Cow,4,\n", "line 2, column 'class': input should be 'Cat' or 'Dog', not 'Cow'"),
        (HEADER + "cat-1,meow,Cat,four,\n", "line 2, column 'legs': input should be a valid integer"),
        (
            HEADER + "cat-1,meow,Cat,-1,\n",
            "line 2, column 'legs': input should be greater than or equal to 0, not '-1'",
        ),
        (HEADER + 'cat-1,meow,Cat,4,\n"cat-2', "line 3: unexpected end of data"),
        (HEADER + 'cat-1,"me"ow,Cat,4,\n', "line 2: ',' expected after '\"'"),
        (HEADER + f"cat-1,{'o' * 200_000},Cat,4,\n", "line 2: field larger than field limit"),
        (HEADER + "cat-1,meow,Cat,4,\ncat-1,meow,Cat,4,\n", "line 3: clip_id 'cat-1' is already in line 2"),
    ],
)
def test_what_is_wrong_is_named_by_file_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    path = listed(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_rows(path, Animal, unique=["clip_id"])
    assert caught.value.message.startswith(f"{path}, {message}")
    assert caught.value.hint


def test_rows_are_told_apart_by_all_their_keys(tmp_path: Path) -> None:
    path = listed(tmp_path, HEADER + "cat-1,meow,Cat,4,\n\ncat-1,purr,Cat,4,\n")
    assert len(read_rows(path, Animal, unique=["clip_id", "sound"])) == 2
    with pytest.raises(DataError, match=r"line 4: clip_id 'cat-1', class 'Cat' is already in line 2"):
        read_rows(path, Animal, unique=["clip_id", "class_name"])


def test_other_columns_are_refused_where_the_file_is_written_again(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1: unknown column 'note'"):
        read_rows(listed(tmp_path, HEADER), Exact)


def test_text_that_is_not_utf_8_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "animals.csv"
    path.write_bytes(b"\xef\xbb\xbf" + HEADER.encode() + b"cat-1,m\xefaou,Cat,4,\n")
    with pytest.raises(DataError, match=r"animals\.csv, line 2: not UTF-8"):
        read_rows(path, Animal)


def test_a_file_that_is_not_there_or_is_a_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv does not exist\n  hint: correct the key"):
        read_rows(tmp_path / "absent.csv", Animal, hint="correct the key")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_rows(tmp_path, Animal)


@example(b"\xff\xfe" + HEADER.encode("utf-16-le"))
@example(HEADER.encode() + b"cat-1,me\row,Cat,4,\n")
@example(HEADER.encode() + b"cat\x00,meow,Cat,4,\n")
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(alphabet='ab1,"\n\r;\x00é\ufeff -', max_size=60).map(lambda tail: (HEADER + tail).encode()),
        st.lists(st.lists(st.sampled_from(["cat-1", "Cat", "4", "", '"', "\x00"]), max_size=6), max_size=4).map(
            lambda rows: (HEADER + "\n".join(map(",".join, rows))).encode()
        ),
    )
)
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_rows_or_an_error_with_file_and_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    try:
        rows = read_rows(path, Animal, unique=["clip_id"])
    except DataError as error:
        message = error.message
    else:
        message = f"{path}, line 1"
        assert len({row.clip_id for row in rows}) == len(rows)
    assert message.startswith(f"{path}, line ")


def test_blanks_around_a_value_do_not_matter(tmp_path: Path) -> None:
    (cat,) = read_rows(listed(tmp_path, "clip_id,sound,class\n cat-1 ,\tmeow, Cat\n"), Animal)
    assert (cat.clip_id, cat.sound, cat.class_name) == ("cat-1", "meow", "Cat")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_read_if_it_says_so(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "animals.csv"
    start = "" if encoding == "utf-16" else "\ufeff"
    path.write_bytes((start + "clip_id,sound,class\ncat-1,mïaou,Cat\n").encode(encoding))
    (cat,) = read_rows(path, Animal)
    assert cat.sound == "mïaou"


def test_a_cell_has_a_largest_size(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"animals\.csv, line 2: field larger"):
        read_rows(listed(tmp_path, f"clip_id,sound,class\ncat-1,{'x' * 200_000},Cat\n"), Animal)


def test_values_that_match_nothing_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warn_unknown(tmp_path / "a.csv", "clip_id", ["known", "a\u202eb", "b", "b"], {"known", "other"})
    assert capsys.readouterr().err == (
        f"{tmp_path / 'a.csv'}: 2 of column 'clip_id' match nothing here, e.g. 'a\\u202eb', 'b'\n"
    )
    warn_unknown(tmp_path / "a.csv", "clip_id", ["known"], {"known"})
    assert capsys.readouterr().err == ""


class Told(CsvRow):
    clip_id: ClipId
    title: str
    author: str


@example(
    [("#N/A", "#NAME?"), ("'-cat", "'=x"), ('="A cat"', '="'), (" blank ", "\ttab"), ("", "\r"), ("a;b\tc,d", "\n")]
)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(alphabet="'=\"-+@ #N/A!\r\n\t;,x\0", max_size=8)), max_size=4))
@settings(deadline=None, max_examples=300)
def test_what_is_written_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "told.csv"
    rows = [(f"-clip_{number}", title, author) for number, (title, author) in enumerate(texts)]
    path.write_bytes(csv_text(["clip_id", "title", "author"], rows).encode())
    assert [(row.clip_id, row.title, row.author) for row in read_rows(path, Told, unique=["clip_id"])] == rows
