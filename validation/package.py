"""Invariants of `mma-bench/`, the published dataset: every variant, unaltered, with the correct questions."""

from collections.abc import Sequence
from functools import partial
from itertools import chain

from mma_bench import layout
from mma_bench.config import Params
from mma_bench.hub.cards import card_head
from mma_bench.schema import ALIGNED, VARIANTS, Condition
from mma_bench.validation.accounts import outer_join_ids
from mma_bench.validation.expect import Column, absent, at_least, equal, filled, holds, one_of, unique
from mma_bench.validation.inputs import Inputs
from mma_bench.validation.package_facts import Truth, config_facts, file_facts, licence_facts
from mma_bench.validation.package_rows import REFERENCE, no_rows, packaged_ids, read_shards
from mma_bench.validation.promises import Frames, Promise

TABLE = layout.PACKAGE / "checksums.sha256"  # lists every other file, so its hash covers the whole dataset

_CARD = layout.PACKAGE / "README.md"


def frames(inputs: Inputs, params: Params) -> Frames:
    """Read the dataset and the tables that it is made from, and compute the facts."""
    checksums = inputs.note(TABLE).read_text(encoding="utf-8")
    head = card_head(inputs.note(_CARD).read_text(encoding="utf-8"))
    variants = inputs.parts(layout.VARIANTS, VARIANTS, [*REFERENCE, "status"])
    aligned = inputs.table(layout.ALIGNED, ALIGNED)
    truth = Truth(variants, aligned)
    files = sorted(path for path in layout.PACKAGE.rglob("*") if path.is_file() and path != TABLE)
    hashes = inputs.note_all(files, "validate_package", params)
    found = {path.relative_to(layout.PACKAGE).as_posix(): hashes[path] for path in files}
    packaged = packaged_ids(layout.PACKAGE)
    due = {split: [str(name) for name in names] for split, names in params.conditions().items()}
    return {
        "rows": map(truth.facts, chain([no_rows()], read_shards(layout.PACKAGE, params))),
        "ids": outer_join_ids(truth.ids, packaged["id"]),
        "configs": config_facts(packaged, head, due),
        "files": file_facts(found, checksums, head),
        **({"licences": licence_facts(inputs, aligned)} if params.package.licences else {}),
    }


_rule = partial(Promise, hint="run `mma-bench build package` again, then `dvc repro`")


def promises(params: Params) -> list[Promise]:
    """All promises, in page order."""
    return [*_of_the_dataset(), *(_of_the_licences(params.package.licences) if params.package.licences else ())]


def _of_the_licences(allowed: Sequence[str]) -> list[Promise]:
    return [
        _rule(
            f"{who}_may_be_passed_on",
            f"The {what} of each row is of a clip under {' or '.join(allowed)} (package.licences).",
            "the build",
            one_of(f"{who}_licence", list(allowed)),
            frame="licences",
            show=(f"{who}_id",),
            hint="run `dvc repro`, which begins with `verify`: that drops the clips under other terms, and `mma-bench "
            "build package` alone does not",
        )
        for who, what in (("base", "picture"), ("donor", "sound"))
    ]


