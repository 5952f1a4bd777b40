"""The numbers of the page from a run's tables: shares, Cohen's d with its uncertainty, peaks, and causal effects.

Masses are averaged over heads (or layers) and steps of a clip before text is dropped and the rest renormalised, so that
a head that hardly attends to the media has little weight. Variants of one base clip are averaged.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

from mma_bench.evaluation.attention.effect import Separation, separations, token_separation
from mma_bench.evaluation.attention.knockout import MODALITIES
from mma_bench.evaluation.attention.schema import ASKED
from mma_bench.stats import estimate, mean_change

Row: TypeAlias = dict[str, Any]
Array: TypeAlias = npt.NDArray[np.float64]

_CELL: Final = ("state", "condition")


def text_shares(attention: pl.DataFrame) -> list[Row]:
    """Attention share of text by state and condition, over all layers, heads, steps and both questions.

    Returns:
        `mean` with `low` and `high` over base clips, and `first_token`: the part on the sequence's first token.
    """
    text = (
        attention.filter(pl.col("group") == "text")
        .group_by(ASKED)
        .agg(pl.col("mass", "first_token").cast(pl.Float64).mean())
        .group_by(*_CELL, "base")
        .agg(pl.col("mass", "first_token").mean())
        .sort(*_CELL, "base")
    )
    rows = []
    for (state, condition), clips in _parts(text, _CELL):
        found = estimate({base: [mass] for base, mass in clips.select("base", "mass").iter_rows()})
        rows.append(
            {
                "state": state,
                "condition": condition,
                "mean": found.mean,
                "low": found.low,
                "high": found.high,
                "first_token": float(clips["first_token"].mean()),  # type: ignore[arg-type]
                "clips": clips.height,
            }
        )
    return rows


def layer_shares(attention: pl.DataFrame) -> list[Row]:
    """Mean share of each group by state, condition, question and layer."""
    means = (
        attention.group_by(*ASKED, "layer", "group")
        .agg(pl.col("mass").cast(pl.Float64).mean())
        .group_by(*_CELL, "question", "layer", "group")
        .agg(pl.col("mass").mean())
    )
    return means.sort(*_CELL, "question", "layer", "group").to_dicts()


def shares(attention: pl.DataFrame, by: str) -> pl.DataFrame:
    """The share of video when text is dropped, by base clip: columns state, condition, question, base, `by`, share.

    Args:
        attention: The table.
        by: `layer` (mean over heads) or `head` (mean over layers).
    """
    masses = attention.group_by(*ASKED, by, "group").agg(pl.col("mass").cast(pl.Float64).mean())
    wide = masses.filter(pl.col("group") != "text").pivot(on="group", index=[*ASKED, by], values="mass")
    share = pl.col("video") / (pl.col("video") + pl.col("audio"))
    return (
        wide.with_columns(share.alias("share"))
        .group_by(*_CELL, "question", "base", by)
        .agg(pl.col("share").mean())
        .sort(*_CELL, "question", by, "base")
    )


def separation_rows(attention: pl.DataFrame, by: str) -> list[Row]:
    """Cohen's d between the two questions of each layer's or head's shares, for video and audio tokens.

    The two shares sum to 1, so d of audio is d of video with opposite sign, by construction.
    """
    rows: list[Row] = []
    for (state, condition), cell in _parts(shares(attention, by), _CELL):
        indices = cell[by].unique().sort().to_list()
        visual, audio = (matrix(cell.filter(pl.col("question") == name), by, "share") for name in ("visual", "audio"))
        found = separations(visual, audio)
        for group in MODALITIES:
            for index, one in zip(indices, found, strict=True):
                own = one if group == "video" else _mirrored(one)
                rows.append({"state": state, "condition": condition, "group": group, by: index, **vars(own)})
    return rows


def token_rows(attention: pl.DataFrame) -> list[Row]:
    """Cohen's d between the two questions of the weights of single tokens, by layer, for video and audio.

    The alternative interpretation of the paper's "attention weight distribution of visual tokens": every weight of
    every token, head and step is a sample, renormalised over the media tokens. Here video and audio are not mirror
    images.
    """
    sums = token_sums(attention)
    rows = []
    for (state, condition, group, layer), cell in _parts(sums, (*_CELL, "group", "layer")):
        sides = [cell.filter(pl.col("question") == name) for name in ("visual", "audio")]
        both = set(sides[0]["base"]) & set(sides[1]["base"])
        samples = [
            [side.filter(pl.col("base").is_in(both))[name].to_numpy() for name in ("n", "s", "q")] for side in sides
        ]
        found = token_separation(*samples)
        rows.append({"state": state, "condition": condition, "group": group, "layer": layer, **vars(found)})
    return rows


def token_sums(attention: pl.DataFrame) -> pl.DataFrame:
    """Number `n`, sum `s` and sum of squares `q` of the renormalised weights of a clip's tokens, heads and steps.

    Returns:
        Rows by state, condition, question, base, layer and group (video or audio).
    """
    key = (*ASKED, "layer", "step", "head")
    media = attention.filter(pl.col("group") != "text").with_columns(
        pl.col("mass").cast(pl.Float64).sum().over(key).alias("media")
    )
    return (
        media.filter(pl.col("media") > 0)
        .group_by(*_CELL, "question", "base", "layer", "group")
        .agg(
            pl.col("tokens").cast(pl.Float64).sum().alias("n"),
            (pl.col("mass") / pl.col("media")).sum().alias("s"),
            (pl.col("square") / pl.col("media") ** 2).sum().alias("q"),
        )
        .sort(*_CELL, "group", "layer", "question", "base")
    )


def peaks(rows: Sequence[Row]) -> list[Row]:
    """The layer with the largest |d| for each state, condition and group; those without any d are omitted."""
    best: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = row["state"], row["condition"], row["group"]
        if row["d"] is not None and (key not in best or abs(row["d"]) > abs(best[key]["d"])):
            best[key] = row
    return list(best.values())


def losses(knockout: pl.DataFrame) -> pl.DataFrame:
    """Knockout loss in nats by base clip: `intact - cut`, averaged over variants."""
    keys = ("state", "condition", "question", "modality", "first_layer", "last_layer", "target")
    return (
        knockout.with_columns((pl.col("intact") - pl.col("cut")).alias("loss"))
        .group_by(*keys, "base")
        .agg(pl.col("loss").mean())
        .sort(*keys, "base")
    )


def loss_rows(knockout: pl.DataFrame) -> list[Row]:
    """Mean loss with its 95 % t interval and t test over base clips."""
    keys = ("state", "condition", "question", "modality", "first_layer", "last_layer", "target")
    rows = []
    for key, cell in _parts(losses(knockout), keys):
        found = mean_change(cell["loss"].to_list())
        rows.append({**dict(zip(keys, key, strict=True)), **vars(found)})
    return rows


def agreement_rows(attention: pl.DataFrame, knockout: pl.DataFrame) -> list[Row]:
    """Attention and causal effect compared: does the question shift both in the same direction, in the same layers?

    For each modality and layer range, Cohen's d between the questions of its attention share in these layers, and of
    the loss of the model's own answer when it is knocked out there.

    Returns:
        Rows with `attention` and `cause` (a `Separation` each; Holm-corrected over both and all ranges),
        `verdict`, and `rho`, Spearman's correlation of share and loss over clips and questions.
    """
    own = losses(knockout.filter(pl.col("target") == "answer"))
    by_layer = shares(attention, "layer")
    rows = []
    for (state, condition, modality), cell in _parts(own, (*_CELL, "modality")):
        looked = by_layer.filter((pl.col("state") == state) & (pl.col("condition") == condition))
        if modality == "audio":
            looked = looked.with_columns(1 - pl.col("share"))
        ranges = cell.select("first_layer", "last_layer").unique().rows()
        ranges.sort(key=lambda ends: (ends[0] - ends[1], ends[0]))  # all layers first
        within = [_shares_within(looked, first, last) for first, last in ranges]
        lost = [cell.filter(first_layer=first, last_layer=last) for first, last in ranges]
        both = [
            (_by_question(share, "share"), _by_question(loss, "loss")) for share, loss in zip(within, lost, strict=True)
        ]
        measures = [np.stack([share[side] for share, _ in both] + [loss[side] for _, loss in both]) for side in (0, 1)]
        found = separations(*measures)
        for place, (first, last) in enumerate(ranges):
            attended, cause = found[place], found[len(ranges) + place]
            rows.append(
                {
                    "state": state,
                    "condition": condition,
                    "modality": modality,
                    "first_layer": first,
                    "last_layer": last,
                    "attention": vars(attended),
                    "cause": vars(cause),
                    "verdict": verdict(attended, cause),
                    "rho": _rank_correlation(*(np.concatenate(measure) for measure in both[place])),
                }
            )
    return rows


def _shares_within(by_layer: pl.DataFrame, first: int, last: int) -> pl.DataFrame:
    layers = by_layer.filter(pl.col("layer").is_between(first, last))
    return layers.group_by("question", "base").agg(pl.col("share").mean())


def _by_question(table: pl.DataFrame, column: str) -> tuple[Array, Array]:
    """A column by base clip, under the visual and under the audio question."""
    visual, audio = (
        table.filter(pl.col("question") == name).sort("base")[column].to_numpy() for name in ("visual", "audio")
    )
    return visual, audio


def _rank_correlation(first: Array, second: Array) -> float | None:
    with np.errstate(invalid="ignore"):
        spread = np.ptp(first) * np.ptp(second)
    return float(stats.spearmanr(first, second).statistic) if spread > 0 else None


def verdict(attended: Separation, cause: Separation) -> str:
    """Whether two separations agree: agree, opposite, attention only, cause only, or neither.

    A separation counts if its corrected p is below 0.05.
    """
    signs = [_sign(attended), _sign(cause)]
    if signs == [0, 0]:
        return "neither"
    if 0 in signs:
        return "attention only" if signs[0] else "cause only"
    return "agree" if signs[0] == signs[1] else "opposite"


def _sign(found: Separation) -> int:
    if found.d is None or found.p_holm is None or found.p_holm >= 0.05:
        return 0
    return 1 if found.d > 0 else -1


def _mirrored(one: Separation) -> Separation:
    if one.d is None or one.low is None or one.high is None:
        return one
    return Separation(-one.d, -one.high, -one.low, one.p, one.p_holm, one.clips)


def matrix(cell: pl.DataFrame, by: str, value: str) -> Array:
    """[indices, base clips], both sorted."""
    wide = cell.sort("base", by).pivot(on=by, index="base", values=value).sort("base")
    columns = sorted((name for name in wide.columns if name != "base"), key=int)
    return np.ascontiguousarray(wide.select(columns).to_numpy().T, dtype=np.float64)


def _parts(table: pl.DataFrame, keys: Sequence[str]) -> list[tuple[tuple[Any, ...], pl.DataFrame]]:
    return list(table.partition_by(list(keys), as_dict=True, maintain_order=True).items())
