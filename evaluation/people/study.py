"""What people are asked: prompts about the rows of a dataset, the same as a model gets, and controls among them.

A database belongs to one design. Controls are prompts about aligned clips, whose class is known to be seen and heard:
whoever misses several of them does not look or listen.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from sqlalchemy import insert, select, update

from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation.dataset import Benchmark, Row
from mma_bench.evaluation.infer import chosen_conditions
from mma_bench.evaluation.people.store import Store, study
from mma_bench.evaluation.protocols import Protocol, Sampling, applies, expected, prompts_of
from mma_bench.files import fingerprint
from mma_bench.models.contracts import Prompt
from mma_bench.schema import Condition

PROTOCOLS: Final = (Protocol.FORCED_CHOICE, Protocol.ABSTENTION)  # those in which a person can choose an option
CONTROL_SHARE: Final = 0.05
_LEAST_CONTROLS: Final = 2


@dataclass(frozen=True)
class Item:
    """One prompt about one clip.

    Attributes:
        id: Opaque, 32 hex digits.
        row: The row's id in the dataset.
        prompt: The prompt's key.
        base: The clip of the picture.
        donor: The clip of the sound, usually `base`.
        before: The prompt's words before its options; all of them if they do not list the options once.
        after: Those after the options.
        expected: The right option.
        control: Whether the answer measures attention.
    """

    id: str
    row: str
    prompt: str
    base: str
    donor: str
    condition: str
    protocol: str
    question: str
    options: tuple[str, ...] = field(repr=False)
    before: str
    after: str
    expected: str
    control: bool = False

    @property
    def cell(self) -> tuple[str, str, str]:
        """Protocol, condition and question."""
        return self.protocol, self.condition, self.question


@dataclass(frozen=True)
class Design:
    """What a database's people are asked.

    Attributes:
        dataset: A folder, or ORG/NAME on the Hub.
        limit: As in `Benchmark`.
        controls: Share of prompts that are controls.
        data: Condition → fingerprint of its data.
    """

    dataset: str
    revision: str | None
    split: str
    conditions: tuple[str, ...]
    protocols: tuple[str, ...]
    limit: int | None
    controls: float
    data: dict[str, str]

    def benchmark(self) -> Benchmark:
        """The dataset."""
        return Benchmark(self.dataset, revision=self.revision, split=self.split, limit=self.limit)


def plan(benchmark: Benchmark, conditions: Sequence[str], protocols: Sequence[str], controls: float) -> Design:
    """The design for these conditions; without any, for all in the dataset but those with 10,000 words to read.

    Raises:
        ConfigError: A condition is not in the dataset, or a protocol offers no options to choose from.
        DataError: The dataset has no clips, or no prompts for these protocols.
    """
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown or not protocols:
        raise ConfigError(
            f"people cannot be asked by the protocols {', '.join(protocols) or '(none)'!r}",
            hint=f"choose among {', '.join(PROTOCOLS)}",
        )
    chosen = chosen_conditions(benchmark, conditions)
    if not conditions:
        chosen = tuple(name for name in chosen if name != Condition.LONG_CONTEXT)
    for condition in chosen:
        _require_clips(benchmark, condition)
        if not any(applies(Protocol(name), condition) for name in protocols):
            raise ConfigError(
                f"{', '.join(protocols)} does not apply to the condition {condition}",
                hint="leave the condition out, or add a protocol",
            )
    return Design(
        dataset=benchmark.name,
        revision=benchmark.revision,
        split=benchmark.split,
        conditions=chosen,
        protocols=tuple(protocols),
        limit=benchmark.limit,
        controls=controls,
        data={condition: benchmark.fingerprint(condition) for condition in chosen},
    )


def _require_clips(benchmark: Benchmark, condition: str) -> None:
    row = next(benchmark.rows(condition), {})
    if not (row.get("video") or {}).get("bytes"):
        raise DataError(
            f"{benchmark.name}, {condition}: {row.get('id', 'there')} has no clip to show",
            hint="use the edition with media; `mma-bench publish rebuild` makes it from one without",
        )


def claim(store: Store, design: Design) -> None:
    """Make the database that of a design, or check that it is. Where the dataset is may change.

    Raises:
        ConfigError: The database's people were asked something else; names what differs.
    """
    there = _read(store)
    if there is not None:
        before, now = ({**asdict(each), "dataset": "", "revision": None} for each in (there, design))
        if differing := [name for name in before if before[name] != now[name]]:
            name = differing[0]
            raise ConfigError(
                f"{store.where} holds answers to other prompts: {_difference(name, before[name], now[name])}",
                hint="name another database with --database, or the same options as before",
            )
    row = {"id": 1, "design": json.dumps(asdict(design))}
    with store.writing() as connection:
        connection.execute(insert(study).values(row) if there is None else update(study).values(row))


def _difference(name: str, before: Any, now: Any) -> str:
    if name == "data":
        changed = [condition for condition in now if before.get(condition) != now[condition]]
        return f"the dataset's {changed[0]} is not the one that people were asked about"
    return f"{name} was {before!r} and is now {now!r}"


def _read(store: Store) -> Design | None:
    with store.reading() as connection:
        found = connection.execute(select(study.c.design)).scalar()
    if found is None:
        return None
    values = json.loads(found)
    return Design(**{**values, **{name: tuple(values[name]) for name in ("conditions", "protocols")}})


def design_of(store: Store) -> Design:
    """The design of a database.

    Raises:
        DataError: Nobody has been asked anything yet, or the dataset has changed since.
    """
    found = _read(store)
    if found is None:
        raise DataError(f"{store.where} has no questions yet", hint="start `mma-bench review --task answer serve` once")
    benchmark = found.benchmark()
    for condition, before in found.data.items():
        if benchmark.fingerprint(condition) != before:
            raise DataError(
                f"{found.dataset}: {condition} has changed since people were asked",
                hint="restore the dataset that was served, or start anew with another --database",
            )
    return found


def items_of(design: Design) -> list[Item]:
    """All prompts of a design, then the controls that are none of them."""
    benchmark = design.benchmark()
    protocols = [Protocol(name) for name in design.protocols]
    found = [item for condition in design.conditions for item in _of_condition(benchmark, condition, protocols)]
    if not found:
        raise DataError(f"{design.dataset} has no prompts for people", hint="choose other --conditions or --protocols")
    return _with_controls(found, design)


def is_exported(design: Design, item: Item) -> bool:
    """Whether the answer belongs to the run; that of a control under another condition only measures attention."""
    return item.condition in design.conditions


def _of_condition(benchmark: Benchmark, condition: str, protocols: Sequence[Protocol]) -> Iterator[Item]:
    for row in benchmark.texts(condition):
        for prompt in prompts_of(row, protocols, Sampling()):
            if prompt.mode == "generate" and prompt.options:
                yield _item(row, prompt)


def _item(row: Row, prompt: Prompt) -> Item:
    assert prompt.question is not None
    assert prompt.protocol is not None
    listed = ", ".join(prompt.options)
    before, _, after = prompt.text.partition(listed) if prompt.text.count(listed) == 1 else (prompt.text, "", "")
    return Item(
        id=fingerprint(row["id"], prompt.key, hashlib.sha256(prompt.text.encode()).hexdigest())[:32],
        row=row["id"],
        prompt=prompt.key,
        base=row["base_id"],
        donor=row["donor_id"] or row["base_id"],
        condition=row["condition"],
        protocol=prompt.protocol,
        question=prompt.question,
        options=prompt.options,
        before=before.strip(),
        after=after.strip(" ."),
        expected=expected(Protocol(prompt.protocol), row, prompt.question),
    )


def _with_controls(items: list[Item], design: Design) -> list[Item]:
    """The items with the drawn share of aligned ones as controls, added where the design does not ask about them.

    Added controls are about clips that the design leaves out, as far as there are any.
    """
    aligned = str(Condition.ALIGNED)
    wanted = max(_LEAST_CONTROLS, round(design.controls * len(items))) if design.controls > 0 else 0
    if aligned in design.conditions:
        drawn = {item.id for item in _drawn([item for item in items if item.condition == aligned], set())[:wanted]}
        return [replace(item, control=item.id in drawn) for item in items]
    everything = replace(design, limit=None).benchmark()
    if not wanted or aligned not in everything.conditions():
        return items
    candidates = list(_of_condition(everything, aligned, [Protocol.FORCED_CHOICE]))
    asked = {item.base for item in items} | {item.donor for item in items}
    return [*items, *(replace(item, control=True) for item in _drawn(candidates, asked)[:wanted])]


def _drawn(items: Sequence[Item], asked: set[str]) -> list[Item]:
    return sorted(items, key=lambda item: (item.base in asked, fingerprint("control", item.row, item.prompt)))
