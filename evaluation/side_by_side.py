"""Two runs side by side on the same clips, playable (appendix L): what one gets right and the other wrong.

In: the folders of a base and a tuned run, and the dataset that both were made on. Out: a page, and the same as JSON.
Totals cover every shared protocol, condition and question; the clips shown are of one protocol and condition.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from scipy import stats

from mma_bench.errors import ConfigError
from mma_bench.evaluation.cells import PEOPLE, Cell, by_cell, is_right
from mma_bench.evaluation.comparisons import clips_of, compare_runs
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.formats import PROTOCOLS, model_name, p_value, points
from mma_bench.evaluation.predictions import Prediction, read_predictions
from mma_bench.evaluation.protocols import QUESTIONS, Protocol, refuse_unknown, text_of
from mma_bench.evaluation.run_folder import read_facts
from mma_bench.evaluation.trust.curves import trust_tables
from mma_bench.evaluation.trust.differences import shown as trust_shown
from mma_bench.evaluation.trust.differences import threshold_differences
from mma_bench.files import write_json, write_text
from mma_bench.page import data_uri, render
from mma_bench.schema import Condition

Row: TypeAlias = dict[str, Any]
Pair: TypeAlias = tuple[Prediction, Prediction]  # base, tuned: the same prompt

KINDS: Final = {
    (False, True): "became right",
    (True, False): "became wrong",
    (False, False): "both wrong",
    (True, True): "both right",
}
SHOWN: Final = ("became right", "became wrong", "both wrong")
MAX_BYTES: Final = 24_000_000  # of all clips; base64 adds a third
_RAW: Final = 300  # maximum characters of an answer


def check_comparable(base: Sequence[Prediction], tuned: Sequence[Prediction]) -> None:
    """Whether both runs asked the same about the same data.

    Raises:
        ConfigError: They share no prompt, or differ in data, prompt text, or in how answers were sampled; names what
            differs.
    """
    cells = [by_cell(rows).keys() for rows in (base, tuned)]
    shared = cells[0] & cells[1]
    for what, place in (("protocol", 0), ("condition", 1)):
        ours, theirs = ({cell[place] for cell in side} for side in cells)
        if not ours & theirs:
            raise ConfigError(
                f"the runs share no {what}: {', '.join(sorted(ours))} against {', '.join(sorted(theirs))}",
                hint=f"run both with the same --{what}s",
            )
    if not shared:
        raise ConfigError("the runs share no protocol under the same condition", hint="run both with the same options")
    if any(rows[0].settings.get("engine") == PEOPLE and len({row.seed for row in rows}) > 1 for rows in (base, tuned)):
        raise ConfigError("a run of several people has several answers to each prompt", hint="compare one person's run")
    before, after = (rows[0].settings.get("temperature") for rows in (base, tuned))
    if before != after:
        raise ConfigError(
            f"the runs differ in temperature: {before} against {after}", hint="run both with the same options"
        )
    asked = {row.key: row for row in base}
    for row in tuned:
        other = asked.get(row.key)
        if other is None:
            continue
        if row.dataset_fingerprint != other.dataset_fingerprint:
            raise ConfigError(
                f"the runs used different data under {row.condition}",
                hint="compare runs on the same version of the dataset",
            )
        if row.prompt_sha256 != other.prompt_sha256:
            raise ConfigError(f"the runs asked {row.key} with different prompts", hint="run both with one release")


def pairs_of(base: Sequence[Prediction], tuned: Sequence[Prediction]) -> dict[Cell, list[Pair]]:
    """The prompts with an answer in both runs, by cell."""
    answered = {row.key: row for row in tuned if row.is_answered}
    return {
        cell: pairs
        for cell, rows in by_cell(base).items()
        if (pairs := [(row, answered[row.key]) for row in rows if row.is_answered and row.key in answered])
    }


def kind_of(pair: Pair) -> str:
    """What became of the base run's answer."""
    return KINDS[is_right(pair[0]), is_right(pair[1])]


