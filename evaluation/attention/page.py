"""The page: a run's tables as human-readable `attention.html` and machine-readable `summary.json`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from markupsafe import Markup
from scipy import stats

from mma_bench.evaluation.attention import difference_figures, figures, summary
from mma_bench.evaluation.attention.differences import COLUMNS, difference_rows
from mma_bench.evaluation.attention.knockout import MODALITIES
from mma_bench.evaluation.attention.schema import ANSWERS, ATTENTION, DONORS, KNOCKOUT, STATES, TOKENS
from mma_bench.evaluation.formats import SMALL, p_value
from mma_bench.evaluation.published import RESULTS, SOURCE, published_name
from mma_bench.files import write_json, write_text
from mma_bench.page import render, svg
from mma_bench.progress import Progress
from mma_bench.tables import read_json, read_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = summary.Row

PUBLISHED: Final[dict[str, Any]] = RESULTS["white_box"]
_STUDIED: Final = "Qwen2.5-Omni-7B"  # the model whose layers the paper reports
_TINY: Final = 100_000_000  # parameters; the smallest published omni models have about thirty times as many


def summarise(
    run: Row,
    attention: pl.DataFrame,
    knockout: pl.DataFrame,
    answers: pl.DataFrame,
    donors: pl.DataFrame,
    progress: Callable[[], None],
) -> Row:
    """All numbers on the page.

    Args:
        run: The content of run.json.
        attention: `attention.parquet`.
        knockout: `knockout.parquet`.
        answers: `answers.parquet`.
        donors: `donors.parquet`.
        progress: Called after each of the eight parts.
    """
    numbers: Row = {"run": run, "published": {**PUBLISHED, "source": SOURCE}}
    parts: dict[str, Callable[[], list[Row]]] = {
        "text": lambda: summary.text_shares(attention),
        "shares": lambda: summary.layer_shares(attention),
        "by_layer": lambda: summary.separation_rows(attention, "layer"),
        "by_head": lambda: summary.separation_rows(attention, "head"),
        "by_token": lambda: summary.token_rows(attention),
        "differences": lambda: difference_rows(attention, donors),
        "loss": lambda: summary.loss_rows(knockout),
        "agreement": lambda: summary.agreement_rows(attention, knockout),
    }
    for name, part in parts.items():
        numbers[name] = part()
        progress()
    numbers["answers"] = _answer_rows(answers)
    # Over clips, audio mirrors video.
    over_clips = summary.peaks(_of(numbers["by_layer"], group="video"))
    numbers["peaks"] = [{**row, "samples": "clips"} for row in over_clips] + [
        {**row, "samples": "tokens"} for row in summary.peaks(numbers["by_token"])
    ]
    numbers["notes"] = _notes(run, numbers, answers)
    return numbers


def _answer_rows(answers: pl.DataFrame) -> list[Row]:
    """Correct answers by state, condition and question, and whether they exceed chance."""
    rows = []
    keys = ("state", "condition", "question")
    for key, cell in answers.partition_by(keys, as_dict=True, maintain_order=True).items():
        good = cell.filter(pl.col("status") == "ok")
        right = int((good["named"] == good["expected"]).sum())
        chance = float((1 / good["options"]).mean()) if good.height else 0.0  # type: ignore[arg-type]
        p = stats.binomtest(right, good.height, chance, alternative="greater").pvalue if good.height else None
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "asked": cell.height,
                "failed": cell.height - good.height,
                "right": right,
                "chance": chance,
                "p": None if p is None else float(p),
            }
        )
    return rows


def _notes(run: Row, numbers: Row, answers: pl.DataFrame) -> list[str]:
    """Caveats to show before the numbers, derived from the run alone."""
    notes = []
    facts = run["facts"]
    if facts["parameters"] < _TINY:
        notes.append(
            f"This model has {facts['parameters']:,} parameters in {facts['layers']} layers. Its numbers show that the "
            "measures work, not how the paper's models attend."
        )
    for state in dict.fromkeys(row["state"] for row in numbers["answers"]):
        rows = [row for row in numbers["answers"] if row["state"] == state]
        right, asked = sum(row["right"] for row in rows), sum(row["asked"] - row["failed"] for row in rows)
        chance = sum(row["chance"] * (row["asked"] - row["failed"]) for row in rows) / asked if asked else 0.0
        if asked and stats.binomtest(right, asked, chance, alternative="greater").pvalue >= 0.05:
            name = "With the adapter, answers" if state == "after" else "Answers"
            notes.append(
                f"{name} are at chance level ({right:,} of {asked:,} right): a model that does not solve the task "
                "cannot show how the task directs attention to a modality."
            )
    clips = max((row["clips"] for row in numbers["text"]), default=0)
    if clips < SMALL:
        notes.append(f"{clips:,} base clip{'' if clips == 1 else 's'}: intervals are wide, and peaks are mostly noise.")
    failed = answers.filter(pl.col("status") != "ok")
    if failed.height:
        notes.append(f"{failed.height:,} of {answers.height:,} questions failed, the first with: {failed['error'][0]}")
    return notes


def page(numbers: Row, tokens: pl.DataFrame) -> str:
    """The page as one HTML document."""
    run = numbers["run"]
    states = [state for state in STATES if any(row["state"] == state for row in numbers["text"])]
    name = published_name(run["model"], None)
    return render(
        "attention.html",
        "mma_bench.evaluation",
        title=f"Attention of {run['model']}",
        numbers=numbers,
        run=run,
        states=states,
        studied=_STUDIED,
        is_studied=name == _STUDIED,
        published=PUBLISHED,
        p_value=p_value,
        d=signed,
        shares={
            state: svg(figures.share_lines(_of(numbers["shares"], state=state)), f"Attention by layer, {state}")
            for state in states
        },
        layers=_pair(numbers["by_layer"], "layer", "Cohen's d by layer"),
        heads=_pair(numbers["by_head"], "head", "Cohen's d by head"),
        tokens=_pair(numbers["by_token"], "layer", "Cohen's d of single tokens by layer"),
        headline=[row for row in numbers["differences"] if row["by"] == "layer" and row["place"] is None],
        changes=_changes(numbers["differences"]),
        difference=difference,
        contrast_name=difference_figures.contrast_name,
        losses=_losses(numbers, states),
        agreements=_agreements(numbers),
        maps=_maps(tokens),
    )


def signed(row: Row | None) -> str:
    """Cohen's d with its interval; a dash if undefined."""
    if row is None or row["d"] is None:
        return "–"
    return f"{row['d']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]".replace("-", "−")