def _of_the_dataset() -> list[Promise]:
    return [
        _rule(
            "file_is_as_listed",
            "The files of the dataset are those of checksums.sha256, byte for byte.",
            "the build",
            one_of("state", ["as listed"]),
            frame="files",
        ),
        _rule(
            "shard_is_in_the_card",
            "The card's configs list each shard for `load_dataset`, under its config and split.",
            "the build",
            holds("in_card", Column("kind") == "shard"),
            frame="files",
        ),
        _rule(
            "config_has_rows",
            "Each condition configured for a split is a config with rows.",
            "Table 2",
            at_least("rows", 1),
            frame="configs",
            hint=f"run `dvc repro`; if no row is left, {layout.metrics('conflicts')}, {layout.metrics('pair')} and "
            f"{layout.DROPPED} say why (package.licences and acquire.tombstones leave fewer clips): acquire more "
            "clips, or take the condition out of conflicts.conditions",
        ),
        _rule(
            "card_announces_the_rows",
            "Each config has as many rows as the card states.",
            "the build",
            equal("rows", "announced"),
            frame="configs",
        ),
        _rule(
            "every_variant_is_packaged",
            "Each good variant is in the dataset.",
            "the build",
            holds("present"),
            frame="ids",
        ),
        _rule(
            "nothing_else_is_packaged",
            "Each row of the dataset is a good variant.",
            "the build",
            holds("expected"),
            frame="ids",
        ),
        _rule(
            "shard_has_every_column",
            "No documented column is missing.",
            "the build",
            absent("lacks"),
            show=("config",),
        ),
        _rule("id_is_unique", "No two rows have the same id.", "the build", unique("id"), show=("config",)),
        _rule(
            "row_lies_under_its_condition",
            "A row is in the config of its condition and the split of its clip.",
            "Table 2",
            one_of("misplaced", [False]),
            show=("config", "folder_split"),
        ),
        _rule(
            "row_says_what_the_table_says",
            "Classes, labels, times, donor, context, hashes, licence and source match variants.parquet.",
            "the build",
            absent("altered"),
        ),
        *(
            _rule(
                f"{stream}_bytes_are_the_promised_ones",
                f"The {stream} packets of the embedded clip hash to `{stream}_sha256`.",
                "section 3",
                equal(f"{stream}_packets", f"{stream}_sha256"),
            )
            for stream in ("video", "audio")
        ),
        _rule(
            "options_are_the_classes_of_the_split",
            "The options are all classes of the split's aligned clips, sorted, and no others.",
            "section 3, Figure 5",
            equal("options", "due_options"),
        ),
        *(
            promise
            for sense, gone in (
                ("visual", "frames_zeroed, grey and noise"),
                ("audio", "audio_removed, white noise and room tone"),
            )
            for promise in (
                _rule(
                    f"{sense}_question_is_that_of_the_paper",
                    f"The {sense} question is worded as in the paper, with the options of the split.",
                    "Figure 5, Figure 20",
                    equal(f"{sense}_question", f"due_{sense}_question"),
                ),
                _rule(
                    f"{sense}_question_short_answer_adds_the_sentence",
                    f"The misleading caption's second {sense} question adds the last sentence of Figure 5.",
                    "Figure 5, Figure 20",
                    equal(
                        f"{sense}_question_short_answer",
                        f"due_{sense}_question_short_answer",
                        Column("condition") == str(Condition.MISLEADING_CAPTION),
                    ),
                ),
                _rule(
                    f"{sense}_answer_is_the_class",
                    f"The {sense} answer of the forced choice is the row's {sense} class.",
                    "section 3",
                    equal(f"{sense}_answer", f"due_{sense}_answer"),
                ),
                _rule(
                    f"{sense}_abstention_answer_follows_the_condition",
                    f"If offered, “None of the above” is the {sense} answer under {gone}; elsewhere it is the class.",
                    "appendix J",
                    equal(f"{sense}_abstention_answer", f"due_{sense}_abstention_answer"),
                ),
            )
        ),
        _rule(
            "text_question_asks_for_the_caption",
            "Under three_way the question about the caption comes after it, with the options of the split.",
            "docs/beyond.md",
            equal("text_question", "due_text_question", Column("condition") == str(Condition.THREE_WAY)),
        ),
        _rule(
            "text_answer_is_the_caption",
            "Under three_way the right answer to it is the class that the caption names.",
            "docs/beyond.md",
            equal("text_answer", "due_text_answer", Column("condition") == str(Condition.THREE_WAY)),
        ),
        *(
            _rule(f"{column}_is_stated", f"Each row states its {column}.", "the build", filled(column))
            for column in ("source", "licence")
        ),
    ]
