"""Differences of Cohen's d: their value, sign, pairing and clusters, and what their intervals and tests promise."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import polars as pl
import pytest

from benchmarks import coverage_attention
from mma_bench.clusters import codes_of
from mma_bench.evaluation.attention.contrast import Contrast, contrasts, moments
from mma_bench.evaluation.attention.differences import COLUMNS, Kind, clusters_of, difference_rows, kinds
from mma_bench.evaluation.attention.effect import Array, cohens_d
from mma_bench.evaluation.attention.schema import ATTENTION, DONORS
from mma_bench.evaluation.attention.summary import separation_rows, token_rows
from mma_bench.stats import holm
from mma_bench.tables import from_rows

TWO = np.array([1.0, -1.0])
ALL = list(product(("before", "after"), ("aligned", "misaligned")))


def cell(rng: np.random.Generator, clips: int, shift: float) -> Array:
    """[2 questions, clips]."""
    return rng.normal(0, 1, clips) + np.stack([rng.normal(shift, 0.8, clips), rng.normal(0, 0.8, clips)])


def sums_of(cells: Sequence[Array]) -> Array:
    return np.stack([np.concatenate(list(map(moments, one))) for one in cells])[None]


def contrast(cells: Sequence[Array], clusters: Sequence[str | int] | None = None, resamples: int = 999) -> Contrast:
    clips = cells[0].shape[-1]
    codes = codes_of(range(clips) if clusters is None else clusters)
    return contrasts(sums_of(cells), TWO, codes, resamples=resamples)[0]


def test_the_difference_is_that_of_the_two_d() -> None:
    rng = np.random.default_rng(0)
    cells = [cell(rng, 30, shift) for shift in (1.5, 0.5)]
    found = contrast(cells)
    assert found.difference == pytest.approx(float(cohens_d(*cells[0]) - cohens_d(*cells[1])))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.difference < found.high
    mirrored = contrast(cells[::-1])
    assert mirrored.difference == pytest.approx(-found.difference)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))
    assert mirrored.p == found.p


def test_clips_are_paired() -> None:
    rng = np.random.default_rng(1)
    one = cell(rng, 60, 0.5)
    other = one + 0.1 * rng.normal(size=one.shape) + np.array([[0.2], [0.0]])
    together, apart = contrast([other, one]), contrast([other[:, rng.permutation(60)], one])
    assert together.difference == pytest.approx(apart.difference)
    assert together.p is not None
    assert apart.p is not None
    assert together.p < 0.01 < 0.1 < apart.p


def test_repeated_clips_of_a_donor_are_no_new_evidence() -> None:
    rng = np.random.default_rng(2)
    cells = [cell(rng, 20, shift) for shift in (1.0, 0.0)]
    once = contrast(cells)
    tenfold = [np.repeat(one, 10, axis=1) for one in cells]
    clustered, naive = contrast(tenfold, [str(i // 10) for i in range(200)]), contrast(tenfold)
    width = {
        name: (one.high or 0) - (one.low or 0)
        for name, one in (("once", once), ("clustered", clustered), ("naive", naive))
    }
    assert clustered.clusters == 20
    assert clustered.clips == 200
    assert width["clustered"] == pytest.approx(width["once"], rel=0.1)
    assert width["naive"] < width["once"] / 2


def test_few_flips_are_all_tried() -> None:
    rng = np.random.default_rng(3)
    cells = [cell(rng, 6, shift) for shift in (9.0, 0.0)]
    found = contrast(cells, resamples=64)
    some = contrast(cells, resamples=63)
    assert found.p is not None
    assert some.p is not None
    assert found.p * 64 == pytest.approx(round(found.p * 64))  # 2^6 flips
    assert some.p * 64 == pytest.approx(round(some.p * 64))  # of 63, and the observed one
    assert found.p >= 2 / 64


@pytest.mark.parametrize("clips", [3, 4])
def test_few_clusters_give_no_difference(clips: int) -> None:
    rng = np.random.default_rng(4)
    cells = [cell(rng, 8, 1.0), cell(rng, 8, 0.0)]
    assert contrast(cells, [i % clips for i in range(8)]) == Contrast(None, None, None, None, 8, clips)


ROUNDED = 0.5 + 1e-7 * np.random.default_rng(8).normal(size=(2, 9))  # as of float32 masses


@pytest.mark.parametrize(
    "flat",
    [np.full((2, 9), 0.5), ROUNDED, np.full((2, 9), np.nan)],
    ids=["no spread", "rounding errors", "no share"],
)
def test_a_cell_without_d_gives_no_difference(flat: Array) -> None:
    rng = np.random.default_rng(5)
    other = cell(rng, 9, 1.0)
    for cells in ([flat, other], [other, flat]):
        assert contrast(cells).difference is None
    good = sums_of([other, cell(rng, 9, 0.0)])
    rows = contrasts(np.concatenate([good, sums_of([other, flat])]), TWO, codes_of(range(9)))
    assert [row.difference is None for row in rows] == [False, True, True]  # the mean is over all places


@pytest.mark.slow
def test_intervals_hold_the_truth_and_tests_find_nothing_where_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    truths = {name: coverage_attention.TRUTHS[name] for name in ("same", "as in the paper")}
    monkeypatch.setattr(coverage_attention, "TRUTHS", truths)
    lines = list(coverage_attention.coverage(300))
    assert len(lines) == 2 * 2 * 3
    assert 0.93 <= np.mean([line.covered for line in lines]) <= 0.97
    for line in lines:
        assert 0.91 <= line.covered <= 0.985, line  # within three standard errors of 300 rounds
        if line.true == 0:
            assert line.found <= 0.09, line
        elif line.true >= 0.9:
            assert line.found > 0.95, line
    assert np.mean([line.found for line in lines if line.true == 0]) <= 0.06


def table(d: Mapping[tuple[str, str], float], clips: int = 40, layers: int = 2) -> pl.DataFrame:
    """Attention masses of one head and step; layer 2 has the wanted d, layer 1 has none."""
    rng = np.random.default_rng(6)
    rows = []
    for (state, condition), wanted in d.items():
        for layer in range(1, layers + 1):
            shift = wanted if layer == 2 else 0.0
            own = rng.normal(0, 1, clips)
            own = (own - own.mean()) / own.std(ddof=1)
            for question in ("visual", "audio"):
                for clip, level in enumerate(own + (shift if question == "visual" else 0.0)):
                    share = 0.5 + 0.05 * level
                    masses = {"video": 0.4 * share, "audio": 0.4 * (1 - share), "text": 0.6}
                    rows += [
                        {
                            "state": state,
                            "clip": f"c{clip:02}.{condition}",
                            "base": f"c{clip:02}",
                            "condition": condition,
                            "question": question,
                            "step": 1,
                            "layer": layer,
                            "head": 1,
                            "group": group,
                            "mass": mass,
                            "square": mass**2 / 4,
                            "tokens": 4,
                            "first_token": 0.0,
                        }
                        for group, mass in masses.items()
                    ]
    return from_rows(rows, ATTENTION)


def donors(clips: int = 40, shared: int = 1) -> pl.DataFrame:
    """Each donor lends its sound to `shared` clips."""
    rows = [
        {"clip": f"c{clip:02}.{condition}", "base": f"c{clip:02}", "condition": condition, "donor": donor}
        for clip in range(clips)
        for condition, donor in (("aligned", None), ("misaligned", f"c{(clip + 1) % clips // shared:02}"))
    ]
    return from_rows(rows, DONORS)


def test_every_contrast_of_a_table_has_its_known_value() -> None:
    d = dict(zip(ALL, (0.3, 0.6, 0.9, 1.6), strict=True))
    attention = table(d)
    rows = difference_rows(attention, donors(shared=2))
    assert {tuple(row) for row in rows} == {tuple(COLUMNS)}
    found = {
        (row["contrast"], row["state"], row["condition"], row["place"]): row
        for row in rows
        if (row["samples"], row["by"]) == ("clips", "layer")
    }
    known = {
        ("conflict", "before", "misaligned"): 0.3,
        ("conflict", "after", "misaligned"): 0.7,
        ("tuning", None, "aligned"): 0.6,
        ("tuning", None, "misaligned"): 1.0,
        ("conflict_by_tuning", None, "misaligned"): 0.4,
    }
    assert {key[:3] for key in found} == set(known)
    for kind, value in known.items():
        assert found[*kind, 1]["difference"] == pytest.approx(0.0, abs=1e-4)
        assert found[*kind, 2]["difference"] == pytest.approx(value, abs=1e-4)
        assert found[*kind, None]["difference"] == pytest.approx(value / 2, abs=1e-4)
    assert {row["clusters"] for row in rows} == {20, 40}  # 40 where only aligned clips are compared
    assert {row["clips"] for row in rows} == {40}


def test_differences_are_those_of_the_reported_d() -> None:
    attention = table(dict(zip(ALL, (0.3, 0.6, 0.9, 1.6), strict=True)))
    rows = difference_rows(attention, donors())
    reported = {"clips": separation_rows(attention, "layer"), "tokens": token_rows(attention)}
    seen = 0
    for row in rows:
        if row["contrast"] == "tuning" and row["by"] == "layer" and row["place"] is not None:
            d = {
                one["state"]: one["d"]
                for one in reported[row["samples"]]
                if (one["condition"], one["group"], one["layer"]) == (row["condition"], row["group"], row["place"])
            }
            assert row["difference"] == pytest.approx(d["after"] - d["before"], abs=1e-6)
            seen += 1
    assert seen == 2 * 2 * 3  # layers, conditions; clips, and tokens of two groups


def test_no_effect_is_not_reported_and_a_real_one_is_found_after_correction() -> None:
    rng = np.random.default_rng(7)
    none = table(dict.fromkeys(ALL, 0.5))
    noisy = none.with_columns(mass=pl.col("mass") * pl.Series(rng.uniform(0.9, 1.1, none.height), dtype=pl.Float32))
    assert not [row for row in difference_rows(noisy, donors()) if row["p_holm"] is not None and row["p_holm"] < 0.05]
    real = difference_rows(table({**dict.fromkeys(ALL, 0.3), ALL[3]: 2.0}), donors())
    headline = {(row["contrast"], row["condition"]): row for row in real if row["place"] is None}
    assert headline["tuning", "misaligned"]["p_holm"] < 0.01
    assert headline["tuning", "aligned"]["p_holm"] > 0.05


def test_p_is_corrected_within_the_stated_families() -> None:
    rows = difference_rows(table(dict(zip(ALL, (0.3, 0.6, 0.9, 1.6), strict=True))), donors())
    for family in (
        [row for row in rows if row["place"] is None],
        [row for row in rows if row["place"] is not None and row["by"] == "layer"],
        [row for row in rows if row["by"] == "head"],
    ):
        assert len(family) in (15, 30, 5)
        assert [row["p_holm"] for row in family] == pytest.approx(holm([row["p"] for row in family]))


def test_without_an_adapter_only_conditions_are_compared() -> None:
    before = [("before", "aligned"), ("before", "misaligned"), ("before", "long_context")]
    assert [(kind.contrast, kind.condition) for kind in kinds(before)] == [
        ("conflict", "misaligned"),
        ("conflict", "long_context"),
    ]
    assert kinds([("before", "misaligned")]) == []


def test_with_several_variants_of_a_clip_clusters_are_base_clips() -> None:
    kind = Kind("conflict", "before", "misaligned", {("before", "misaligned"): 1, ("before", "aligned"): -1})
    pairs = from_rows(
        [
            {"clip": f"{base}.{donor}", "base": base, "condition": "misaligned", "donor": donor}
            for base, donor in (("a", "x"), ("b", "x"), ("c", "y"))
        ],
        DONORS,
    )
    assert clusters_of("abc", pairs, kind).tolist() == [0, 0, 1]
    more = from_rows([{"clip": "c.z", "base": "c", "condition": "misaligned", "donor": "z"}], DONORS)
    assert clusters_of("abc", pl.concat([pairs, more]), kind).tolist() == [0, 1, 2]
    aligned = Kind("tuning", None, "aligned", {("after", "aligned"): 1, ("before", "aligned"): -1})
    assert clusters_of("abc", pairs, aligned).tolist() == [0, 1, 2]
