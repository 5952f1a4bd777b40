"""What differs between two releases, and how large each kind of change is."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.builders.publish.cli import publish as group
from mma_bench.builders.publish.difference import Difference, difference
from mma_bench.builders.publish.manifest import SCHEMA, Release, manifest_from_shards, read_release
from mma_bench.builders.publish.release import Level
from mma_bench.tables import from_rows
from tests.builders.publish import project
from tests.evaluation import packaged

COLUMNS = {"id": "string", "video": "video"}
CLASSES = {"a": "Cat", "b": "Dog", "c": "Bird", "d": "Cat"}
DONORS = {"a": "b", "b": "c", "c": "a", "d": "c"}


def release(donors: dict[str, str] = DONORS, columns: dict[str, str] = COLUMNS, **columns_of: str) -> Release:
    """Clips with a row aligned, one misaligned and one with a false caption."""
    rows = []
    for base, donor in donors.items():
        for condition in ("aligned", "misaligned", "misleading_caption"):
            misaligned = condition == "misaligned"
            row = {
                **{"id": f"{base}.{condition}" + (f".{donor}" if misaligned else ""), "condition": condition},
                **{"split": "test", "base_id": base, "donor_id": donor if misaligned else None},
                **{"visual_class": CLASSES[base], "audio_class": CLASSES[donor if misaligned else base]},
                **{"video_sha256": f"v-{base}", "audio_sha256": f"a-{donor if misaligned else base}"},
                **{"licence": "CC0", "asked_sha256": "q", "shard": "s"},
                **({"caption": "Dog"} if condition == "misleading_caption" else {}),
            }
            rows.append(row | columns_of)
    return Release("x", from_rows(rows, SCHEMA).sort("id"), columns)


def change(clip: str, column: str, value: object) -> Callable[[Release], Release]:
    def apply(old: Release) -> Release:
        one = pl.col("base_id") == clip
        table = old.manifest.with_columns(pl.when(one).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))
        return Release(old.name, table, old.columns)

    return apply


def without(*clips: str) -> dict[str, str]:
    kept = {base: donor for base, donor in DONORS.items() if base not in clips}
    return {base: donor if donor in kept else next(c for c in kept if c != base) for base, donor in kept.items()}


CASES: dict[str, tuple[Callable[[Release], Release], Level, dict[str, list[str]]]] = {
    "nothing": (lambda old: old, Level.NONE, {}),
    "licence": (
        change("a", "licence", "CC BY 4.0"),
        Level.PATCH,
        {"described": ["a.aligned", "a.misaligned.b", "a.misleading_caption"]},
    ),
    "removed base": (
        lambda _: release(without("d")),
        Level.PATCH,
        {"clips_removed": ["d (test)"], "pairs_removed": ["d + c"]},
    ),
    "removed base of a class": (
        lambda _: release(without("b")),
        Level.MAJOR,
        {
            "clips_removed": ["b (test)"],
            "pairs_removed": ["a + b", "b + c"],
            "pairs_added": ["a + c"],
            "pairs_changed": ["a + c"],
            "classes_removed": ["Dog (test)"],
        },
    ),
    "other pair": (
        lambda _: release(DONORS | {"a": "c"}),
        Level.MINOR,
        {"pairs_removed": ["a + b"], "pairs_added": ["a + c"], "pairs_changed": ["a + b", "a + c"]},
    ),
    "re-encoded": (
        change("b", "video_sha256", "v-other"),
        Level.MINOR,
        {"re_encoded": ["b.aligned", "b.misaligned.c", "b.misleading_caption"]},
    ),
    "caption": (
        change("c", "caption", "Cat"),
        Level.MINOR,
        {"reprompted": ["c.aligned", "c.misaligned.a", "c.misleading_caption"]},
    ),
    "relabelled": (
        change("d", "visual_class", "Dog"),
        Level.MAJOR,
        {"relabelled": ["d.aligned", "d.misaligned.c", "d.misleading_caption"]},
    ),
    "wording": (
        lambda _: release(asked_sha256="other"),
        Level.MAJOR,
        {"reworded": sorted(release().manifest["id"].to_list())},
    ),
    "column new": (
        lambda _: release(columns=COLUMNS | {"n": "int64"}),
        Level.MINOR,
        {"columns_added": ["n: int64"]},
    ),
    "column gone": (lambda _: release(columns={"id": "string"}), Level.MAJOR, {"columns_removed": ["video: video"]}),
    "column retyped": (
        lambda _: release(columns=COLUMNS | {"id": "int64"}),
        Level.MAJOR,
        {"columns_removed": ["id: string"]},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_kind_of_change_is_found_and_has_its_level(case: str) -> None:
    make, level, expected = CASES[case]
    found = difference(release(), make(release()))
    assert {name: value for name, value in vars(found).items() if value} == expected
    assert found.level == level


def test_what_is_added_is_removed_in_the_other_direction() -> None:
    found = difference(release(without("d")), release())
    assert (found.clips_added, found.pairs_added, found.level) == (["d (test)"], ["d + c"], Level.MINOR)


def test_a_condition_that_goes_is_major_and_one_that_comes_minor() -> None:
    old = release()
    less = Release("y", old.manifest.filter(pl.col("condition") != "misleading_caption"), old.columns)
    gone, come = difference(old, less), difference(less, old)
    assert (gone.conditions_removed, gone.level) == (["misleading_caption (test)"], Level.MAJOR)
    assert (come.conditions_added, come.level) == (["misleading_caption (test)"], Level.MINOR)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.sets(st.sampled_from("abcd"), max_size=2), st.sets(st.sampled_from("abcd"), max_size=2))
def test_a_difference_and_its_reverse_name_the_same(left: set[str], right: set[str]) -> None:
    one, other = release(without(*left)), release(without(*right))
    there, back = difference(one, other), difference(other, one)
    for what in ("clips", "rows", "pairs", "classes", "conditions", "columns"):
        assert getattr(there, f"{what}_added") == getattr(back, f"{what}_removed")
    assert isinstance(there, Difference)
    assert (there.level == Level.NONE) == (left == right or without(*left) == without(*right))


@pytest.mark.slow
def test_the_command_compares_folders(root: Path) -> None:
    Path("mma-bench").rename("old")
    project.renew(root, "1.0.1", without=["cat-test1_30000"])
    said = CliRunner().invoke(group, ["diff", "old", "mma-bench"]).output
    assert "patch: 1 clips removed: cat-test1_30000 (test)" in said
    assert said.endswith("a patch change\n")
    assert "no row differs" in CliRunner().invoke(group, ["diff", "old", "old"]).output
    assert read_release(Path("old")).classes["test"] == ["Bird", "Cat", "Cattle", "Horse"]


def test_another_context_is_another_wording_and_the_column_alone_is_not(tmp_path: Path) -> None:
    def asked(name: str, context: str | None, without: tuple[str, ...] = ()) -> list[str]:
        rows = {c: [packaged.packaged_row("a", c)] for c in ("aligned", "long_context")}
        rows["long_context"][0]["context"] = context
        folder = packaged.write(tmp_path / name, without=without, **rows)
        return manifest_from_shards(folder)["asked_sha256"].to_list()

    old, empty = asked("old", None, packaged.ADDED), asked("empty", None)
    one, other = asked("one", "far ease"), asked("other", "ease far")
    assert old == empty
    assert old[0] == one[0] == other[0]
    assert len({old[1], one[1], other[1]}) == 3
