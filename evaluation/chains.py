"""Chains of thought: which modality a chain names first and last, and whether the final answer leaves it (appendix K).

The paper measures only the accuracy with chains (Table 11). It explains the loss by a hypothesis: while it thinks, the
model describes the picture, which then overrides the sound. These measures test that hypothesis:

* Two cues tell which modality a chain names. `class`: it names the class of the picture or that of the sound; defined
  where the two differ. `word`: it uses a word of sight (see, visible, image) or of hearing (hear, audible, sound).
* `named`: what the chain names first, and last: `seen`, `heard` or `neither`; the shares add up to 1.
* `left`: the final answer is another class than the one that the chain names first, or last, of all options. Only
  chains that name a class and end in a parseable answer count.

A class counts if the chain affirms it; one that it denies or asks about does not. The chain is the text before the
final answer; what repeats the prompt is removed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mma_bench.evaluation.cells import Cell, estimated, labelled, outcomes
from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.protocols import Protocol
from mma_bench.evaluation.reading import claims
from mma_bench.evaluation.reading import text as texts
from mma_bench.evaluation.reading.final_answer import announced
from mma_bench.evaluation.reading.names import names_of
from mma_bench.evaluation.reading.polarity import Polarity
from mma_bench.evaluation.reading.words import word_set
from mma_bench.evaluation.synonyms import SYNONYMS

POSITIONS: Final = ("first", "last")
MODALITIES: Final = ("seen", "heard", "neither")
_SIGHT: Final = word_set(
    "see sees seeing seen saw visual visuals visually visible image images picture pictures frame frames look looks "
    "looking watch watching appearance"
)
_HEARING: Final = word_set(
    "hear hears hearing heard audio audible audibly sound sounds sounding listen listens listening noise noises "
    "acoustic auditory"
)
# "Video" is neither: it is what the clip is called.
_ECHO: Final = re.compile(r"think step by step[^.\n]*|first provide your thinking process[^.\n]*")


@dataclass(frozen=True)
class Chain:
    """What a chain names.

    Attributes:
        classes: The options that it affirms, in order.
        words: `seen` or `heard` for each word of sight or hearing, in order.
    """

    classes: tuple[str, ...]
    words: tuple[str, ...]


def chain_text(raw: str, *, answered: bool) -> str:
    """The reasoning before the final answer, as `text.prepare` returns it.

    Args:
        raw: The whole answer.
        answered: Whether it names a class. Without a marker it is then the answer alone, without a chain.
    """
    plain = texts.prepare(raw, keep_end=True)
    settled = texts.without_thoughts(plain)
    if settled is None:
        return texts.without_echoes(_ECHO.sub(".", plain))
    thoughts, mark = plain[: len(plain) - len(settled)], announced(settled)
    before = settled[: mark.start] if mark is not None else "" if answered or thoughts else settled
    return texts.without_echoes(_ECHO.sub(".", f"{thoughts}\n{before}"))


def read_chain(row: Prediction) -> Chain:
    """What the chain of an answer names."""
    text = chain_text(row.raw or "", answered=row.answer is not None)
    statements = claims.read(text, names_of(row.options, SYNONYMS), none_offered=False)
    classes = [
        option
        for statement in statements
        for option, polarity in statement.claims.items()
        if polarity is Polarity.AFFIRMED
    ]
    words = ["seen" if word in _SIGHT else "heard" for word in texts.tokens(text) if word in _SIGHT or word in _HEARING]
    return Chain(tuple(classes), tuple(words))


def chains(cells: Mapping[Cell, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """The table `chains` of the scores; empty without answers in the protocol `chain_of_thought`.

    Returns:
        For each cell, rows of `measure` (`named` or `left`), `cue`, `position` (`first` or `last`) and `modality`, with
        `stats.share` of the chains. `left` has the cue `class` and no modality.
    """
    table: list[dict[str, Any]] = []
    for cell, rows in cells.items():
        if cell[0] != Protocol.CHAIN_OF_THOUGHT:
            continue
        read = {row.key: read_chain(row) for row in rows}
        for cue, position in ((cue, position) for cue in ("class", "word") for position in POSITIONS):
            told = {
                row.key: modality_of(row, read[row.key], cue, position)
                for row in rows
                if cue == "word" or row.visual_class != row.audio_class
            }
            of = [row for row in rows if row.key in told]
            for modality in MODALITIES if of else ():
                values = _share(of, {key: named == modality for key, named in told.items()})
                where: dict[str, Any] = {"measure": "named", "cue": cue, "position": position, "modality": modality}
                table.append(labelled(cell, {**where, **values}))
        ended = [row for row in rows if row.answer is not None and read[row.key].classes]
        for position in POSITIONS:
            values = _share(ended, {row.key: row.answer != _at(read[row.key].classes, position) for row in ended})
            where = {"measure": "left", "cue": "class", "position": position, "modality": None}
            table.append(labelled(cell, {**where, **values}))
    return table


def _share(rows: Sequence[Prediction], counted: Mapping[str, bool]) -> dict[str, Any]:
    return estimated(outcomes(rows, lambda row: counted[row.key]))


def modality_of(row: Prediction, chain: Chain, cue: str, position: str) -> str:
    """What the chain names at a position by a cue: `seen`, `heard` or `neither`."""
    if cue == "word":
        named = chain.words
    else:
        senses = {row.visual_class: "seen", row.audio_class: "heard"}
        named = tuple(senses[option] for option in chain.classes if option in senses)
    return _at(named, position) or "neither"


def _at(named: Sequence[str], position: str) -> str | None:
    if not named:
        return None
    return named[0 if position == "first" else -1]