def totals(base: Sequence[Prediction], tuned: Sequence[Prediction]) -> list[Row]:
    """The number of answers of each kind by cell, with McNemar's exact test and the change in accuracy.

    Returns:
        Rows with the number of each kind, `p_exact` (None where a clip has answers under several seeds, which are not
        independent), and `stats.Difference` of accuracy, clustered by base clip and donor and Holm-corrected. Under
        misaligned, the question `both` is whether both answers about a clip are correct.
    """
    pairs = pairs_of(base, tuned)
    verdicts = {cell: [(one.id, is_right(one), is_right(two)) for one, two in own] for cell, own in pairs.items()}
    for protocol in dict.fromkeys(protocol for protocol, _, _ in pairs):
        verdicts[protocol, str(Condition.MISALIGNED), "both"] = _both(pairs, protocol)
    rows = []
    for row in compare_runs(clips_of(by_cell(base)), clips_of(by_cell(tuned))):
        found = verdicts.get((row["protocol"], row["condition"], row["question"]))
        if not found:
            continue
        counts = Counter(KINDS[before, after] for _, before, after in found)
        changed = counts["became right"] + counts["became wrong"]
        p = float(stats.binomtest(counts["became right"], changed).pvalue) if changed else 1.0
        single = len({clip for clip, _, _ in found}) == len(found)
        kinds = {kind.replace(" ", "_"): counts[kind] for kind in KINDS.values()}
        rows.append({**row, **kinds, "answers": len(found), "p_exact": p if single else None})
    return rows


def _trust(base: Sequence[Prediction], tuned: Sequence[Prediction]) -> dict[str, list[Row]]:
    """`trust`: how far apart both switch from a degraded sense to the other one; only if both were asked about it."""
    found = [trust_tables(rows).get("trust_thresholds", []) for rows in (base, tuned)]
    rows = threshold_differences(*found)
    return {"trust": rows} if rows else {}


def _both(pairs: Mapping[Cell, Sequence[Pair]], protocol: str) -> list[tuple[str, bool, bool]]:
    """For every misaligned clip and seed with both answers in both runs: its id, and whether both are correct."""
    of: dict[tuple[str, int], list[Pair]] = defaultdict(list)
    for question in QUESTIONS:
        for pair in pairs.get((protocol, str(Condition.MISALIGNED), question), ()):
            of[pair[0].id, pair[0].seed].append(pair)
    return [
        (clip, all(is_right(one) for one, _ in own), all(is_right(two) for _, two in own))
        for (clip, _), own in of.items()
        if len(own) == len(QUESTIONS)
    ]


def choose(pairs: Sequence[Pair], kind: str, seed: int) -> list[Pair]:
    """The pairs of a kind in an order determined by the seed, each clip once; more clips continue the same order."""
    drawn = sorted(
        (pair for pair in pairs if kind_of(pair) == kind),
        key=lambda pair: hashlib.sha256(f"{seed} {pair[0].key}".encode()).digest(),
    )
    return list({pair[0].id: pair for pair in reversed(drawn)}.values())[::-1]


def card(pair: Pair, row: Mapping[str, Any]) -> Row:
    """A clip with both answers, as in the JSON file.

    Args:
        pair: The two predictions.
        row: The dataset's row of the clip.
    """
    one = pair[0]
    asked = text_of(Protocol(one.protocol), row, one.question)  # type: ignore[arg-type]
    return {
        "id": one.id,
        "question": one.question,
        "asked": asked.partition(" Options:")[0],
        "visual_class": one.visual_class,
        "audio_class": one.audio_class,
        "expected": one.expected,
        "answers": [
            {
                "answer": each.answer,
                "raw": None if each.raw is None else each.raw[-_RAW:].strip(),
                "right": is_right(each),
                "captured": each.other is not None and each.answer == each.other,
            }
            for each in pair
        ],
    }


def rows_of(pairs: Sequence[Pair], benchmark: Benchmark) -> dict[str, Mapping[str, Any]]:
    """The dataset's rows of the clips by id.

    Raises:
        ConfigError: The dataset is not the one that the runs were made on.
    """
    first = pairs[0][0]
    if benchmark.fingerprint(first.condition) != first.dataset_fingerprint:
        raise ConfigError(
            f"{benchmark.name} is not the dataset the answers were made on (condition {first.condition} differs)",
            hint="pass the dataset of the runs with --dataset",
        )
    wanted = {pair[0].id for pair in pairs}
    return {row["id"]: row for row in benchmark.rows(first.condition) if row["id"] in wanted}


