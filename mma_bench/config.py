"""`params.yaml` as frozen models: one namespace per stage, every key required, no unknown key accepted.

Defaults are only in `params.yaml`, so that a reader sees every value in one place and DVC sees every change.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mma_bench.errors import ConfigError
from mma_bench.licences import Licence
from mma_bench.schema import LEVELS, STEPPED, WITHOUT_LEVEL, Condition, Manipulation, Split, unjudged_by
from mma_bench.settings import checked, read_yaml

Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Level: TypeAlias = Annotated[float, Field(strict=False)]  # whole numbers too


class Namespace(BaseModel):
    """A frozen namespace of params.yaml that refuses unknown keys and does not guess types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class MetadataParams(Namespace):
    """Where AudioSet's files may be besides the cache and the network."""

    folder: str | None  # a folder that holds the official CSVs and ontology.json; checked by hash like any other place


class OntologyParams(Namespace):
    """Appendix A.1."""

    curation_table: str
    max_depth: Count  # nodes deeper than this are absorbed into their ancestor; a root has depth 1


class CandidatesParams(Namespace):
    """Appendix A.2."""

    audioset: bool = True  # false: only the clips of the manifests are candidates
    manifests: dict[str, str]  # further segments to filter by the same rules: name → CSV, see docs/build.md

    @model_validator(mode="after")
    def _there_is_a_list(self) -> "CandidatesParams":
        if not (self.audioset or self.manifests):
            raise ValueError("audioset is false and manifests is empty, so there would be no candidates")
        return self


class YouTubeParams(Namespace):
    """Requests to the video site. Cookies and proxy are not parameters: they are secrets (docs/acquire.md)."""

    url: Annotated[str, Field(pattern=r"^https?://[^{}]*\{id\}[^{}]*$")]  # a video's page
    extractors: Annotated[list[str], Field(min_length=1)]  # yt-dlp's; no others may handle a URL
    min_height: Count  # the smallest rendition with at least this many rows of pixels
    interval_s: Annotated[float, Field(ge=0)]  # mean time between the starts of two clips, over all workers
    jitter: Fraction  # the interval varies by this fraction
    bytes_per_s: Count | None  # over all workers; null does not limit
    block_after: Count  # videos in a row that get the same doubtful answer; this many count as a block
    pause_s: Positive  # minimum duration of a block; doubled at every further one
    attempts: Count  # per clip and run
    backoff_s: Annotated[float, Field(ge=0)]  # before the second attempt; doubled before every further one, with jitter
    retry_budget_s: Positive  # no clip is retried after this long in a run
    timeout_s: Positive  # for connecting, and for waiting for the next bytes
    min_bytes_per_s: Annotated[float, Field(ge=0)]  # slower responses are aborted


SourceName: TypeAlias = Literal["sample", "folder", "clips", "tar", "youtube"]


class AcquireParams(Namespace):
    """Which candidates to fetch, and from where."""

    source: SourceName | Annotated[list[SourceName], Field(min_length=1)]  # a list: tried in order
    folder: str | None  # for `folder` and `clips`: where the clips are
    shards: str | None  # for `tar`: where the WebDataset shards are
    youtube: YouTubeParams | None  # for `youtube`
    manifest: str | None  # the frozen manifest of a released version: only its clips are fetched
    licences: str | None = None  # what `mma-bench acquire licences` wrote: the terms of videos from any source
    tombstones: str  # a CSV of ids that must never be fetched again; `mma-bench acquire remove` writes it
    splits: dict[Literal["test", "train"], list[str]]  # the subsets of candidates.parquet that feed each split
    limit: Count | None  # at most this many clips per split, for trials; null takes all
    max_bytes: Count

    @property
    def sources(self) -> list[SourceName]:
        """The sources in the order in which they are tried."""
        return [self.source] if isinstance(self.source, str) else self.source

    @model_validator(mode="after")
    def _sources_are_described(self) -> "AcquireParams":
        for source, key, value, wanted in (
            ("folder", "folder", self.folder, "name one"),
            ("clips", "folder", self.folder, "name one"),
            ("tar", "shards", self.shards, "name a folder"),
            ("youtube", "youtube", self.youtube, "say how it is asked"),
        ):
            if source in self.sources and value is None:
                raise ValueError(f"source is {source!r}, so {key!r} must {wanted}")
        if len(set(self.sources)) < len(self.sources):
            raise ValueError("source names the same source twice")
        if self.manifest is not None and self.limit is not None:
            raise ValueError("manifest names all clips, so limit must be null")
        return self


