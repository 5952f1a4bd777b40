"""Times the label filter over AudioSet's 2,084,320 segments, reading and writing included, against its rivals.

    python benchmarks/label_filter.py

The rivals: polars when it only reads the three lists and parses them into typed columns (the least that any filter
written with it must do), and the same rule in pandas, once straightforwardly and once with care. Each run is a process
of its own; the first two take turns and the median counts. Imports are not timed.
"""

import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

ROUNDS = 5
SUBSETS = ("eval", "balanced_train", "unbalanced_train")
COLUMNS = ["video_id", "start_s", "end_s", "labels"]
CANDIDATES = 3_518 + 3_892 + 182_970
PROJECT = Path(__file__).parents[1]


def polars_reads_only() -> int:
    """Typed columns of every row: id, start, end, list of labels."""
    import polars as pl

    rows = 0
    for subset in SUBSETS:
        lists = pl.scan_csv(
            f"data/metadata/{subset}_segments.csv",
            separator=" ",
            comment_prefix="#",
            has_header=False,
            schema=dict.fromkeys(("id", "start", "end", "labels"), pl.String()),
        ).select(
            pl.col("id").str.head(-1),
            pl.col("start").str.head(-1).cast(pl.Float64),
            pl.col("end").str.head(-1).cast(pl.Float64),
            pl.col("labels").str.split(","),
        )
        rows += lists.collect().height
    return rows


def label_filter() -> int:
    """The stage `candidates`, with all its checks, as `dvc repro` runs it."""
    from mma_bench import layout
    from mma_bench.builders import candidates
    from mma_bench.config import load_params

    params = load_params(PROJECT / "params.yaml")
    only_audioset = params.candidates.model_copy(update={"manifests": {}})
    with contextlib.redirect_stdout(None):
        candidates.main(params.model_copy(update={"candidates": only_audioset}))
    return sum(counts["candidates"] for counts in json.loads(layout.FUNNEL.read_text()).values())


def pandas_straightforward() -> int:
    """The same rule as it comes to mind: read by the files' own separator, explode, merge, group by segment."""
    import pandas as pd

    from mma_bench import layout
    from mma_bench.classes import load_classes

    classes = load_classes(layout.CLASSES)
    nodes = classes.nodes
    above = pd.DataFrame([(a, b) for a in nodes for b in classes.ancestors[a]], columns=["label", "ancestor"])
    mapped = pd.DataFrame([(a, b) for a in nodes for b in nodes[a].class_nodes], columns=["label", "node"])
    kept = pd.DataFrame([(item.node_id, item.name) for item in classes.classes], columns=["node", "class_name"])
    # The C reader takes no separator of two characters.
    lists = [
        pd.read_csv(f"data/metadata/{subset}_segments.csv", sep=", ", engine="python", comment="#", names=COLUMNS)
        for subset in SUBSETS
    ]
    segments = pd.concat(lists, keys=SUBSETS, names=["subset", None]).reset_index("subset").reset_index(drop=True)
    segments["label_ids"] = segments["labels"].str.strip('"').str.split(",")
    pairs = segments["label_ids"].explode().rename("label").rename_axis("segment").reset_index()
    removed = pairs.merge(above, on="label")[["segment", "ancestor"]].drop_duplicates()
    leaves = pairs.merge(removed, left_on=["segment", "label"], right_on=["segment", "ancestor"], how="left")
    leaves = leaves[leaves["ancestor"].isna()][["segment", "label"]]
    found = leaves.merge(mapped, on="label").groupby("segment")["node"].agg(["nunique", "first"])
    single = found[found["nunique"] == 1].reset_index().merge(kept, left_on="first", right_on="node")
    return pandas_writes(segments.merge(single[["segment", "class_name"]], left_index=True, right_on="segment"))