def media_of(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The clips as `data:` URIs by id, in the order given, without those that would exceed MAX_BYTES in total."""
    media: dict[str, str] = {}
    left = MAX_BYTES
    for name, row in rows.items():
        content = row["video"]["bytes"]
        if len(content) <= left:
            left -= len(content)
            media[name] = data_uri(content, "video/mp4")
    return media


def main(
    base: Path,
    tuned: Path,
    out: Path,
    *,
    dataset: str = "mma-bench",
    revision: str | None = None,
    protocol: str = "forced_choice",
    condition: str = "misaligned",
    clips: int = 4,
    seed: int = 0,
) -> dict[str, Any]:
    """Write the page, and a JSON file of the same name; return the latter's content.

    Args:
        base: A run's folder.
        tuned: Another's, e.g. of the same model with an adapter.
        out: The HTML file.
        dataset: Folder or Hub ID.
        revision: Of a dataset on the Hub.
        protocol: Of the clips shown.
        condition: Of the clips shown.
        clips: Maximum number shown of each kind.
        seed: Determines which are shown.

    Raises:
        ConfigError: The runs are not comparable, or neither has the protocol and condition to show.
        DataError: A file of a run is missing or broken.
    """
    refuse_unknown(protocol, condition)
    runs = [read_facts(folder) for folder in (base, tuned)]
    sides = [read_predictions(folder / "predictions.jsonl") for folder in (base, tuned)]
    check_comparable(*sides)
    pairs = pairs_of(*sides)
    shown = [pair for cell, own in pairs.items() if cell[:2] == (protocol, condition) for pair in own]
    if not shown:
        there = sorted({f"{cell[0]} under {cell[1]}" for cell in pairs})
        hint = (
            f"they share {', '.join(there)}"
            if there
            else "run the `mma-bench evaluate` of each again: " + ("no prompt has an answer in both")
        )
        raise ConfigError(f"the runs share no answers in {protocol} under {condition}", hint=hint)
    chosen = {kind: choose(shown, kind, seed)[:clips] for kind in SHOWN}
    picked = [pair for kind in SHOWN for pair in chosen[kind]]
    rows = rows_of(picked, Benchmark(dataset, revision=revision, split=runs[0]["split"])) if picked else {}
    names = [model_name(run) for run in runs]
    summary = {
        "runs": [{"folder": str(folder), "model": name} for folder, name in zip((base, tuned), names, strict=True)],
        "totals": totals(*sides),
        **_trust(*sides),
        "shown": {
            "protocol": protocol,
            "condition": condition,
            "seed": seed,
            "clips": {kind: [card(pair, rows[pair[0].id]) for pair in chosen[kind]] for kind in SHOWN},
        },
    }
    text = render(
        "side_by_side.html",
        "mma_bench.evaluation",
        title="Answers side by side",
        summary=summary,
        names=names if names[0] != names[1] else [str(base), str(tuned)],
        counts=Counter(map(kind_of, shown)),
        media=media_of(rows),
        heading=PROTOCOLS.get(protocol, protocol),
        trust=trust_shown(summary.get("trust", [])),  # type: ignore[arg-type]
        points=points,
        p_value=p_value,
    )
    write_text(out, text)
    write_json(out.with_suffix(".json"), summary)
    return summary


SUMMARY_HEADS: Final = (*KINDS.values(), "change, points [95 %]", "p, Holm")


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The totals of the protocol and condition shown, as rows for the terminal: a row for each question."""
    shown = summary["shown"]
    return [
        (
            row["question"],
            *(f"{row[kind.replace(' ', '_')]:,}" for kind in KINDS.values()),
            points(row),
            p_value(row.get("p_holm")),
        )
        for row in summary["totals"]
        if (row["protocol"], row["condition"]) == (shown["protocol"], shown["condition"])
    ]
