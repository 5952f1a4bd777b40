"""Report: `reports/dataset.html`, a page for looking at the built dataset and listening to it.

In: every table and count of the build. Out: one self-contained page with the funnel, the classes and the pruned
ontology, the clips' facts, the judge's scores, the pairs, a gallery of playable clips under
the paper's conditions, and one clip at each step of the conditions beyond it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl
from markupsafe import Markup

from mma_bench import layout
from mma_bench.builders.dataset.card import COUNTED_STAGES, PAPER_CANDIDATES, composed
from mma_bench.builders.package import class_lists
from mma_bench.builders.pages import charts
from mma_bench.builders.pages.files import Group, clip_ends, groups, sentence
from mma_bench.builders.pages.gallery import Exhibit, choose, gallery, paths_shown, rows_shown, share_of
from mma_bench.builders.pages.previews import previews
from mma_bench.builders.pages.steps import Steps, choose_steps, step_gallery
from mma_bench.classes import ClassTable, load_classes
from mma_bench.config import EncoderJudgeParams, NoJudgeParams, Params
from mma_bench.errors import DataError
from mma_bench.files import write_text
from mma_bench.page import render, svg
from mma_bench.schema import ABSENT, ALIGNED, CANDIDATES, CHECKS, FILES, NORMALISED, PAIRS, VARIANTS, VERDICTS, Split
from mma_bench.tables import from_rows, read_json, read_parts, read_table

PAGE: Final = layout.DATASET_PAGE
_MAX_REJECTED: Final = 200  # rows of the table of rejected clips

Counts = Mapping[str, Mapping[str, int]]  # subset or split → step → rows


@dataclass(frozen=True)
class Branch:
    """A node of the ontology with its subtree.

    Attributes:
        counts_as: What a clip with only this label belongs to: the class, or the dropped nodes.
        classes: Number of classes in the subtree, the node itself included.
        also_under: Names of its other parents.
    """

    name: str
    step: str
    reason: str
    counts_as: str
    classes: int
    also_under: tuple[str, ...]
    below: tuple["Branch", ...] = field(repr=False)


def forest(classes: ClassTable) -> tuple[Branch, ...]:
    """The ontology as trees, children by name; a node with several parents appears under each of them."""
    children: dict[str | None, list[str]] = {}
    for node_id, node in classes.nodes.items():
        for parent in node.parents or (None,):
            children.setdefault(parent, []).append(node_id)

    def branch(node_id: str, parent: str | None) -> Branch:
        node = classes.nodes[node_id]
        below = tuple(branch(child, node_id) for child in _by_name(classes, children.get(node_id, [])))
        return Branch(
            name=node.name,
            step=node.step,
            reason=node.reason,
            counts_as=node.class_name
            or " and ".join(classes.nodes[top].name for top in node.class_nodes) + " (dropped)",
            classes=(node.step == "kept") + sum(item.classes for item in below),
            also_under=tuple(classes.nodes[other].name for other in node.parents if other != parent),
            below=below,
        )

    return tuple(branch(root, None) for root in _by_name(classes, children.get(None, [])))


def remaining(counts: Mapping[str, int], first: str, last: str) -> list[tuple[str, int]]:
    """Rows left after each drop: {"in": 5, "too_short": 2, "ok": 3} → [("in", 5), ("− too short", 3), ("ok", 3)].

    Raises:
        DataError: The counts do not add up.
    """
    left = counts[first]
    steps = [(first, left)]
    for reason, dropped in counts.items():
        if reason not in (first, last) and dropped:
            left -= dropped
            steps.append((f"− {reason.replace('_', ' ')}", left))
    if left != counts.get(last, 0):
        raise DataError(f"a funnel ends with {left}, not with {counts.get(last, 0)} {last}", hint="run `dvc repro`")
    return [*steps, (last, left)]


def clip_funnel(stages: Mapping[str, Counts], split: str) -> list[tuple[str, int]]:
    """The number of a split's candidates left after each reason of each stage, from `acquire` to `verify`."""
    steps: list[tuple[str, int]] = []
    for stage in ("acquire", "normalise", "judge", "verify"):
        counts = stages[stage].get(split, {"in": 0, "ok": 0})
        inner = remaining(counts, "in", "ok")
        if not steps:
            steps.append(("candidates", counts["in"]))
        steps += [(name.replace("− ", f"− {stage}: "), left) for name, left in inner[1:-1]]
    return [*steps, ("aligned clips", steps[-1][1])]