class NormaliseParams(Namespace):
    """Appendix C."""

    clip_s: Positive  # test clips are cut to at most this; train clips have exactly this length
    min_test_s: Positive  # shorter test clips are refused
    train_size: Count  # train clips are square, with sides of this many pixels
    train_min_s: Positive | None = None  # null: train clips have exactly clip_s; else shorter ones are kept from here
    preset: Literal["fast", "veryfast"] = "fast"  # of x264, for clips that are encoded
    min_rms_dbfs: Annotated[float, Field(ge=-120, le=0)]  # a clip is silent if its loudest 0.1 s are quieter
    max_gap_s: Positive  # one decoded picture may be held for this long
    max_frozen_s: Positive  # a clip that moves at other times may stand still for this long
    max_pixels: Count  # width × height of one frame
    max_source_s: Positive  # longer files are refused without decoding

    @property
    def shortest_train_s(self) -> float:
        """The least length of a train clip, in seconds."""
        return self.clip_s if self.train_min_s is None else self.train_min_s

    @property
    def min_peak(self) -> float:
        """The least peak, 0 to 1, of a clip that is not silent: no part of a clip is louder than its peak."""
        return float(10 ** (self.min_rms_dbfs / 20))


class JudgeParams(Namespace):
    """Appendix B.1, by two specialists."""

    name: Literal["specialist"]
    frames: Count  # how many frames the classifier sees, evenly spread
    visual_threshold: Fraction
    audio_threshold: Fraction


class OmniJudgeParams(Namespace):
    """Appendix B.1, by an omni model: here (`omni`) or behind an OpenAI-compatible server (`omni-server`)."""

    name: Literal["omni", "omni-server"]
    model: str  # as listed by `mma-bench models`, or a YAML file of that form
    settings: dict[str, Any]  # override the model's own, e.g. base_url
    frames: Annotated[int, Field(ge=2, multiple_of=2)]  # evenly spread; two make one grid of video tokens
    decide_by: Literal["answer", "probability"]  # the greedy answer (the paper's rule), or the probability of "Yes"
    visual_threshold: Fraction  # of that probability
    audio_threshold: Fraction
    processes: Count  # each holds the model, or has one request to the server in flight


class CheckpointParams(Namespace):
    """A checkpoint of transformers."""

    checkpoint: str  # a Hub ID or a folder
    revision: str | None  # branch, tag or commit on the Hub; null: the default branch


class EncoderJudgeParams(Namespace):
    """Appendix B.1, by two zero-shot encoders: pictures with SigLIP 2 or CLIP, sound with CLAP."""

    name: Literal["encoders"]
    picture: CheckpointParams
    sound: CheckpointParams
    prompts: str | None  # a CSV with class, modality and prompt; null: those that come with the package
    thresholds: str | None  # a CSV that `mma-bench judge calibrate` writes
    frames: Count  # how many frames are embedded, evenly spread
    processes: Count  # each loads both encoders


class NoJudgeParams(Namespace):
    """No checks here: the clips come from a list whose makers have checked them."""

    name: Literal["none"]
    checked_by: Annotated[str, Field(min_length=1)]  # for the dataset's column `judge`

    @property
    def judge(self) -> str:
        """What stands in the column `judge`."""
        return unjudged_by(self.checked_by)


JudgeSection: TypeAlias = JudgeParams | OmniJudgeParams | EncoderJudgeParams  # of params.yaml, if there is a judge


class VerifyParams(Namespace):
    """Appendix B.2."""

    required: bool  # false: the stage passes clips on with human_verified = false
    evidence: Annotated[list[Literal["app", "vggsounder"]], Field(min_length=1)]  # which votes are used
    reviews: str | None  # for `app`: output of `mma-bench review export`, or a CSV with yes or no per criterion
    annotators: Count  # this many must agree

    @model_validator(mode="after")
    def _reviews_are_named(self) -> "VerifyParams":
        if self.required and "app" in self.evidence and self.reviews is None:
            raise ValueError(
                "'required' is true, but 'reviews' names no file: name the one that `mma-bench review export` will "
                "write, or set 'evidence' to [vggsounder]"
            )
        return self