def pandas_tuned() -> int:
    """The same rule with care: the C reader, and one Python call for each row instead of merges."""
    import pandas as pd

    from mma_bench import layout
    from mma_bench.classes import load_classes

    classes = load_classes(layout.CLASSES)
    kept = {item.node_id: item.name for item in classes.classes}

    def class_of(labels: str) -> str | None:
        ids = labels.split(",")
        above = frozenset[str]().union(*(classes.ancestors[label] for label in ids))
        found = {node for label in ids if label not in above for node in classes.nodes[label].class_nodes}
        return kept.get(found.pop()) if len(found) == 1 else None

    lists = [
        pd.read_csv(f"data/metadata/{subset}_segments.csv", skipinitialspace=True, comment="#", names=COLUMNS)
        for subset in SUBSETS
    ]
    segments = pd.concat(lists, keys=SUBSETS, names=["subset", None]).reset_index("subset").reset_index(drop=True)
    segments["class_name"] = segments["labels"].apply(class_of)
    segments = segments.dropna(subset="class_name").copy()
    segments["label_ids"] = segments["labels"].str.split(",")
    return pandas_writes(segments)


def pandas_writes(segments: "pd.DataFrame") -> int:
    """Write the candidates' columns, sorted; return how many there are."""
    start_ms = (segments["start_s"] * 1000).round().astype(int).astype(str)
    segments = segments.assign(clip_id=segments["video_id"] + "_" + start_ms).sort_values(["subset", "clip_id"])
    columns = ["subset", "clip_id", "video_id", "start_s", "end_s", "label_ids", "class_name"]
    segments[columns].to_parquet("data/pandas.parquet", compression="zstd", index=False)
    return len(segments)


WORK = {work.__name__: work for work in (polars_reads_only, label_filter, pandas_straightforward, pandas_tuned)}


def measure(name: str, folder: Path) -> dict[str, float]:
    """Run one piece of work in a process of its own: seconds, peak_mb (of the whole process) and result."""
    command = [sys.executable, str(Path(__file__).absolute()), name]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def child(name: str) -> None:
    """What `measure` starts."""
    from mma_bench.builders import candidates  # noqa: F401  what is imported is not timed

    if name.startswith("pandas"):
        import pandas  # noqa: F401
        import pyarrow.parquet  # noqa: F401
    start = time.perf_counter()
    result = WORK[name]()
    seconds = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb, "result": result}))


def main() -> None:
    """Prepare a project with the official metadata, measure, and print seconds and ratios."""
    from mma_bench.builders import metadata, ontology
    from mma_bench.builders.labels.decisions import read_decisions
    from mma_bench.classes import save_classes

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        metadata.obtain(folder / "data/metadata", None)
        decisions = read_decisions(PROJECT / "builders/curation/class_decisions.csv")
        entries = ontology.load_ontology(folder / "data/metadata/ontology.json")
        save_classes(ontology.class_map(entries, decisions, 3), folder / "data/classes.json")
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in WORK}
        for turn in range(ROUNDS):
            for name in WORK:
                if turn == 0 or not name.startswith("pandas"):
                    runs[name].append(measure(name, folder))
    left = {name: int(found[0]["result"]) for name, found in runs.items() if name != "polars_reads_only"}
    if set(left.values()) != {CANDIDATES}:
        raise SystemExit(f"every filter must leave {CANDIDATES:,} segments: {left}")
    seconds = {name: statistics.median(run["seconds"] for run in found) for name, found in runs.items()}
    peak = {name: max(run["peak_mb"] for run in found) for name, found in runs.items()}
    for name in WORK:
        print(f"{name:24}{seconds[name]:7.2f} s   peak {peak[name]:5.0f} MB")
    ours = seconds["label_filter"]
    print(f"label filter / polars reads only:       {ours / seconds['polars_reads_only']:5.2f}  (at most 2)")
    print(f"pandas, straightforward / label filter: {seconds['pandas_straightforward'] / ours:5.1f}  (at least 15)")
    print(f"pandas, tuned / label filter:           {seconds['pandas_tuned'] / ours:5.1f}")
    print(f"label filter, peak of the process:      {peak['label_filter']:5.0f} MB  (under 1,000)")


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()
