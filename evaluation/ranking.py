"""Which runs of a leaderboard can be ranked, and in which order."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mma_bench.evaluation.cells import Cell, by_cell
from mma_bench.evaluation.chosen_clips import Subset
from mma_bench.evaluation.comparisons import Clips, clips_of
from mma_bench.evaluation.completeness import limit_of, missing
from mma_bench.evaluation.conditions import CONFIGS, WITHOUT_THE_CLIP
from mma_bench.evaluation.formats import model_name
from mma_bench.evaluation.headline import headline
from mma_bench.evaluation.predictions import Prediction, option_order
from mma_bench.evaluation.score import accuracies
from mma_bench.evaluation.trust.curves import trust_tables
from mma_bench.prompts import BEYOND_VERSION
from mma_bench.schema import MODALITIES, PAPERS_CONDITIONS, Condition

# Why a run is not ranked.
UNCHECKED: Final = "unchecked"
OTHER_DATA: Final = "other data"
OTHER_PROMPTS: Final = "other prompts"
LIMITED: Final = "limited"
SUBSET: Final = "subset"
INCOMPLETE: Final = "incomplete"
REASONS: Final = {
    UNCHECKED: "a submission with prompts that are in no other run; with --dataset it can be checked",
    OTHER_DATA: "made on another version of the dataset than most runs",
    OTHER_PROMPTS: "asked with another version of the prompts, or another order of the options, than most runs",
    LIMITED: "a trial run with --limit",
    SUBSET: "over chosen clips (--clips), while other runs are over all or over another choice",
    INCOMPLETE: "unfinished, with failed prompts, or without an answer about clips that were asked about",
}


@dataclass(frozen=True)
class Run:
    """A run with its scores.

    Attributes:
        folder: Path relative to the results folder; the run's name.
        headline: Rows of `headline.headline`.
        accuracy: Rows of `score.accuracy`.
        clips: Outcomes by clip, for pairwise comparison.
        data: Condition → fingerprint of its data, and prompt version with the order of the options.
        conflict: The misaligned clips of each protocol and question that were asked about, answered or not.
        limit: Of base clips; None without one.
        subset: The base clips that it is over; None for all.
        finished: Whether all that was to be asked was asked, as far as is known.
        checked: False for a submission whose prompts are not known.
        thresholds: Rows of `trust_thresholds`; empty without degraded clips.
    """

    folder: str
    model: str
    failed: int
    headline: list[dict[str, Any]]
    accuracy: list[dict[str, Any]]
    clips: Mapping[Cell, Clips]
    data: dict[str, tuple[str, str]]
    conflict: Mapping[Cell, frozenset[str]]
    limit: int | None = None
    subset: Subset | None = None
    finished: bool = True
    checked: bool = True
    thresholds: Sequence[dict[str, Any]] = ()

    @classmethod
    def of(
        cls,
        folder: str,
        predictions: Sequence[Prediction],
        facts: Mapping[str, Any] | None = None,
        *,
        finished: bool = True,
        checked: bool = True,
    ) -> "Run":
        """Score a run.

        Args:
            folder: The run's name.
            predictions: Its predictions.
            facts: The content of its run.json, if there is one.
            finished: False if more is known to be missing than run.json and the predictions tell.
            checked: As in the class.
        """
        first, cells = predictions[0], by_cell(predictions)
        return cls(
            folder=folder,
            model=model_name({"model": first.model, "adapter": first.adapter, "settings": first.settings}),
            failed=sum(row.status == "failed" for row in predictions),
            headline=headline(cells),
            accuracy=accuracies(cells),
            clips=clips_of(cells),
            data={
                row.condition: (row.dataset_fingerprint, f"{row.prompt_version}, {option_order(row)}")
                # Of two versions of prompts, that of the paper's protocols; those of others are in few runs.
                for row in sorted(predictions, key=lambda row: row.prompt_version != BEYOND_VERSION)
            },
            conflict={
                cell: frozenset(row.id for row in rows)
                for cell, rows in cells.items()
                if cell[1] == Condition.MISALIGNED
            },
            limit=limit_of(facts or {}),
            subset=Subset.read(facts or {}),
            finished=finished and missing(facts or {}, predictions) is None,
            checked=checked,
            thresholds=trust_tables(predictions).get("trust_thresholds", []),
        )

    def row(self, protocol: str, condition: str, question: str) -> dict[str, Any] | None:
        """The accuracy of one cell, None if it was not run."""
        wanted = protocol, condition, question
        found = (row for row in self.accuracy if (row["protocol"], row["condition"], row["question"]) == wanted)
        return next(found, None)

    def headline_row(self, protocol: str, measure: str, question: str) -> dict[str, Any] | None:
        """A row of the headline, None if it was not run."""
        wanted = protocol, measure, question
        found = (row for row in self.headline if (row["protocol"], row["measure"], row["question"]) == wanted)
        return next(found, None)

    def parsed(self, protocol: str) -> float | None:
        """The share of parseable answers under a protocol, None without answers."""
        rows = [row for row in self.accuracy if row["protocol"] == protocol]
        answers = sum(row["n"] for row in rows)
        return 1 - sum(row["unparseable"] for row in rows) / answers if answers else None


def order(runs: Sequence[Run], protocol: str) -> list[Run]:
    """The runs that used the protocol, sorted by both questions correct, descending; runs without a value come last."""

    def key(run: Run) -> tuple[float, str]:
        row = run.headline_row(protocol, "both_right", "both")
        return (1.0 if row is None or row["mean"] is None else -row["mean"], run.folder)

    return sorted((run for run in runs if any(row["protocol"] == protocol for row in run.accuracy)), key=key)


def unranked(runs: Sequence[Run]) -> dict[str, str]:
    """Folder → why the run is not ranked: a key of REASONS.

    A run over a subset of the clips is ranked only if no run is over all, and among runs over the most frequent subset.

    A run is incomplete if a prompt failed or was not asked, if a misaligned clip that it was asked about has no answer,
    or if another run on the same data covers more clips in a shared condition of the paper.
    """
    same = {run.folder for run in comparable(runs)}
    common, clips_of_most = _common(runs), _subset(runs)
    asked: dict[Cell, set[str]] = defaultdict(set)
    for run in runs:
        if run.folder in same and run.subset == clips_of_most:
            for cell, clips in run.clips.items():
                asked[cell] |= clips.outcomes.keys()
            for cell, ids in run.conflict.items():
                asked[cell] |= ids
    found = {}
    for run in runs:
        if not run.checked:
            found[run.folder] = UNCHECKED
        elif any(common[condition][0] != data[0] for condition, data in run.data.items()):
            found[run.folder] = OTHER_DATA
        elif run.folder not in same:
            found[run.folder] = OTHER_PROMPTS
        elif run.failed or not run.finished:
            found[run.folder] = INCOMPLETE  # also of a trial run, whose numbers are not those of its clips
        elif run.limit is not None:
            found[run.folder] = LIMITED
        elif run.subset != clips_of_most:
            found[run.folder] = SUBSET
        elif any(clips.outcomes.keys() != asked[cell] for cell, clips in run.clips.items() if _of_the_paper(cell)):
            found[run.folder] = INCOMPLETE
    return found


def _of_the_paper(cell: Cell) -> bool:
    """Whether every model can be asked this: not without a clip, and not about time or text."""
    _, condition, question = cell
    beyond = condition in WITHOUT_THE_CLIP or CONFIGS[condition] not in PAPERS_CONDITIONS
    return not beyond and question in (*MODALITIES, "both")


def comparable(runs: Sequence[Run]) -> list[Run]:
    """The checked runs whose data and prompts match the majority of them under every condition."""
    common = _common(runs)
    return [
        run for run in runs if run.checked and all(common[condition] == data for condition, data in run.data.items())
    ]


def _subset(runs: Sequence[Run]) -> Subset | None:
    """The subset that is ranked: that of most runs, or None, all clips, if a comparable, unlimited run is over them."""
    counts = Counter(run.subset for run in comparable(runs) if run.limit is None)
    return None if not counts or None in counts else counts.most_common(1)[0][0]


def _common(runs: Sequence[Run]) -> dict[str, tuple[str, str]]:
    """Condition → data and prompts of most of the checked runs."""
    counted: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for run in sorted(runs, key=lambda run: run.folder):
        for condition, data in run.data.items() if run.checked else ():
            counted[condition][data] += 1
    return {condition: counts.most_common(1)[0][0] for condition, counts in counted.items()}


def ranks(compared: Sequence[Run], protocol: str) -> dict[str, int]:
    """Folder → rank, from 1, of the runs that can be ranked; ties share a rank."""
    values = {
        run.folder: row["mean"]
        for run in order(compared, protocol)
        if (row := run.headline_row(protocol, "both_right", "both")) is not None and row["mean"] is not None
    }
    return {folder: 1 + sum(other > value for other in values.values()) for folder, value in values.items()}
