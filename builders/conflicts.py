"""Conflicts: puts every aligned clip under each condition of Table 2.

In: `aligned.parquet` and `pairs.parquet`. Out: `variants.parquet`, one row per clip under one condition, and the media
of those that change it (`dataset/media.py`). In `misleading_caption` and `long_context` the conflict is in the
prompt (appendix G, section 4.1.4), so their rows, like those of `aligned`, point at the aligned clip's own file; those
of `three_way` point at the file of the clip's first misaligned variant.

The expected hashes (`base_video_sha256`, `source_audio_sha256`) are computed from the sources, the actual ones from the
written file; the gate compares the two.

A condition with steps (`schema.STEPPED`) has a row for each of them; if it needs a donor, it is the clip's first.

Conditions are compared clip by clip, so a clip of which one variant cannot be used loses all of them; see
`dataset/incomplete.py`.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import polars as pl

from mma_bench import layout
from mma_bench.builders.dataset.incomplete import without_incomplete
from mma_bench.builders.dataset.media import STEPS_VERSION, WRITERS, Order
from mma_bench.config import Params
from mma_bench.errors import ConfigError, DataError, InvalidInput
from mma_bench.executor import run
from mma_bench.executor.ledger import Entry
from mma_bench.executor.task import Task
from mma_bench.files import clip_path, file_sha256, fingerprint, remove_strays, write_json
from mma_bench.irrelevant_text import irrelevant_text
from mma_bench.media import edit as variants
from mma_bench.media.facts import media_facts
from mma_bench.media.packets import packet_sha256
from mma_bench.progress import Progress
from mma_bench.schema import (
    ALIGNED,
    DONATED,
    FACTS,
    FILE,
    PAIRS,
    STEPPED,
    VARIANTS,
    Condition,
    step_name,
)
from mma_bench.tables import counts_of_splits, outcome_table, read_table, write_table

Row: TypeAlias = dict[str, Any]

MEDIA_CONDITIONS: Final = (Condition.MISALIGNED, Condition.AUDIO_REMOVED, Condition.FRAMES_ZEROED, *STEPPED)

Steps: TypeAlias = Mapping[Condition, Sequence[tuple[str, float | None]]]

_KEPT: Final = ("split", "video_id", "start_s", "end_s", "label_ids", "source", "licence", "judge", "human_verified")


def misleading_class(clip_id: str, own: str | Collection[str], classes: Sequence[str], seed: int) -> str:
    """The class that the false caption of a clip names: any of `classes` but the clip's own, near-uniformly.

    Args:
        clip_id: The clip, or the row whose picture and sound are of two clips.
        own: Its class, or the classes of picture and sound.
        classes: To choose from.
        seed: Of all captions.

    Rendezvous hashing: each class draws a number from (seed, clip, class) and the highest wins. So the caption of a
    clip does not depend on other clips, and a new class takes over its even share of the captions and changes no other.

    Raises:
        ValueError: `classes` has no other class.
    """
    others = sorted(set(classes) - ({own} if isinstance(own, str) else set(own)))
    return max(others, key=lambda name: _hash(seed, "caption", clip_id, name))


def context_seed(clip_id: str, seed: int) -> int:
    """The seed of a clip's long irrelevant context: 0 to 2^63 - 1."""
    return _hash(seed, "context", clip_id) >> 1


def plan(
    aligned: pl.DataFrame,
    pairs: pl.DataFrame,
    conditions: Mapping[str, Sequence[Condition]],
    seed: int,
    steps: Steps = MappingProxyType({}),
) -> list[Row]:
    """The rows of the variants table without context, outcome, file and facts, in the table's order.

    Args:
        aligned: Schema ALIGNED.
        pairs: Schema PAIRS.
        conditions: The conditions of each split.
        seed: Of captions and contexts.
        steps: The manipulations, each with its level, of each condition in STEPPED.

    Raises:
        DataError: A pair names a clip that its split does not have, or a split that needs false captions has too few
            classes: one, for three_way two.
        ConfigError: A split has three_way, but not misaligned, whose clips it shows.
    """
    rows: list[Row] = []
    for split, wanted in conditions.items():
        clips = {row["clip_id"]: row for row in aligned.filter(pl.col("split") == split).iter_rows(named=True)}
        classes = sorted({clip["class_name"] for clip in clips.values()})
        for captioned, needed in ((Condition.MISLEADING_CAPTION, 2), (Condition.THREE_WAY, 3)):
            if captioned in wanted and 0 < len(classes) < needed:
                raise DataError(
                    f"{layout.ALIGNED}: all clips of split {split!r} are {' or '.join(classes)}, "
                    "no caption can mislead",
                    hint=f"acquire clips of other classes, or remove {captioned} from conflicts.conditions.{split}",
                )
        if Condition.THREE_WAY in wanted and Condition.MISALIGNED not in wanted:
            raise ConfigError(
                f"conflicts.conditions.{split} has three_way without misaligned, whose clips it shows",
                hint=f"add misaligned to conflicts.conditions.{split}, or remove three_way",
            )
        chosen = pairs.filter(pl.col("split") == split)
        for condition in wanted:
            if condition in DONATED:
                some = chosen if condition == Condition.MISALIGNED else chosen.filter(pl.col("rank") == 0)
                rows += [
                    _stepped(_donated(condition, pair, clips, classes, seed), step)
                    for pair in some.iter_rows(named=True)
                    for step in steps.get(condition, (None,))
                ]
            elif condition in STEPPED:
                rows += [
                    _stepped(_single(condition, clip, classes, seed), step)
                    for clip in clips.values()
                    for step in steps[condition]
                ]
            else:
                rows += [_single(condition, clip, classes, seed) for clip in clips.values()]
    return sorted(rows, key=lambda row: (row["split"], row["condition"], row["id"]))