def difference(row: Row) -> str:
    """A difference of Cohen's d with its interval; a dash if undefined."""
    return signed({**row, "d": row["difference"]})


def _of(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _pair(rows: Sequence[Row], by: str, label: str) -> dict[str, Markup]:
    """One chart for video and one for audio, if d is defined."""
    charts: dict[str, Markup] = {}
    for group in MODALITIES:
        own = [row for row in rows if row["group"] == group and row["d"] is not None]
        if own:
            charts[group] = svg(figures.separation_lines(own, by), f"{label}, {group} tokens")
    return charts


def _changes(rows: Sequence[Row]) -> list[tuple[str, str, str, Markup | None, list[Row]]]:
    """Samples, `layer` or `head`, group, the chart, and its rows."""
    charts = []
    for samples, by, group in dict.fromkeys((row["samples"], row["by"], row["group"]) for row in rows):
        own = [row for row in _of(rows, samples=samples, by=by, group=group) if row["place"] is not None]
        drawn = [row for row in own if row["difference"] is not None]
        label = f"Difference of Cohen's d by {by}, {group} tokens, over {samples}"
        charts.append(
            (samples, by, group, svg(difference_figures.difference_lines(drawn, by), label) if drawn else None, own)
        )
    return charts


def _losses(numbers: Row, states: Sequence[str]) -> dict[str, Markup]:
    everywhere = {"first_layer": 1, "last_layer": numbers["run"]["facts"]["layers"], "target": "answer"}
    rows = {state: _of(numbers["loss"], state=state, **everywhere) for state in states}
    return {
        state: svg(figures.loss_bars(own), f"Knockout loss by modality, {state}") for state, own in rows.items() if own
    }


def _agreements(numbers: Row) -> list[tuple[str, str, Markup, list[Row]]]:
    cells = list(dict.fromkeys((row["state"], row["condition"]) for row in numbers["agreement"]))
    charts: list[tuple[str, str, Markup, list[Row]]] = []
    for state, condition in cells:
        rows = _of(numbers["agreement"], state=state, condition=condition)
        figure: Figure = figures.agreement_points(rows)
        charts.append((state, condition, svg(figure, f"Attention and loss, {condition}, {state}"), rows))
    return charts


def _maps(tokens: pl.DataFrame) -> list[tuple[Row, Markup]]:
    """Heat maps of the first clip that has rows, under its last condition with a conflict."""
    if tokens.is_empty():
        return []
    base = tokens["base"].min()
    own = tokens.filter(pl.col("base") == base)
    condition = "misaligned" if (own["condition"] == "misaligned").any() else own["condition"][0]
    clip = own.filter(pl.col("condition") == condition)["clip"][0]
    maps = []
    parts = own.filter(pl.col("clip") == clip).partition_by("state", "question", as_dict=True, maintain_order=True)
    for (state, question), part in parts.items():
        facts = {"state": state, "question": question, "clip": clip, "condition": condition}
        maps.append((facts, svg(figures.heat_map(part), f"Attention by token, {question}, {state}")))
    return maps


def main(out: Path) -> None:
    """Write attention.html, summary.json and differences.csv into a run's folder.

    Raises:
        DataError: A table of the run is missing or corrupt.
    """
    attention = read_table(out / "attention.parquet", ATTENTION)
    knockout = read_table(out / "knockout.parquet", KNOCKOUT)
    answers = read_table(out / "answers.parquet", ANSWERS)
    tokens = read_table(out / "tokens.parquet", TOKENS)
    donors = read_table(out / "donors.parquet", DONORS)
    with Progress("statistics", 8, "part") as progress:
        again = "run the same `mma-bench attention` again, which keeps what is finished"
        run = read_json(out / "run.json", missing=again, broken=f"delete it and {again}")
        numbers = summarise(run, attention, knockout, answers, donors, progress.advance)
    write_json(out / "summary.json", numbers)
    write_text(out / "differences.csv", pl.DataFrame(numbers["differences"], COLUMNS).write_csv())
    write_text(out / "attention.html", page(numbers, tokens))
