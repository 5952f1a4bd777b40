"""The card: read back by the Hub's own loader, and every figure in it moves with the table that it comes from."""

import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from huggingface_hub import DatasetCard

from mma_bench import layout
from mma_bench.builders.dataset.card import (
    COUNTED_STAGES,
    PAPER_CANDIDATES,
    CardFacts,
    Size,
    credits,
    dataset_card,
    licence_notice,
)
from mma_bench.builders.dataset.columns import COLUMNS, features
from mma_bench.schema import ALIGNED, PAPERS_CONDITIONS, VARIANTS, Condition
from mma_bench.tables import read_json, read_table


@pytest.fixture
def facts(build: Path) -> CardFacts:
    return CardFacts(
        version="0.1.0",
        variants=read_table(layout.VARIANTS, VARIANTS),
        aligned=read_table(layout.ALIGNED, ALIGNED),
        options={"test": ["Bird"], "train": ["Bird"]},
        classes=61,
        funnel=read_json(layout.FUNNEL),
        stages={stage: read_json(layout.metrics(stage)) for stage in COUNTED_STAGES},
        sizes={(condition, "test"): Size(8, 100, 70) for condition in PAPERS_CONDITIONS}
        | {(condition, "train"): Size(4, 50, 35) for condition in (Condition.ALIGNED, Condition.MISALIGNED)},
        contents={condition: f"sha256:{condition}" for condition in PAPERS_CONDITIONS},
    )


def test_the_hub_reads_the_metadata_back(facts: CardFacts) -> None:
    data = DatasetCard(dataset_card(facts)).data.to_dict()
    assert [config["config_name"] for config in data["configs"]] == [str(condition) for condition in PAPERS_CONDITIONS]
    assert [config["config_name"] for config in data["configs"] if config.get("default")] == ["aligned"]
    splits = {config["config_name"]: [files["split"] for files in config["data_files"]] for config in data["configs"]}
    assert splits["misaligned"] == ["train", "test"]
    assert splits["long_context"] == ["test"]
    assert (data["license"], data["license_link"]) == ("other", "LICENSE.md")
    info = data["dataset_info"][0]
    assert info["splits"] == [
        {"name": "train", "num_bytes": 50, "num_examples": 4},
        {"name": "test", "num_bytes": 100, "num_examples": 8},
    ]
    assert (info["download_size"], info["dataset_size"]) == (105, 150)


def test_the_metadata_describe_the_columns_as_datasets_does(facts: CardFacts) -> None:
    from datasets import Features

    info = DatasetCard(dataset_card(facts)).data.to_dict()["dataset_info"][0]
    assert Features._from_yaml_list(info["features"]) == features()


@pytest.mark.parametrize(("rows", "category"), [(999, "n<1K"), (1000, "1K<n<10K"), (2_000_000, "1M<n<10M")])
def test_the_size_category(facts: CardFacts, rows: int, category: str) -> None:
    many = facts.variants.head(1).sample(rows, with_replacement=True)
    card = DatasetCard(dataset_card(replace(facts, variants=many)))
    assert card.data.to_dict()["size_categories"] == [category]


def test_no_number_is_typed_by_hand(facts: CardFacts) -> None:
    """With every table's figures replaced by unlikely ones, no old figure is left in the parts that state facts."""
    funnel = {"eval": {"segments": 70001, "no_class": 10001, "candidates": 60000}}
    stages = {stage: {"test": {"in": 80002, "too_short": 20002, "ok": 60000}} for stage in COUNTED_STAGES}
    sizes = {(condition, "test"): Size(70003, 100, 70) for condition in PAPERS_CONDITIONS}
    changed = replace(facts, version="9.8.7", classes=90009, funnel=funnel, stages=stages, sizes=sizes)
    card = dataset_card(changed)
    body = card[card.index("# MMA-Bench") :]
    for figure in ("90,009", "70,001", "10,001", "60,000", "80,002", "20,002", "70,003", "9.8.7"):
        assert figure in body, figure
    for figure in ("20,371", "16,853", "3,518 eval", " 61 ", "| 11 |"):
        assert figure not in body, figure
    assert "num_examples: 70003" in card


def test_rows_clips_classes_and_licences_are_counted(facts: CardFacts) -> None:
    card = dataset_card(facts)
    assert "55 rows made from 12 aligned clips" in card
    assert "The 4 classes of this build" in card
    assert "| Cat | 1 | 2 |" in card
    assert "| sample (photo + sound) | GPL-2 | 8 |" in card
    assert "| sample (photo + sound) | CC0-1.0 | 4 |" in card
    fewer = dataset_card(replace(facts, aligned=facts.aligned.filter(pl.col("licence") == "GPL-2")))
    assert "from 8 aligned clips" in fewer
    assert "| Cat | 1 | 1 |" in fewer
    assert "CC0-1.0" not in fewer[fewer.index("# MMA-Bench") :]


def test_drops_are_shown_with_their_reasons(facts: CardFacts) -> None:
    assert "| judge | test | 10 | 2 audio unimodal | 8 |" in dataset_card(facts)
    assert "| verify | train | 4 | – | 4 |" in dataset_card(facts)


