"""People's answers as runs, like those of a model: one folder for each person, and one for all of them together.

An engine gives back what was recorded, so that the prompts, the clips and the reading of answers are those of every
run. In the run of several people each person is a seed: scores are means over people and clips, and their intervals are
clustered by clip and by person (`cells.clusters`). Files have anonymous ids, and neither names nor times.
"""

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation import score
from mma_bench.evaluation.cells import PEOPLE
from mma_bench.evaluation.infer import Plan, infer
from mma_bench.evaluation.people.agreement import Agreement, agreements
from mma_bench.evaluation.people.answers import Given, people, unanswered
from mma_bench.evaluation.people.status import Progress, status
from mma_bench.evaluation.people.store import Store
from mma_bench.evaluation.people.study import design_of, is_exported, items_of
from mma_bench.evaluation.protocols import Protocol, Sampling
from mma_bench.files import fingerprint, write_json
from mma_bench.folders import staged_folder
from mma_bench.models.contracts import Answer, ClipTask, Mode

ALL: Final = "all"  # the folder of the run of several people

Key: TypeAlias = tuple[str, str]  # the row's id; the prompt's key


class RecordedPeople:
    """An engine that answers as people did.

    Args:
        answers: One mapping for each person, who is asked with the seed of that place.
        name: The name in predictions.
    """

    modes: frozenset[Mode] = frozenset({"generate"})

    def __init__(self, answers: Sequence[Mapping[Key, Given]], name: str) -> None:
        self.name = name
        self.revision = fingerprint(*(sorted((*key, given.option) for key, given in own.items()) for own in answers))
        self.adapter = self.adapter_revision = None
        self._answers = answers

    def answer(self, tasks: Sequence[ClipTask]) -> list[list[Answer]]:
        """As `Engine.answer`; `usage` has `seen_before`, see `Given`."""
        return [[self._one(task, prompt.key, prompt.seed) for prompt in task.prompts] for task in tasks]

    def close(self) -> None:
        """Nothing to release."""

    def _one(self, task: ClipTask, key: str, seed: int) -> Answer:
        asked = key.rpartition(".")[0]
        given = self._answers[seed].get((task.id, f"{asked}.0"))  # a person is asked once, whatever the seed here
        if given is None:
            return Answer(key, unsupported="people are asked only where there are options to choose from")
        return Answer(key, text=given.option, usage={"seen_before": given.seen_before})


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        folders: Of each run; that of all people is the last.
        finished: The people in them.
        unfinished: Names and the number of prompts that they have yet to answer.
        scores: Of the last run.
        agreement: Of the people in the runs.
    """

    folders: tuple[Path, ...]
    finished: tuple[Progress, ...]
    unfinished: tuple[tuple[str, int], ...]
    scores: Mapping[str, Any]
    agreement: tuple[Agreement, ...]


def export(store: Store, out: Path, *, without: Collection[str] = ()) -> Export:
    """Replace `out` by the runs of everybody who has answered all prompts, and their agreement.

    Args:
        out: Gets a folder for each person, named by the anonymous id; `all`, if there are several people; and
            agreement.json.
        without: Names of people who are left out.

    Raises:
        ConfigError: `without` has a name that nobody has, or `out` holds something else.
        DataError: Nobody has finished, or the dataset has changed.
    """
    design = design_of(store)
    items = {item.id: item for item in items_of(design)}
    everybody = people(store)
    if unknown := sorted({name.casefold() for name in without} - {who.name for who in everybody}):
        raise ConfigError(
            f"there is no annotator named {unknown[0]!r}", hint="`mma-bench review --task answer status` lists them"
        )
    wanted = [who for who in everybody if who.name not in {name.casefold() for name in without}]
    finished = sorted((who for who in wanted if not unanswered(who, items)), key=lambda who: who.code)
    unfinished = [(who.name, left) for who in wanted if (left := unanswered(who, items))]
    if not finished:
        raise DataError(
            f"{store.where}: nobody has answered all {len(items)} questions yet",
            hint="`mma-bench review --task answer status` says how far people are",
        )
    if out.exists() and any(out.iterdir()) and not (out / "agreement.json").is_file():
        raise ConfigError(f"{out} holds other files", hint="name a new folder with --out")
    exported = [item for item in items.values() if is_exported(design, item)]
    given = {who.code: {(item.row, item.prompt): who.given[item.id] for item in exported} for who in finished}
    benchmark = design.benchmark()

    def run(codes: Sequence[str], name: str, folder: Path) -> Mapping[str, Any]:
        # Each person is a draw from all people, as each answer of a sampled model is from all its answers.
        sampling = Sampling(1.0 if len(codes) > 1 else 0.0, tuple(range(len(codes))))
        plan = Plan(design.conditions, tuple(map(Protocol, design.protocols)), sampling)
        engine = RecordedPeople([given[code] for code in codes], name)
        infer(engine, benchmark, plan, folder, settings={"engine": PEOPLE, "people": len(codes)})
        return score.main(folder)

    agreement = tuple(agreements(finished, exported))
    found = status(store, design, items)
    codes = [who.code for who in finished]
    progress = tuple(who for who in found.people if who.code in codes)
    with staged_folder(out) as staged:
        for code in codes:
            scores = run([code], f"person {code}", staged / code)
        if len(codes) > 1:
            scores = run(codes, f"people, n = {len(codes)}", staged / ALL)
        write_json(staged / "agreement.json", _report(progress, agreement))
        if out.exists():
            shutil.rmtree(out)
        staged.rename(out)
    folders = (*codes, ALL) if len(codes) > 1 else tuple(codes)
    return Export(tuple(out / name for name in folders), progress, tuple(unfinished), scores, agreement)


def _report(people: Sequence[Progress], agreement: Sequence[Agreement]) -> dict[str, Any]:
    return {
        "people": [
            {"code": who.code, "controls": who.controls, "missed": who.missed, "seen_before": who.seen_before}
            for who in sorted(people, key=lambda who: who.code)
        ],
        "agreement": [asdict(row) for row in agreement],
    }
