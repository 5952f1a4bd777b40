"""`DATASHEET.md`: motivation, composition, collection, biases, uses and maintenance, with the figures of the build."""

from collections import Counter

import polars as pl

from mma_bench.builders.dataset.card import composed, licences, templates
from mma_bench.builders.publish.facts import BuildFacts
from mma_bench.schema import Condition, Split


def datasheet(facts: BuildFacts, version: str, *, index_only: bool) -> str:
    """The datasheet as Markdown."""
    packaged, aligned = facts.packaged, facts.aligned
    refused = facts.variants.filter(pl.col("status") != "ok")
    sizes = Counter(aligned["class_name"].to_list())
    ranked = sorted(sizes.items(), key=lambda item: (item[1], item[0]))
    counted: dict[str, dict[str, int]] = {}
    for condition, split, rows in packaged.group_by("condition", "split").len().iter_rows():
        counted.setdefault(condition, {})[split] = rows
    return (
        templates("mma_bench.builders.publish")
        .get_template("datasheet.md")
        .render(
            version=version,
            index_only=index_only,
            rows=packaged.height,
            clips=aligned.height,
            by_split={
                str(split): n for split in (Split.TRAIN, Split.TEST) if (n := (aligned["split"] == str(split)).sum())
            },
            classes=sizes,
            smallest=ranked[0],
            largest=ranked[-1],
            conditions={str(name): counted[name] for name in Condition if name in counted},
            shortest=aligned["duration_s"].min(),
            longest=aligned["duration_s"].max(),
            refused=refused.height,
            reasons=dict(sorted(Counter(refused["reason"].to_list()).items())),
            licences=licences(aligned),
            composed=composed(aligned),
            kept_classes=facts.classes,
            funnel=facts.funnel,
            steps=list(dict.fromkeys(step for counts in facts.funnel.values() for step in counts)),
            stages=facts.stages,
            judges=facts.judges,
            specialist=all(name.startswith("specialist") for name in facts.judges),
            reviewed=int(aligned["human_verified"].sum()),
        )
    )