def class_counts(candidates: pl.DataFrame, aligned: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Class → subset or split → rows."""
    counted: dict[str, dict[str, int]] = {}
    for table, by in ((candidates, "subset"), (aligned, "split")):
        for name, group, rows in table.group_by("class_name", by).len().sort("class_name", by).iter_rows():
            counted.setdefault(name, {})[group] = rows
    return counted


def page(
    *,
    params: Params,
    funnel: Counts,
    stages: Mapping[str, Counts],
    classes: ClassTable,
    candidates: pl.DataFrame,
    verdicts: pl.DataFrame,
    aligned: pl.DataFrame,
    pairs: pl.DataFrame,
    variants: pl.DataFrame,
    gallery: Sequence[Sequence[Exhibit]],
    steps: Sequence[Steps] = (),
    files: Sequence[Group] = (),
) -> str:
    """The page as HTML; tables as their schemas in `mma_bench.schema`, `files` if the clips come from files.

    Of `variants` the column `context` is not needed.
    """
    splits = [str(split) for split in Split if (aligned["split"] == split).any()]
    packaged = variants.filter(pl.col("status") == "ok")
    counted = class_counts(candidates, aligned)
    judge = params.judge
    thresholds = (
        {}  # one for each class, too many lines for a chart
        if isinstance(judge, EncoderJudgeParams | NoJudgeParams)
        else {"visual": judge.visual_threshold, "audio": judge.audio_threshold}
    )
    rejected = verdicts.filter(pl.col("status") != "ok").sort("split", "class_name", "clip_id")
    return render(
        "dataset.html",
        "mma_bench.builders.pages",
        title=f"MMA-Bench {params.package.version}",
        composed=composed(aligned),
        aligned=aligned.height,
        reviewed=int(aligned["human_verified"].sum()),
        per_split={split: int((aligned["split"] == split).sum()) for split in splits},
        splits=splits,
        rows=packaged.height,
        conditions=packaged["condition"].n_unique(),
        funnel=funnel,
        funnel_steps=list(dict.fromkeys(step for counts in funnel.values() for step in counts)),
        funnel_charts={
            subset: svg(charts.funnel(remaining(counts, "segments", "candidates")), f"Label filter, {subset}")
            for subset, counts in funnel.items()
        },
        paper=PAPER_CANDIDATES,
        stages=stages,
        clip_charts={
            split: svg(charts.funnel(clip_funnel(stages, split)), f"From candidates to aligned clips, {split}")
            for split in splits
        },
        class_chart=svg(charts.bars(_only(counted, splits), "aligned clips"), "Aligned clips by class"),
        classes=classes.classes,
        roots={item.name: classes.nodes[item.path[0]].name for item in classes.classes},
        subsets=list(funnel),
        counted=counted,
        forest=forest(classes),
        steps=dict(sorted(_steps(classes).items())),
        clip_facts=_clip_facts(aligned, params, splits),
        checks={}
        if isinstance(judge, NoJudgeParams)
        else {
            check: svg(charts.scores(verdicts, check, thresholds.get(check.split("_")[0])), f"Scores of {check}")
            for check in CHECKS
        },
        judge_of_none=judge.judge if isinstance(judge, NoJudgeParams) else None,
        judged=verdicts.height,
        rejected=rejected.head(_MAX_REJECTED).to_dicts(),
        rejected_more=max(0, rejected.height - _MAX_REJECTED),
        pair_charts={
            split: svg(charts.pair_matrix(pairs.filter(pl.col("split") == split)), f"Pairs, {split}")
            for split in splits
        },
        pairs={split: int((pairs["split"] == split).sum()) for split in splits},
        gallery=gallery,
        complete=sum(len(exhibits) > 2 for exhibits in gallery),
        steps_of=steps,
        absent=ABSENT,
        files=files,
        files_sentence=sentence(files),
        waveform=waveform,
    )


def waveform(peaks: Sequence[float]) -> Markup:
    """Peaks, 0 to 1, as an outline mirrored about the middle of a box 2 units high; silence is a line."""
    tall = [max(peak, 0.02) for peak in peaks]
    up = " ".join(f"{x},{1 - peak:.2f}" for x, peak in enumerate(tall))
    down = " ".join(f"{x},{1 + peak:.2f}" for x, peak in reversed(list(enumerate(tall))))
    return Markup('<svg class="wave" viewBox="0 0 {} 2" preserveAspectRatio="none" aria-hidden="true">').format(
        max(len(tall) - 1, 1)
    ) + Markup('<polygon points="{}"/></svg>').format(f"{up} {down}")


def main(params: Params) -> None:
    """Write the page."""
    variants = read_table(layout.VARIANTS, VARIANTS, without=["context"])
    aligned = read_table(layout.ALIGNED, ALIGNED)
    options = class_lists(aligned)
    offered = options.get(Split.TEST, options.get(Split.TRAIN, []))
    chosen = choose(variants)
    stepped = choose_steps(variants, chosen)
    rows = rows_shown(_rows_of(chosen), chosen)
    made = previews([*paths_shown(rows), *stepped["path"]], share_of(chosen, stepped.height), params)
    html = page(
        params=params,
        funnel=read_json(layout.FUNNEL),
        stages={stage: read_json(layout.metrics(stage)) for stage in COUNTED_STAGES},
        classes=load_classes(layout.CLASSES),
        candidates=read_table(layout.CANDIDATES, CANDIDATES),
        verdicts=read_table(layout.VERDICTS, VERDICTS),
        aligned=aligned,
        pairs=read_table(layout.PAIRS, PAIRS),
        variants=variants,
        gallery=gallery(rows, offered, made),
        steps=step_gallery(stepped, offered, made),
        files=_files(aligned, variants),
    )
    write_text(PAGE, html)


def _rows_of(chosen: Collection[str]) -> pl.DataFrame:
    """The variants of a few clips, with their texts."""
    parts = read_parts(layout.VARIANTS, VARIANTS, list(VARIANTS))
    return pl.concat(part.filter(pl.col("base_id").is_in(list(chosen))) for part in parts)


def _files(aligned: pl.DataFrame, variants: pl.DataFrame) -> list[Group]:
    """What became of each file of the source's folder; none if the clips come from elsewhere."""
    files = read_table(layout.FILES, FILES) if layout.FILES.is_file() else from_rows([], FILES)
    if files.is_empty():
        return []
    dropped = pl.read_csv(layout.DROPPED, schema_overrides={"clip_id": pl.String(), "reason": pl.String()})
    normalised, verdicts = read_table(layout.NORMALISED, NORMALISED), read_table(layout.VERDICTS, VERDICTS)
    return groups(files, clip_ends(normalised, verdicts, dropped, aligned, variants))


def _by_name(classes: ClassTable, node_ids: Sequence[str]) -> list[str]:
    return sorted(node_ids, key=lambda node_id: (classes.nodes[node_id].name, node_id))


def _steps(classes: ClassTable) -> dict[str, int]:
    counted: dict[str, int] = {}
    for node in classes.nodes.values():
        counted[node.step] = counted.get(node.step, 0) + 1
    return counted


def _only(counted: Counts, splits: Sequence[str]) -> dict[str, dict[str, int]]:
    """The classes with clips in any of the splits, with only those counts."""
    kept = {name: {split: row[split] for split in splits if split in row} for name, row in counted.items()}
    return {name: row for name, row in sorted(kept.items()) if row}


def _clip_facts(aligned: pl.DataFrame, params: Params, splits: Sequence[str]) -> list[tuple[str, Any]]:
    """(heading, chart) of the facts decoded from the aligned clips."""

    def by_split(column: str) -> dict[str, list[float]]:
        return {split: aligned.filter(pl.col("split") == split)[column].to_list() for split in splits}

    sizes: dict[str, dict[str, int]] = {}
    for width, height, split, clips in aligned.group_by("width", "height", "split").len().sort(pl.all()).iter_rows():
        sizes.setdefault(f"{width} × {height}", {})[split] = clips
    duration = charts.histogram(by_split("duration_s"), "seconds", "clips")
    # A clip is silent by its loudest moment, so the bound is not one on the mean.
    loudness = charts.histogram(by_split("rms_dbfs"), "dBFS (RMS)", "clips")
    motion = charts.histogram(
        by_split("motion"), "mean change of luma in 0.2 s (of 255)", "clips", bound=params.validate_.min_motion
    )
    return [
        ("Duration", svg(duration, "Duration of the aligned clips")),
        ("Resolution", svg(charts.bars(sizes, "clips"), "Resolution of the aligned clips")),
        ("Loudness", svg(loudness, "Loudness of the aligned clips")),
        ("Motion", svg(motion, "Motion in the aligned clips")),
    ]
