"""Segment lists: what is read, and every malformed row named by file and line."""

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.builders.labels.segments import SegmentList, _first_problem, read_audioset, read_clip_manifest
from mma_bench.errors import DataError
from mma_bench.schema import SEGMENTS

KNOWN = frozenset({"/m/0jbk", "/m/0bt9lr", "/m/01yrx", "/t/dd00088"})
HEADER = "# Segments csv created Sun Mar  5 2017\n# num_ytids=3\n# YTID, start_seconds, end_seconds, positive_labels\n"
ROWS = [
    '--4gqARaEJE, 0.000, 10.000, "/m/0jbk,/m/0bt9lr"',
    '-1dog_cat-1, 30.000, 36.543, "/m/01yrx"',
    'ZZZZZZZZZZZ, 1.001, 11.001, "/m/0jbk,/m/0bt9lr"',
]


def listed(folder: Path, rows: list[str], header: str = HEADER) -> Path:
    path = folder / "eval_segments.csv"
    path.write_bytes((header + "".join(f"{row}\n" for row in rows)).encode())
    return path


def spelled(segments: SegmentList) -> pl.DataFrame:
    return segments.rows.select(list(SEGMENTS)).collect()


def test_rows_are_spelled_out(tmp_path: Path) -> None:
    table = spelled(read_audioset(listed(tmp_path, ROWS), "eval", KNOWN))
    assert dict(table.schema) == SEGMENTS
    assert table.rows() == [
        ("eval", "--4gqARaEJE_0", "--4gqARaEJE", 0.0, 10.0, ["/m/0jbk", "/m/0bt9lr"]),
        ("eval", "-1dog_cat-1_30000", "-1dog_cat-1", 30.0, 36.543, ["/m/01yrx"]),
        ("eval", "ZZZZZZZZZZZ_1001", "ZZZZZZZZZZZ", 1.001, 11.001, ["/m/0jbk", "/m/0bt9lr"]),
    ]


def test_label_sets_are_counted(tmp_path: Path) -> None:
    sets = read_audioset(listed(tmp_path, ROWS), "eval", KNOWN).label_sets
    assert sorted(sets.select("label_ids", "segments").rows()) == [(["/m/01yrx"], 1), (["/m/0jbk", "/m/0bt9lr"], 2)]


def test_a_list_without_rows_is_empty(tmp_path: Path) -> None:
    segments = read_audioset(listed(tmp_path, []), "eval", KNOWN)
    assert spelled(segments).height == segments.label_sets.height == 0


