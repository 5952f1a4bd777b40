"""`params.yaml` as frozen models: one namespace per stage, every key required, no unknown key accepted.

Defaults live in `params.yaml` alone, so that a reader sees every value in one place and DVC sees every change.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mma_bench.errors import ConfigError
from mma_bench.schema import Condition, Split

Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


class Namespace(BaseModel):
    """A frozen namespace of params.yaml that refuses unknown keys and does not guess types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class MetadataParams(Namespace):
    """Where AudioSet's files may lie besides the cache and the network."""

    folder: str | None  # a folder that holds the official CSVs and ontology.json; checked by hash like any other place


class OntologyParams(Namespace):
    """Appendix A.1."""

    curation_table: str
    max_depth: Count  # nodes deeper than this are absorbed into their ancestor; a root has depth 1


class CandidatesParams(Namespace):
    """Appendix A.2."""

    manifests: dict[str, str]  # further segments to filter by the same rules: name → CSV with clip_id, split, label_ids


class AcquireParams(Namespace):
    """Which candidates to get, and from where."""

    source: Literal["sample", "folder"]
    folder: str | None  # for `folder`: where the clips lie
    splits: dict[Literal["test", "train"], list[str]]  # the subsets of candidates.parquet that feed each split
    limit: Count | None  # at most this many clips per split, for trials; null takes all
    max_bytes: Count

    @model_validator(mode="after")
    def _folder_is_named(self) -> "AcquireParams":
        if self.source == "folder" and self.folder is None:
            raise ValueError("source is 'folder', so 'folder' must name one")
        return self


class NormaliseParams(Namespace):
    """Appendix C."""

    clip_s: Positive  # test clips are cut to at most this, train clips have exactly this
    min_test_s: Positive  # shorter test clips are refused
    train_size: Count  # train clips are square, this many pixels a side
    min_rms_dbfs: Annotated[float, Field(ge=-120, le=0)]  # quieter clips are refused as silent
    max_pixels: Count  # width × height of one frame
    max_source_s: Positive  # longer files are refused unread


class JudgeParams(Namespace):
    """Appendix B.1."""

    name: Literal["specialist"]
    frames: Count  # how many frames the classifier sees, evenly spread
    visual_threshold: Fraction
    audio_threshold: Fraction


class VerifyParams(Namespace):
    """Appendix B.2."""

    required: bool  # false: the stage passes clips on with human_verified = false
    reviews: str | None  # a CSV of reviews: clip_id, annotator, object_visible, audio_pure, action_dynamic
    annotators: Count  # this many people must agree


class PairParams(Namespace):
    """Section 3 and 5.1."""

    seed: int
    slack_s: Annotated[float, Field(ge=0)]  # a donor's sound may end this much before the base's picture
    donors: dict[Literal["test", "train"], Count]  # misaligned variants per aligned clip


class ConflictsParams(Namespace):
    """Table 2."""

    seed: int
    conditions: dict[Literal["test", "train"], list[Annotated[Condition, Field(strict=False)]]]


class ValidateParams(Namespace):
    """The bounds of the gates."""

    duration_tolerance_s: Positive
    min_motion: Annotated[float, Field(ge=0, le=255)]
    max_black_luma: Annotated[float, Field(ge=0, le=255)]
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)]  # perceptual hashes this close or closer are one picture


class PackageParams(Namespace):
    """The Hugging Face dataset."""

    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    max_shard_mb: Count


class Params(Namespace):
    """All of params.yaml."""

    workers: Count
    metadata: MetadataParams
    ontology: OntologyParams
    candidates: CandidatesParams
    acquire: AcquireParams
    normalise: NormaliseParams
    judge: JudgeParams
    verify: VerifyParams
    pair: PairParams
    conflicts: ConflictsParams
    validate_: ValidateParams = Field(alias="validate")
    package: PackageParams

    def subsets(self) -> dict[str, Split]:
        """Subset of candidates.parquet → the split it feeds."""
        return {subset: Split(split) for split, subsets in self.acquire.splits.items() for subset in subsets}


def load_params(path: Path) -> Params:
    """Read params.yaml or a profile.

    Raises:
        ConfigError: No such file, no YAML, an unknown key, a missing key or a wrong type; names the key.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist", mend="run in the project's root, or name the folder with `mma-bench --root DIR`"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}", mend="correct the line that is named") from None
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        problems = [f"  {'.'.join(map(str, item['loc'])) or '(top)'}: {item['msg']}" for item in error.errors()]
        raise ConfigError(
            f"{path} has values that cannot be used:\n" + "\n".join(problems), mend="correct the keys named"
        ) from None