def with_contexts(rows: Iterable[Row], words: int) -> Iterator[Row]:
    """The rows with their contexts of so many words, made as they are asked for: each has tens of kilobytes."""
    for row in rows:
        seed = row.get("context_seed")
        yield row if seed is None else {**row, "context": irrelevant_text(seed, words)}


def make_variant(payload: Mapping[str, Any]) -> Row:
    """Write one variant and read its facts back.

    Args:
        payload: `condition`; `base` and, where there is one, `donor` as `_source` gives them; `id` and `folder` of the
            file to write; `slack_s`, by how much (in seconds) the donor's sound may end before the base's picture;
            `manipulation` and `level` of a condition with steps.

    Returns:
        `path`, `sha256`, the facts of the written file, the packet hashes expected from the sources, and what was
        measured of the step.

    Raises:
        InvalidInput: A source is missing, changed or broken; names it.
    """
    out = clip_path(Path(payload["folder"]), payload["id"])
    base = _checked(payload["base"])
    donor = _checked(payload["donor"]) if "donor" in payload else None
    steps = {key: payload.get(key) for key in ("manipulation", "level")}
    made = WRITERS[payload["condition"]](Order(payload["id"], base, donor, out, payload.get("slack_s", 0.0), **steps))
    return {
        "path": out.as_posix(),
        "sha256": file_sha256(out),
        **media_facts(out),
        "base_video_sha256": packet_sha256(base, "video"),
        "source_audio_sha256": made.audio_sha256
        or (made.sound_of and packet_sha256(made.sound_of, "audio", first=made.taken)),
        "level_measured": _rounded(made.level_measured),
        "base_likeness": _rounded(made.base_likeness),
    }


def _rounded(measured: float | None) -> float | None:
    """To 4 decimals: processors differ in the last bits."""
    return None if measured is None else round(measured, 4)


def main(params: Params) -> None:
    """Run the stage."""
    aligned = read_table(layout.ALIGNED, ALIGNED)
    pairs = read_table(layout.PAIRS, PAIRS)
    steps = {condition: params.conflicts.steps_of(condition) for condition in STEPPED}
    rows = plan(aligned, pairs, params.conditions(), params.conflicts.seed, steps)
    clips = {(clip["split"], clip["clip_id"]): clip for clip in aligned.iter_rows(named=True)}
    found = _found(clips.values())

    made = [row for row in rows if row["condition"] in MEDIA_CONDITIONS]
    tasks = [_task(row, clips, found, params.pair.slack_s) for row in made]
    entries = run(
        tasks,
        make_variant,
        layout.ledger("conflicts"),
        workers=params.workers,
        title="conflicts",
        give_up_after=params.give_up_after,
        ray=params.on_ray(),
    )
    of_made = {_key(row): entry for row, entry in zip(made, entries, strict=True)}
    outcomes = (_outcome(row, of_made, clips, found) for row in rows)
    described = with_contexts(rows, params.conflicts.context_words)
    table = without_incomplete(outcome_table(described, outcomes, VARIANTS), params)

    written = table.filter(pl.col("condition").is_in(MEDIA_CONDITIONS), status="ok")
    remove_strays(layout.VARIANT_CLIPS, map(Path, written["path"]))
    layout.VARIANT_CLIPS.mkdir(parents=True, exist_ok=True)
    write_table(table, layout.VARIANTS, VARIANTS, sort_by=["split", "condition", "id"])
    write_json(layout.metrics("conflicts"), counts_of_splits(table))


def _single(condition: Condition, clip: Row, classes: Sequence[str], seed: int) -> Row:
    clip_id, name = clip["clip_id"], clip["class_name"]
    row = {
        "id": f"{clip_id}.{condition}",
        "condition": str(condition),
        "base_id": clip_id,
        "visual_class": name,
        "audio_class": name,
        **{key: clip[key] for key in _KEPT},
    }
    if condition == Condition.MISLEADING_CAPTION:
        row["caption"] = misleading_class(clip_id, name, classes, seed)
    if condition == Condition.LONG_CONTEXT:
        row["context_seed"] = context_seed(clip_id, seed)
    return row


def _stepped(row: Row, step: tuple[str, float | None] | None) -> Row:
    if step is None:
        return row
    manipulation, level = step
    name = step_name(manipulation, level)
    return {**row, "id": f"{row['id']}.{name}", "manipulation": str(manipulation), "level": level}