def test_two_segments_of_one_video_in_any_order_are_two_clips(tmp_path: Path) -> None:
    rows = [*ROWS, '--4gqARaEJE, 10.000, 20.000, "/m/01yrx"', '--4gqARaEJE, 2.500, 9.000, "/m/01yrx"']
    table = spelled(read_audioset(listed(tmp_path, rows), "eval", KNOWN))
    assert table["clip_id"].to_list()[-2:] == ["--4gqARaEJE_10000", "--4gqARaEJE_2500"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('ABCDEFGHIJK, 0.000, "/m/01yrx"', "3 columns, expected 4"),
        ('ABCDEFGHIJK, 0.000, 10.000, "/m/01yrx", 7', "5 columns, expected 4"),
        ('ABCDEFGHIJK,0.000,10.000,"/m/01yrx"', "1 columns, expected 4"),
        ("", "1 columns, expected 4"),
        ('ABCDEFGHIJ, 0.000, 10.000, "/m/01yrx"', "'ABCDEFGHIJ' is not a YouTube id"),
        ('../ABCDEFGH, 0.000, 10.000, "/m/01yrx"', "'../ABCDEFGH' is not a YouTube id"),
        ('ABCDEFGHIJK, zero, 10.000, "/m/01yrx"', "'zero' is not a number of seconds"),
        ('ABCDEFGHIJK, 0.000, nan, "/m/01yrx"', "'nan' is not a number of seconds"),
        ('ABCDEFGHIJK, -1.000, 10.000, "/m/01yrx"', "'-1.000' is not a number of seconds"),
        ('ABCDEFGHIJK, 0.0001, 10.000, "/m/01yrx"', "'0.0001' is not a number of seconds"),
        ('ABCDEFGHIJK, 10.000, 10.000, "/m/01yrx"', r"the end \(10.000\) is not after the start \(10.000\)"),
        ('ABCDEFGHIJK, 10.000, 9.000, "/m/01yrx"', r"the end \(9.000\) is not after"),
        ('ABCDEFGHIJK, 0.000, 10.000, "/m/01yrx,/m/0cow"', "unknown label '/m/0cow'"),
        ('ABCDEFGHIJK, 0.000, 10.000, ""', "is not a list of label ids"),
        ('ABCDEFGHIJK, 0.000, 10.000, "/m/01yrx,"', "is not a list of label ids"),
        ("ABCDEFGHIJK, 0.000, 10.000, /m/01yrx", "is not a list of label ids"),
        ('ABCDEFGHIJK, 0.000, 10.000, "/m/01yrx', "is not a list of label ids"),
        ('ABCDEFGHIJK, 0.000, 10.000, "/m/01yrx\udcff"', "unknown label"),
        ('--4gqARaEJE, 0.000, 5.000, "/m/01yrx"', "segment --4gqARaEJE from 0.000 s is already in line 4"),
        ('--4gqARaEJE, 0, 5, "/m/01yrx"', "segment --4gqARaEJE from 0 s is already in line 4"),
    ],
)
@pytest.mark.parametrize("place", [1, 3])
def test_a_malformed_row_is_named_by_file_and_line(tmp_path: Path, row: str, message: str, place: int) -> None:
    path = tmp_path / "eval_segments.csv"
    lines = [*ROWS[:place], row, *ROWS[place:]]
    path.write_bytes((HEADER + "\n".join(lines) + "\n").encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=message) as caught:
        read_audioset(path, "eval", KNOWN)
    assert f"{path}, line {3 + place + 1}: " in str(caught.value)
    assert "hint:" in str(caught.value)


def test_a_blank_at_the_very_end_is_named(tmp_path: Path) -> None:
    path = tmp_path / "eval_segments.csv"
    path.write_text(HEADER + "\n".join(ROWS) + " ")
    with pytest.raises(DataError, match=r"line 6: .* is not a list of label ids"):
        read_audioset(path, "eval", KNOWN)


def test_a_malformed_first_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 4: 2 columns"):
        read_audioset(listed(tmp_path, ["ABCDEFGHIJK, 0.000", *ROWS]), "eval", KNOWN)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"eval_segments\.csv does not exist(.|\n)*mma-bench build metadata"):
        read_audioset(tmp_path / "eval_segments.csv", "eval", KNOWN)


@pytest.mark.slow
@given(
    place=st.integers(0, len(HEADER) + sum(map(len, ROWS)) + 2),
    cut=st.integers(0, 3),
    insert=st.text(alphabet='ab019 ,."/#\n\r\t_-é\x00', max_size=3),
)
@settings(deadline=None, max_examples=400, derandomize=True)
def test_the_quick_test_and_the_slow_look_agree(
    tmp_path_factory: pytest.TempPathFactory, place: int, cut: int, insert: str
) -> None:
    """However a list is damaged: either both find nothing, or the error names a line."""
    text = HEADER + "\n".join(ROWS) + "\n"
    path = tmp_path_factory.getbasetemp() / "fuzzed.csv"
    path.write_bytes((text[:place] + insert + text[place + cut :]).encode())
    problem = _first_problem(path, KNOWN)
    if problem is None:
        table = spelled(read_audioset(path, "eval", KNOWN))
        assert (table["start_s"] < table["end_s"]).all()
        return
    with pytest.raises(DataError) as caught:
        read_audioset(path, "eval", KNOWN)
    assert str(caught.value) == str(problem)
    assert ", line " in str(problem)