def test_sample_clips_are_called_photo_and_sound_and_others_are_not(facts: CardFacts) -> None:
    assert "**All aligned clips are photo + sound**" in dataset_card(facts)
    assert "not recordings" in dataset_card(facts)
    folder = pl.lit("folder of AudioSet clips").alias("source")
    assert "photo" not in dataset_card(replace(facts, aligned=facts.aligned.with_columns(folder)))
    some = pl.when(pl.col("split") == "test").then(folder).otherwise("source").alias("source")
    assert "**4 of the 12 aligned clips are photo + sound**" in dataset_card(
        replace(facts, aligned=facts.aligned.with_columns(some))
    )


def test_the_class_list_is_called_a_reconstruction_and_compared(facts: CardFacts) -> None:
    off = " ".join(dataset_card(facts).split())
    assert "The class list is a reconstruction, not the authors' list." in off
    assert "balanced_train: not counted here, 3,892 there" in off
    funnel = {subset: {"segments": count, "candidates": count} for subset, count in PAPER_CANDIDATES.items()}
    exact = " ".join(dataset_card(replace(facts, funnel=funnel)).split())
    assert "reproduces the counts of the paper's Table 7 exactly (3,518 eval, 3,892 balanced_train, 182,970" in exact


@pytest.mark.slow
def test_the_judge_the_reviews_and_the_donors_are_what_the_rows_say(facts: CardFacts) -> None:
    card = dataset_card(facts)
    assert "pair of specialists" in card
    assert "People reviewed none of the 12 clips" in card
    assert "Each train clip has 1 misaligned counterpart; in the paper it has 10." in card
    assert "expert-generated" not in card
    one_reviewed = pl.Series("human_verified", [True] + [False] * 11)
    other = facts.aligned.with_columns(one_reviewed, judge=pl.lit("Qwen2.5-Omni-7B"))
    card = dataset_card(replace(facts, aligned=other))
    assert "People reviewed 1 of the 12 clips" in card
    assert "`Qwen2.5-Omni-7B`" in card
    assert "specialists" not in card
    assert "expert-generated" in card
    encoders = facts.aligned.with_columns(judge=pl.lit("encoders (google/siglip2-base-patch16-224, laion/clap)"))
    card = dataset_card(replace(facts, aligned=encoders))
    assert "zero-shot encoders (google/siglip2-base-patch16-224, laion/clap), not" in card


def test_small_numbers_are_not_to_be_compared(facts: CardFacts) -> None:
    assert "The test split has 8 aligned clips, the paper's 658" in dataset_card(facts)
    many = facts.aligned.filter(pl.col("split") == "test").sample(658, with_replacement=True, seed=0)
    assert "the paper's 658" not in dataset_card(replace(facts, aligned=many))


def test_every_column_and_condition_is_explained(facts: CardFacts) -> None:
    card = dataset_card(facts)
    for name, column in COLUMNS.items():
        assert f"| `{name}` | {column.kind} | {column.meaning} |" in card
    for condition in PAPERS_CONDITIONS:
        assert re.search(rf"^\| `{condition}` \| .+ \| (4|–) \| 8 \|$", card, re.MULTILINE), condition


def test_text_from_outside_stays_in_its_cell(facts: CardFacts) -> None:
    hostile = "GPL | <b>x</b>\n| [y](javascript:1) `z`"
    card = dataset_card(replace(facts, aligned=facts.aligned.with_columns(licence=pl.lit(hostile))))
    line = next(line for line in card.splitlines() if "GPL" in line)
    assert line == r"| sample (photo + sound) | GPL \| \<b\>x\</b\> \| \[y\](javascript:1) \`z\` | 12 |"


def test_the_licence_notice_has_the_same_table(facts: CardFacts) -> None:
    notice = licence_notice(facts.aligned)
    assert notice.strip() in dataset_card(facts)
    assert "CC BY-SA 4.0" in notice
    assert "CC BY 4.0" in notice
    assert "Apache-2.0" in notice


def test_the_paper_is_cited(facts: CardFacts) -> None:
    card = dataset_card(facts)
    for author in ("Tianle Chen", "Chaitanya Chakka", "Arjun Reddy Akula", "Xavier Thomas", "Deepti Ghadiyaram"):
        assert author in card
    assert "eprint        = {2511.22826}" in card


@pytest.mark.parametrize(
    ("terms", "shown"),
    [
        ("~~struck~~ &amp; $x$", r"\~\~struck\~\~ \&amp; \$x\$"),
        ("nul\0 esc\x1b \u202ebidi", "nul esc bidi"),
        ("a\u200bb", "ab"),
    ],
)
def test_text_from_outside_is_shown_as_it_is_and_turns_nothing_else(facts: CardFacts, terms: str, shown: str) -> None:
    aligned = facts.aligned.with_columns(licence=pl.lit(terms))
    assert f"| {shown} |" in credits(aligned)
    assert f"| {shown} | 12 |" in dataset_card(replace(facts, aligned=aligned))