class PairParams(Namespace):
    """Section 3 and 5.1."""

    seed: int
    given: str | None = None  # a CSV of pairs to keep (base_id, donor_id, donor_class); null: they are chosen here
    slack_s: Annotated[float, Field(ge=0)]  # a donor's sound may end this much before the base's picture
    donors: dict[Literal["test", "train"], Count]  # misaligned variants per aligned clip


class ConflictsParams(Namespace):
    """Table 2."""

    seed: int
    context_words: Count  # length of the irrelevant text of long_context (mma_bench/irrelevant_text.py)
    conditions: dict[Literal["test", "train"], list[Annotated[Condition, Field(strict=False)]]]
    # The steps of conditions beyond the paper's: levels by manipulation, [] for one without levels (docs/beyond.md)
    steps: dict[
        Annotated[Condition, Field(strict=False)], dict[Annotated[Manipulation, Field(strict=False)], list[Level]]
    ] = {}

    @model_validator(mode="after")
    def _steps_are_those_of_the_conditions(self) -> "ConflictsParams":
        for condition in {each for wanted in self.conditions.values() for each in wanted} & STEPPED.keys():
            if not self.steps.get(condition):
                raise ValueError(f"{condition} needs its steps: set conflicts.steps.{condition}")
        for condition, steps in self.steps.items():
            for manipulation, levels in steps.items():
                where = f"steps.{condition}.{manipulation}"
                if manipulation not in STEPPED.get(condition, ()):
                    there = ", ".join(STEPPED.get(condition, ())) or "none"
                    raise ValueError(f"{where}: manipulations of {condition}: {there}")
                if bool(levels) == (manipulation in WITHOUT_LEVEL):
                    raise ValueError(f"{where} {'has no levels: set []' if levels else 'needs levels'}")
                if len(set(levels)) < len(levels):
                    raise ValueError(f"{where} names a level twice")
                low, high = LEVELS.get(manipulation, (-math.inf, math.inf))
                if outside := [level for level in levels if not low <= level <= high]:
                    raise ValueError(f"{where}: {outside[0]:g} is not from {low:g} to {high:g}")
        return self

    def steps_of(self, condition: Condition) -> list[tuple[Manipulation, float | None]]:
        """The steps of a condition with some, in the order of params.yaml; a level is None if there is none."""
        found: list[tuple[Manipulation, float | None]] = []
        for manipulation, levels in self.steps.get(condition, {}).items():
            found += [(manipulation, level) for level in levels] or [(manipulation, None)]
        return found


class ValidateParams(Namespace):
    """The bounds of the gates."""

    duration_tolerance_s: Positive
    min_motion: Annotated[float, Field(ge=0, le=255)]
    max_black_luma: Annotated[float, Field(ge=0, le=255)]
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)]  # perceptual hashes this close count as one picture


class PackageParams(Namespace):
    """The Hugging Face dataset."""

    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    max_shard_mb: Count
    # Only clips under these, base and donor alike; null: all. Media may be passed on only under such terms.
    licences: Annotated[list[Licence], Field(min_length=1)] | None = None


