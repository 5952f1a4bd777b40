"""The model card of an adapter, generated from its run and two evaluations.

In: a finished run's folder (`run.json`, `log.jsonl`, `adapter/`) and what `mma-bench evaluate` wrote for the base and
for the tuned model. Out: the card as Markdown with the Hub's metadata (`model-index` with every accuracy), and a plot
of the training curve next to it. An evaluation of another adapter is rejected.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mma_bench.builders.dataset.card import templates
from mma_bench.builders.publish.citation import PAPER_AUTHORS, PAPER_TITLE
from mma_bench.errors import ConfigError
from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.formats import PROTOCOLS, SMALL, p_value, percent, points
from mma_bench.evaluation.published import published_seen_rows
from mma_bench.evaluation.seen_classes import classes_of, read_seen_classes
from mma_bench.files import atomic_path, write_text
from mma_bench.page import LIGHT, chart_style
from mma_bench.schema import PAPERS_CONDITIONS, Split
from mma_bench.stats import format_estimate
from mma_bench.tables import read_json
from mma_bench.training.base_licence import base_licence
from mma_bench.training.before_after import Cell, Results, cells, cells_by_seen, read_results, refuse_unlike
from mma_bench.training.card_metadata import AdapterFacts, card_data, is_hub_id, short_name, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE: Final = "training_curve.png"
_FACTS: Final = ("base", "best", "config", "data", "hardware", "lora", "validation", "versions")


def adapter_card(facts: AdapterFacts) -> str:
    """The card as Markdown with YAML metadata."""
    compared = cells(facts.before, facts.after)
    by_seen = cells_by_seen(facts.before, facts.after, facts.seen) if facts.seen else {}
    environment = templates("mma_bench.training")
    validation = facts.run["validation"]
    shown = {row["step"]: row for row in (validation[0], *_best(facts.run), validation[-1])}
    text = environment.get_template("adapter_card.md").render(
        facts=facts,
        run=facts.run,
        title=title(facts),
        protocols={protocol: PROTOCOLS.get(protocol, protocol) for protocol in _protocols(compared)},
        cells=compared,
        seen=sorted(facts.seen or ()),
        by_seen=[(group, cell) for group, group_cells in by_seen.items() for cell in group_cells],
        paper_seen=published_seen_rows(),
        worse=_worse(compared),
        worse_unseen=_worse(by_seen.get("unseen", [])),
        missing=_missing(compared),
        uncompared=_uncompared(compared),
        unread=_unread(compared),
        clips=max(row["clusters"] for row in facts.after.accuracy),
        small=SMALL,
        tuned_on_test=facts.after.run["split"] == Split.TRAIN,
        validation=[shown[step] for step in sorted(shown)],
        senses=sorted({name for row in validation for name in row if name.endswith(("_visual", "_audio"))}),
        dataset=short_name(facts.run["data"]["dataset"], facts.run["data"]["revision"]),
        evaluated=short_name(facts.after.run["dataset"], facts.after.run["dataset_revision"]),
        fingerprints={row.condition: row.dataset_fingerprint for row in facts.after.predictions},
        conditions=CONDITIONS,
        curve=CURVE,
        code_licence=metadata("mma-bench")["License-Expression"],
        paper_title=PAPER_TITLE,
        paper_authors=" and ".join(" ".join(name) for name in PAPER_AUTHORS),
        estimate=lambda row: "–" if row is None else format_estimate(row),
        points=lambda row: "–" if row is None else points(row),
        percent=percent,
        p=lambda row: "–" if row is None else p_value(row.get("p_holm")),
        name=short_name,
        duration=_duration,
    )
    return f"---\n{card_data(facts).to_yaml()}\n---\n{text}"


@chart_style()
def curve_figure(rows: Sequence[Mapping[str, Any]], best: int | None) -> "Figure":
    """Training loss by step and, below it, validation accuracy of both questions with the selected step.

    Args:
        rows: Of `log.jsonl`.
        best: Step of the best checkpoint.
    """
    from matplotlib.figure import Figure

    steps = [row for row in rows if "loss" in row]
    validations = [row for row in rows if "eval_accuracy" in row]
    figure = Figure((5.6, 4.2), facecolor=LIGHT["paper"], dpi=144)
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot([row["step"] for row in steps], [row["loss"] for row in steps], color=LIGHT["accent"], linewidth=1)
    above.set_ylabel("loss")
    above.set_ylim(bottom=0)
    for question, colour in (("visual", LIGHT["sight"]), ("audio", LIGHT["sound"])):
        there = [row for row in validations if f"eval_{question}" in row]
        heights = [100 * row[f"eval_{question}"] for row in there]
        below.plot([row["step"] for row in there], heights, "o-", color=colour, markersize=3, label=question)
    if best is not None:
        below.axvline(best, color=LIGHT["muted"], linewidth=1, linestyle=":", label="kept")
    below.set_ylabel("validation, % right")
    below.set_ylim(-3, 103)
    below.set_xlabel("step")
    below.legend(loc="lower right")
    for axes in (above, below):
        axes.set_facecolor(LIGHT["paper"])
        axes.grid(axis="y")
    return figure


def main(
    run: Path,
    *,
    before: Path,
    after: Path,
    seen_classes: Path | None = None,
    base_name: str | None = None,
    base_card: Path | None = None,
    out: Path | None = None,
) -> Path:
    """Write the card and the curve's plot; return the card's path.

    Args:
        run: Folder of a finished run.
        before: Folder of the base's evaluation.
        after: Folder of the tuned model's evaluation.
        seen_classes: Text file with the classes tuned on, one a line, for a run that does not record them.
        base_name: `ORG/NAME` of the base on the Hub, if the run loaded it from a folder.
        base_card: The base's `README.md`, which states its licence, if it cannot be found otherwise.
        out: The card's path; `README.md` in the run's folder by default.

    Raises:
        ConfigError: No finished run, an evaluation of another adapter or base, or two that cannot be compared.
        DataError: A file of a run is missing or broken.
        MmaBenchError: The base's licence cannot be read.
    """
    # Imported here because it imports torch.
    from mma_bench.models.omni.load import locate
    from mma_bench.training.curve import read_curve

    facts = read_run(run)
    curve = read_curve(run / "log.jsonl")
    if not curve:
        raise ConfigError(f"{run} has no log.jsonl, which holds the curve", hint="restore it next to run.json")
    sides = read_results(before), read_results(after)
    adapter = locate(str(run / "adapter"), None, "adapter_config.json").revision
    refuse_another(facts, adapter, *sides)
    refuse_unlike(*sides)
    checkpoint, revision = facts["base"]["checkpoint"], facts["base"]["revision"]
    known = _base_name(checkpoint, revision, base_name)
    text = adapter_card(
        AdapterFacts(
            run=facts,
            adapter=adapter,
            base_name=known,
            base=known or short_name(checkpoint),
            licence=base_licence(checkpoint, revision, base_card),
            before=sides[0],
            after=sides[1],
            seen=_seen(facts, seen_classes, sides[1]),
        )
    )
    path = out or run / "README.md"
    with atomic_path(path.with_name(CURVE)) as beside:
        figure = curve_figure(curve, facts["best"]["step"])
        figure.savefig(beside, metadata={"Software": None})
    write_text(path, text)  # last, so that the card never links to a missing picture
    return path


def read_run(folder: Path) -> dict[str, Any]:
    """`run.json` of a finished training run.

    Raises:
        ConfigError: There is none, or it is not from a training run.
    """
    if not (folder / "run.json").is_file():
        raise ConfigError(f"{folder} has no run.json: not a finished training run", hint="finish `mma-bench train`")
    facts: dict[str, Any] = read_json(folder / "run.json")
    if missing := [name for name in _FACTS if name not in facts]:
        raise ConfigError(
            f"{folder}/run.json has no {missing[0]}: it is not from a training run",
            hint="give the folder that `mma-bench train` wrote",
        )
    return facts


def refuse_another(run: Mapping[str, Any], adapter: str, before: Results, after: Results) -> None:
    """Require that the evaluations are of this run's adapter and of its base.

    Raises:
        ConfigError: One is not; names it.
    """
    if after.run.get("adapter_revision") != adapter:
        raise ConfigError(
            f"{after.folder} was made with the adapter {after.run.get('adapter_revision')}, not with {adapter}",
            hint="evaluate the run's own adapter/ (`--adapter RUN/adapter`) and pass that folder as --after",
        )
    for each in (before, after):
        if each.run.get("model_revision") != run["base"]["revision"]:
            raise ConfigError(
                f"{each.folder} was made with the base model {each.run.get('model_revision')}, "
                f"the adapter with {run['base']['revision']}",
                hint="evaluate the base model that the run was started from",
            )


def _base_name(checkpoint: str, revision: str, given: str | None) -> str | None:
    """The base's name on the Hub: what the run loaded, or the given name if that was a folder."""
    if given is not None and not is_hub_id(given):
        raise ConfigError(f"--base-name {given!r} is not a name on the Hub", hint="write it as ORG/NAME")
    if revision.startswith("sha256:"):  # a folder's files; a repository has a commit
        return given
    if given not in (None, checkpoint):
        raise ConfigError(f"the run was started from {checkpoint}, not from {given}", hint="omit --base-name")
    return checkpoint