MANIFEST = "clip_id,split,label_ids,photo\n"
CLIPS = [
    "cat-1,eval,/m/01yrx,photos/cat.webp",
    "dog-1,train,/m/0jbk;/m/0bt9lr,",
    '"cat-2",eval,/m/01yrx,photos/cat.webp',
]


def manifest(folder: Path, rows: list[str], header: str = MANIFEST) -> Path:
    path = folder / "manifest.csv"
    path.write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_a_manifest_gives_a_subset_for_each_split(tmp_path: Path) -> None:
    lists = read_clip_manifest(manifest(tmp_path, CLIPS), "sample", KNOWN)
    assert list(lists) == ["sample_eval", "sample_train"]
    assert spelled(lists["sample_eval"]).rows() == [
        ("sample_eval", "cat-1", "cat", 0.0, 10.0, ["/m/01yrx"]),
        ("sample_eval", "cat-2", "cat", 0.0, 10.0, ["/m/01yrx"]),
    ]
    assert dict(spelled(lists["sample_train"]).schema) == SEGMENTS
    assert spelled(lists["sample_train"]).rows() == [
        ("sample_train", "dog-1", "dog-1", 0.0, 10.0, ["/m/0jbk", "/m/0bt9lr"])
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("owl-1,eval,/m/01yrx", "columns, the header has 4"),
        ("owl-1,eval,/m/01yrx,,x", "columns, the header has 4"),
        ("../owl,eval,/m/01yrx,", "is not a clip id"),
        (",eval,/m/01yrx,", "is not a clip id"),
        ("owl-1,,/m/01yrx,", "column 'split': '' is not the name of a split"),
        ("owl-1,Eval/..,/m/01yrx,", "is not the name of a split"),
        ("owl-1,eval,,", "'' is not a list of label ids"),
        ("owl-1,eval,/m/01yrx;,", "is not a list of label ids"),
        ("owl-1,eval,/m/0owl,", "unknown label '/m/0owl'"),
        ("cat-1,train,/m/01yrx,", "clip_id 'cat-1' is already in line 2"),
    ],
)
def test_a_malformed_clip_is_named_by_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    path = manifest(tmp_path, [*CLIPS, row])
    with pytest.raises(DataError, match=message) as caught:
        read_clip_manifest(path, "sample", KNOWN)
    assert str(caught.value).startswith(f"{path}, line 5")


def test_a_manifest_without_a_column_or_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: column 'label_ids' is missing"):
        read_clip_manifest(manifest(tmp_path, [], "clip_id,split\n"), "sample", KNOWN)
    with pytest.raises(DataError, match=r"does not exist(.|\n)*candidates\.manifests"):
        read_clip_manifest(tmp_path / "absent.csv", "sample", KNOWN)


def test_the_bundled_sample_is_a_sound_manifest() -> None:
    path = Path(__file__).parents[3] / "sample/manifest.csv"
    known = frozenset(label for line in path.read_text().splitlines()[1:] for label in line.split(",")[2].split(";"))
    lists = read_clip_manifest(path, "sample", known)
    assert {name: spelled(segments).height for name, segments in lists.items()} == {
        "sample_eval": 27,
        "sample_train": 11,
    }


def test_shuffled_rows_are_the_same_segments(tmp_path: Path) -> None:
    rows = [f'{number:011d}, {number}.000, {number + 10}.000, "/m/01yrx"' for number in range(50)]
    first = spelled(read_audioset(listed(tmp_path, rows), "eval", KNOWN))
    random.Random(1).shuffle(rows)
    second = spelled(read_audioset(listed(tmp_path, rows), "eval", KNOWN))
    assert second.sort("clip_id").equals(first.sort("clip_id"))
    assert not second.equals(first)


def test_a_class_map_with_unknown_labels_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.csv").write_text("clip_id,split,labels\na,eval,cat\n")
    (tmp_path / "labels.csv").write_text("label,label_id\ncat,/m/cat\ndog,/m/misspelt\n")
    read_clip_manifest(tmp_path / "manifest.csv", "mine", {"/m/cat"})
    assert "labels.csv: 1 of column 'label_id' match nothing here, e.g. '/m/misspelt'" in capsys.readouterr().err