class SftParams(Namespace):
    """Section 5.1, appendices D and H. The validation set is sized by exactly one of the two keys."""

    seed: int
    validation_share: Annotated[float, Field(ge=0, lt=1)] | None = (
        None  # of each class's aligned clips; 0: no validation
    )
    validation_questions: Count | None = None  # equally many per condition and question (the paper: 1,000)
    donors: Count | None  # at most this many misaligned clips per base clip; null: all
    # Only clips of these classes: their names, or a share of all classes above 0 (appendix H: 0.5); null: all
    classes: Annotated[list[str], Field(min_length=1)] | Annotated[float, Field(gt=0, le=1)] | None
    conditions: Annotated[list[Literal["aligned", "misaligned"]], Field(min_length=1, max_length=2)]

    @model_validator(mode="after")
    def _is_consistent(self) -> "SftParams":
        if len(set(self.conditions)) < len(self.conditions):
            raise ValueError("'conditions' names one twice")
        if (self.validation_share is None) == (self.validation_questions is None):
            raise ValueError("set exactly one of validation_share and validation_questions")
        cells = 2 * len(self.conditions)
        if self.validation_questions is not None and self.validation_questions % cells:
            raise ValueError(
                f"validation_questions ({self.validation_questions}) is not a multiple of {cells}: "
                "two questions under each condition"
            )
        return self

    @property
    def has_validation(self) -> bool:
        """Whether clips are held out for validation."""
        return bool(self.validation_share or self.validation_questions)

    @property
    def validation_clips(self) -> int | None:
        """The validation clips of each condition, if their number is set; every clip is asked both questions."""
        return None if self.validation_questions is None else self.validation_questions // (2 * len(self.conditions))


class RayParams(Namespace):
    """How to reach Ray, and the resources of a judge process (docs/cluster.md)."""

    address: str | None  # auto: the cluster that this machine is part of; null: a local Ray started for the run
    judge_cpus: Positive
    judge_gpus: Annotated[float, Field(ge=0)]


class Params(Namespace):
    """All of params.yaml."""

    executor: Literal["local", "ray"]
    workers: Count  # concurrent clips, over all machines
    give_up_after: Count | None  # runs in which a clip fails for a reason that may pass; null: try for ever
    ray: RayParams  # used if executor is ray
    metadata: MetadataParams
    ontology: OntologyParams
    candidates: CandidatesParams
    acquire: AcquireParams
    normalise: NormaliseParams
    judge: Annotated[JudgeSection | NoJudgeParams, Field(discriminator="name")]
    verify: VerifyParams
    pair: PairParams
    conflicts: ConflictsParams
    validate_: ValidateParams = Field(alias="validate")
    package: PackageParams
    sft: SftParams

    @model_validator(mode="after")
    def _splits_are_described(self) -> "Params":
        built = [split for split, subsets in self.acquire.splits.items() if subsets]
        if not built:
            raise ValueError("acquire.splits names no subset, so nothing would be built")
        for split in built:
            if split not in self.pair.donors:
                raise ValueError(f"acquire.splits builds {split}, so pair.donors must have a number for {split}")
            if not self.conflicts.conditions.get(split):
                raise ValueError(f"acquire.splits builds {split}, so conflicts.conditions must list some for {split}")
        if "train" in built:
            missing = {"aligned", *self.sft.conditions} - set(map(str, self.conflicts.conditions["train"]))
            if missing:
                raise ValueError(
                    f"sft uses {min(missing)} train clips: add {min(missing)} to conflicts.conditions.train, or change "
                    "sft.conditions"
                )
        return self

    def asked_judge(self) -> JudgeSection:
        """The judge, where one is needed.

        Raises:
            ConfigError: judge.name is none.
        """
        if isinstance(self.judge, NoJudgeParams):
            raise ConfigError(
                "judge.name is none, so there is no judge to ask", hint="name a params file with another judge"
            )
        return self.judge

    def on_ray(self) -> RayParams | None:
        """The executor's Ray parameters; None: worker processes on this machine."""
        return self.ray if self.executor == "ray" else None

    def conditions(self) -> dict[str, list[Condition]]:
        """Each split that is built, with its conditions; a split without subsets is not built."""
        return {
            str(split): list(wanted)
            for split, wanted in self.conflicts.conditions.items()
            if self.acquire.splits.get(split)
        }

    def subsets(self) -> dict[str, Split]:
        """Subset of candidates.parquet → the split it feeds."""
        return {subset: Split(split) for split, subsets in self.acquire.splits.items() for subset in subsets}


def load_params(path: Path) -> Params:
    """Read params.yaml or a profile.

    Raises:
        ConfigError: No such file, not YAML, an unknown key, a missing key or a wrong type; names the key.
    """
    hint = "run in the project's root, or name the folder with `mma-bench --root DIR`"
    return checked(Params, read_yaml(path, path, hint), path)