def _seen(run: Mapping[str, Any], given: Path | None, evaluated: Results) -> frozenset[str] | None:
    recorded = frozenset(run["data"]["sft"].get("classes", ()))
    named = read_seen_classes(given, lambda: classes_of(evaluated.predictions))
    if recorded and named and recorded != named:
        raise ConfigError(
            f"{given} differs from the classes that the run was tuned on, e.g. in {sorted(recorded ^ named)[0]!r}",
            hint="omit --seen-classes: the run records its classes",
        )
    return recorded or named or None


def _best(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in run["validation"] if row["step"] == run["best"]["step"]]


def _protocols(compared: Sequence[Cell]) -> list[str]:
    there = {cell.protocol for cell in compared}
    return [name for name in PROTOCOLS if name in there] + sorted(there - PROTOCOLS.keys())


def _worse(compared: Sequence[Cell]) -> list[Cell]:
    """Cells that got worse, the significant ones first."""
    return sorted((cell for cell in compared if cell.is_worse), key=lambda cell: not cell.is_sure)


def _missing(compared: Sequence[Cell]) -> list[str]:
    """Conditions of the benchmark that were not evaluated on both sides under any protocol."""
    there = {cell.condition for cell in compared if cell.change is not None}
    return [str(condition) for condition in PAPERS_CONDITIONS if condition not in there]


def _uncompared(compared: Sequence[Cell]) -> dict[str, list[str]]:
    """Protocol → conditions where, for some question, no clip has a parseable answer on both sides."""
    empty = [cell for cell in compared if cell.change is not None and cell.change["difference"] is None]
    return {
        protocol: list(dict.fromkeys(cell.condition for cell in empty if cell.protocol == protocol))
        for protocol in dict.fromkeys(cell.protocol for cell in empty)
    }


def _unread(compared: Sequence[Cell]) -> list[dict[str, Any]]:
    """Protocols under which the tuned model has more unparseable answers or failed prompts."""
    rows = []
    for protocol in _protocols(compared):
        both = [
            (cell.before, cell.after) for cell in compared if cell.protocol == protocol and cell.before and cell.after
        ]
        for status in ("unparseable", "failed"):
            first, second = (
                (sum(side[status] for side in sides) for sides in zip(*both, strict=True)) if both else (0, 0)
            )
            if second > first:
                prompts = sum(after["prompts"] for _, after in both)
                rows.append(
                    {"protocol": protocol, "status": status, "before": first, "after": second, "prompts": prompts}
                )
    return rows


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