def _donated(condition: Condition, pair: Row, clips: Mapping[str, Row], classes: Sequence[str], seed: int) -> Row:
    for clip_id in (pair["base_id"], pair["donor_id"]):
        if clip_id not in clips:
            raise DataError(
                f"{layout.PAIRS}: {clip_id} is not an aligned clip of split {pair['split']!r}",
                hint="run `mma-bench build pair`, or `dvc repro`",
            )
    base, donor = clips[pair["base_id"]], clips[pair["donor_id"]]
    name = _name(condition, pair)
    row = {
        "id": name,
        "condition": str(condition),
        "base_id": pair["base_id"],
        "donor_id": pair["donor_id"],
        "visual_class": base["class_name"],
        "audio_class": donor["class_name"],
        "class_distance": pair["class_distance"],
        **{key: base[key] for key in _KEPT},
        **{key: _of_both(base[key], donor[key]) for key in ("source", "licence", "judge")},
        "human_verified": base["human_verified"] and donor["human_verified"],
    }
    if condition == Condition.THREE_WAY:
        row["caption"] = misleading_class(name, {base["class_name"], donor["class_name"]}, classes, seed)
    return row


def _name(condition: Condition, pair: Mapping[str, Any]) -> str:
    """The id of a variant of a base with a donor's sound, without its step."""
    return f"{pair['base_id']}.{condition}.{pair['donor_id']}"


def _of_both(of_base: str, of_donor: str) -> str:
    return of_base if of_base == of_donor else f"video: {of_base}; audio: {of_donor}"


def _found(clips: Collection[Row]) -> dict[str, str | None]:
    """The current SHA-256 of each aligned clip's file, None if it is missing."""
    found: dict[str, str | None] = {}
    with Progress("conflicts: reading sources", len(clips)) as progress:
        for clip in clips:
            path = Path(clip["path"])
            found[path.as_posix()] = file_sha256(path) if path.is_file() else None
            progress.advance()
    return found


def _source(clip: Row, found: Mapping[str, str | None]) -> Row:
    path = Path(clip["path"]).as_posix()
    return {"clip_id": clip["clip_id"], "path": path, "sha256": clip["sha256"], "found": found[path]}


def _checked(source: Mapping[str, Any]) -> Path:
    """The source's path, if its file is the one that the table of aligned clips describes."""
    if source["found"] is None:
        raise InvalidInput(
            "source_missing", f"the file of clip {source['clip_id']} does not exist", subject=source["path"]
        )
    if source["found"] != source["sha256"]:
        raise InvalidInput(
            "source_changed",
            f"the file of clip {source['clip_id']} has SHA-256 {source['found'][:12]}…, "
            f"{layout.ALIGNED} says {source['sha256'][:12]}…",
            subject=source["path"],
        )
    return Path(source["path"])


def _task(row: Row, clips: Mapping[tuple[str, str], Row], found: Mapping[str, str | None], slack_s: float) -> Task:
    payload = {
        "id": row["id"],
        "condition": row["condition"],
        "folder": (layout.VARIANT_CLIPS / row["split"] / row["condition"]).as_posix(),
        "base": _source(clips[row["split"], row["base_id"]], found),
    }
    if row["condition"] in DONATED:
        payload |= {"donor": _source(clips[row["split"], row["donor_id"]], found), "slack_s": slack_s}
    if row["condition"] in STEPPED:
        payload |= {"manipulation": row["manipulation"], "level": row["level"], "version": STEPS_VERSION}
    # The fingerprint includes the hash found, so that a variant refused for its source is retried once the source is
    # back.
    return Task(_key(row), fingerprint(variants.VERSION, version("av"), list(FACTS), payload), payload)


def _key(row: Row) -> str:
    return f"{row['split']}/{row['id']}"


def _outcome(
    row: Row, made: Mapping[str, Entry], clips: Mapping[tuple[str, str], Row], found: Mapping[str, str | None]
) -> Entry:
    """The entry of a row: that of its own clip, of the misaligned one that it shows, or of the aligned clip."""
    if row["condition"] == Condition.THREE_WAY:
        return made[f"{row['split']}/{_name(Condition.MISALIGNED, row)}"]
    if row["condition"] in MEDIA_CONDITIONS:
        return made[_key(row)]
    return _pointed(clips[row["split"], row["base_id"]], found)


def _pointed(clip: Row, found: Mapping[str, str | None]) -> Entry:
    """The entry, in the executor's format, of a row that points at the aligned clip itself."""
    try:
        _checked(_source(clip, found))
    except InvalidInput as error:
        return {"status": error.status, "reason": error.reason, "detail": error.detail, "result": {}}
    result = {key: clip[key] for key in (*FILE, *FACTS)}
    result |= {"base_video_sha256": clip["video_sha256"], "source_audio_sha256": clip["audio_sha256"]}
    return {"status": "ok", "reason": "", "detail": "", "result": result}


def _hash(*parts: object) -> int:
    """A 64-bit hash that depends only on `parts` (Python's own hash differs between processes)."""
    return int.from_bytes(hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest(), "big")
