"""Paths of all build artefacts, relative to the project's root (the folder with `params.yaml`)."""

from pathlib import Path

# The stages that build the dataset, in the order of dvc.yaml; each is a module of mma_bench.builders with
# `main(params)`.
STAGES = (
    "inputs",
    "metadata",
    "ontology",
    "candidates",
    "acquire",
    "normalise",
    "judge",
    "verify",
    "pair",
    "conflicts",
    "package",
    "report",
)
CLIP_STAGES = ("acquire", "normalise", "judge", "conflicts")  # with a ledger
# The gates; each is a suite of mma_bench.validation over the table of that name.
TABLES = ("candidates", "normalised", "verdicts", "aligned", "pairs", "variants", "package", "sft")

PARAMS = Path("params.yaml")
DATA = Path("data")
METRICS = Path("metrics")
REPORTS = Path("reports")

METADATA = DATA / "metadata"  # ontology.json and three segment CSVs
ONTOLOGY = METADATA / "ontology.json"
CLASSES = DATA / "classes.json"
CANDIDATES = DATA / "candidates.parquet"
LABEL_SETS = DATA / "label_sets.parquet"  # the outcome for every distinct label set
FUNNEL = METRICS / "funnel.json"

ACQUIRED = DATA / "acquired.parquet"
FILES = DATA / "files.parquet"  # what became of every file of a folder of clips
ACQUIRED_CLIPS = DATA / "acquired"
NORMALISED = DATA / "normalised.parquet"
NORMALISED_CLIPS = DATA / "normalised"
VERDICTS = DATA / "verdicts.parquet"
DROPPED = DATA / "dropped.csv"  # clips that `verify` dropped beside the others
ALIGNED = DATA / "aligned.parquet"
PAIRS = DATA / "pairs.parquet"
VARIANTS = DATA / "variants.parquet"
VARIANT_CLIPS = DATA / "variants"

PARTIAL_CLIPS = DATA / "partial"  # working state of downloads: a folder per clip; not an output of any stage
LEDGERS = DATA / "ledgers"  # working state of the clip-by-clip stages; not an output of any stage
VALIDATION = REPORTS / "validation"  # one JSON file per gate
PACKAGE = Path("mma-bench")  # the Hugging Face dataset
DATASET_PAGE = REPORTS / "dataset.html"

SFT = DATA / "sft"  # the tuning examples; another folder with the same file names may be given
SFT_EXAMPLES = "examples.parquet"
SFT_FACTS = "facts.json"
SFT_CLASSES = "classes.txt"


def metrics(stage: str) -> Path:
    """The stage's counts by split and status or reason: a DVC metric."""
    return METRICS / f"{stage}.json"


def inputs(stage: str) -> Path:
    """The state of the files that params.yaml names and the stage reads."""
    return DATA / "inputs" / f"{stage}.json"


def ledger(stage: str) -> Path:
    """The stage's append-only ledger (JSON lines)."""
    return LEDGERS / f"{stage}.jsonl"
