"""`croissant.json`: the machine-readable description of the release, in Croissant 1.1 with the fields of its RAI
extension.

Every published file is listed with its URL at the tag and its hash; the records of a config are read from a copy of the
repository, whose shards are next to this file. `mlcroissant validate --jsonld croissant.json` checks it.

Imported only for publishing: `mlcroissant` comes with the extra `publish`.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import mlcroissant as mlc

from mma_bench.builders.dataset.card import composed, licences
from mma_bench.builders.dataset.columns import COLUMNS
from mma_bench.builders.publish.citation import PAPER_BIBTEX
from mma_bench.builders.publish.facts import BuildFacts
from mma_bench.schema import Condition, Split

_PARQUET: Final = "application/x-parquet"  # the name that mlcroissant reads
_FORMATS: Final = {
    ".parquet": _PARQUET,
    ".json": "application/json",
    ".md": "text/markdown",
    ".cff": "application/yaml",
}
_TYPES: Final = {
    "string": mlc.DataType.TEXT,
    "strings": mlc.DataType.TEXT,
    "int64": mlc.DataType.INTEGER,
    "float64": mlc.DataType.FLOAT,
    "bool": mlc.DataType.BOOL,
    "video": mlc.DataType.VIDEO_OBJECT,
}
_CONFORMS_TO: Final = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
# Additions of the 1.1 context in the specification to that of 1.0, which mlcroissant starts from.
_CONTEXT_1_1: Final = {
    "arrayShape": "cr:arrayShape",
    "containedIn": "cr:containedIn",
    "description": {"@container": "@language"},
    "isArray": "cr:isArray",
    "name": {"@container": "@language"},
}


def croissant(
    facts: BuildFacts,
    files: Mapping[str, tuple[str, int]],
    *,
    url: str,
    version: str,
    released: date,
    index_only: bool,
) -> dict[str, Any]:
    """The JSON-LD.

    Args:
        files: Path inside the dataset → (SHA-256, bytes), without this file itself and the list of checksums.
        url: Of the dataset on the Hub.
        version: Also the tag.
        index_only: Without media: the records have no video.

    Raises:
        mlcroissant.ValidationError: The description violates the specification.
    """
    context = mlc.Context(conforms_to=_CONFORMS_TO[0], rdf=mlc.Rdf(context={**mlc.Rdf().context, **_CONTEXT_1_1}))
    metadata = mlc.Metadata(
        ctx=context,
        conforms_to=list(_CONFORMS_TO),
        name="MMA-Bench",
        description=(
            "Clips whose sight, sound and text agree or conflict, with a question about each sense: a reproducible "
            "build of the benchmark of arXiv 2511.22826."
        ),
        url=url,
        version=version,
        date_published=released,
        license=[f"{url}/blob/{version}/LICENSE.md"],
        creators=[mlc.Organization(ctx=context, name="mma-bench contributors")],
        cite_as=PAPER_BIBTEX,
        keywords=["multimodal", "audio-visual", "modality conflict", "benchmark"],
        in_language=["en"],
        distribution=[
            *(
                _file(context, path, sha256, size, f"{url}/resolve/{version}/{path}")
                for path, (sha256, size) in files.items()
            ),
            *(_shards(context, condition, split) for condition, split in _configs(facts)),
        ],
        record_sets=[_records(context, condition, split, index_only) for condition, split in _configs(facts)],
        **_responsible(facts),
        # mlcroissant 1.1.1 writes its own `data_manipulation_protocol` as rai:dataDataManipulationProtocol.
        extra_properties={
            "creditText": "CREDITS.md names source, author and terms of every clip; so does the column licence.",
            "rai:dataManipulationProtocol": (
                "Misaligned, audio_removed, frames_zeroed and the conditions with steps replace or degrade one sense "
                "and keep the other's packets bit for bit."
            ),
        },
    )
    described: dict[str, Any] = metadata.to_json()
    return described


def _configs(facts: BuildFacts) -> list[tuple[str, str]]:
    there = set(facts.packaged.select("condition", "split").unique().iter_rows())
    every = [(str(condition), str(split)) for condition in Condition for split in (Split.TRAIN, Split.TEST)]
    return [config for config in every if config in there]


def _file(context: mlc.Context, path: str, sha256: str, size: int, url: str) -> mlc.FileObject:
    return mlc.FileObject(
        ctx=context,
        id=path,
        name=path,
        content_url=url,
        content_size=f"{size} B",
        encoding_formats=[_FORMATS.get(path[path.rfind(".") :], "text/plain")],
        sha256=sha256,
    )


def _shards(context: mlc.Context, condition: str, split: str) -> mlc.FileSet:
    name = f"{condition}-{split}-shards"
    includes = [f"data/{condition}/{split}-*.parquet"]
    return mlc.FileSet(ctx=context, id=name, name=name, encoding_formats=[_PARQUET], includes=includes)


def _records(context: mlc.Context, condition: str, split: str, index_only: bool) -> mlc.RecordSet:
    name = f"{condition}-{split}"
    return mlc.RecordSet(
        ctx=context,
        id=name,
        name=name,
        description=f"The clips of the split {split} under the condition {condition}.",
        key=[f"{name}/id"],
        fields=[
            mlc.Field(
                ctx=context,
                id=f"{name}/{column}",
                name=f"{name}/{column}",
                description=about.meaning,
                data_types=[_TYPES[about.kind]],
                is_array=True if about.kind == "strings" else None,
                array_shape="-1" if about.kind == "strings" else None,
                source=mlc.Source(
                    ctx=context,
                    file_set=f"{name}-shards",
                    extract=mlc.Extract(ctx=context, column=column),
                    transforms=[mlc.Transform(ctx=context, json_path="bytes")] if about.kind == "video" else [],
                ),
            )
            for column, about in COLUMNS.items()
            if not (index_only and about.kind == "video")
        ],
    )


def _responsible(facts: BuildFacts) -> dict[str, Any]:
    """The fields of the RAI extension."""
    aligned = facts.aligned
    clips, reviewed, made = aligned.height, int(aligned["human_verified"].sum()), composed(aligned)
    refused = facts.variants.height - facts.packaged.height
    sources = "; ".join(f"{n} clips from {source} ({licence})" for source, licence, n in licences(aligned))
    return {
        "data_collection": f"Segments of AudioSet's label vocabulary, one class each: {sources}.",
        "data_collection_type": ["Secondary Data Analysis", "Software Collection"],
        "data_collection_missing_data": f"{refused} variants could not be made; DATASHEET.md says why.",
        "data_collection_raw_data": "AudioSet's segment lists and ontology; the clips named in each row's source.",
        "data_preprocessing_protocol": [
            "Label filter, normalisation to the split's length and geometry, four checks, pairing, conflicts.",
        ],
        "data_annotation_protocol": [
            f"Labels are AudioSet's. {reviewed} of {clips} clips were reviewed by people (appendix B.2 of the paper).",
        ],
        "machine_annotation_tools": facts.judges,
        "data_use_cases": [
            "Evaluation: which sense a multimodal model's answer follows under conflict. Tuning: the train split.",
            "Not for recognising people, nor as a measure of sound or sight recognition as such.",
        ],
        "data_biases": [
            "Circularity: clips were kept because a model recognised them, so hard clips are missing and models of the "
            "judge's family look better.",
            "Segments with a single class favour clips with one loud source; class sizes are uneven.",
            *([f"{made} of {clips} aligned clips are photo + sound, not recordings."] if made else []),
        ],
        "data_limitations": [
            "One label a clip does not mean one sound a clip.",
            "The class list is a reconstruction.",
        ],
        "data_social_impact": (
            "Shows when a model hears what it only sees, or the reverse; a high score does not clear a model where "
            "that matters."
        ),
        "personal_sensitive_information": [
            "People may be seen and heard in clips that are recordings; no row identifies anyone.",
        ],
        "data_release_maintenance_plan": (
            "Tags are versions and never change; a removal request makes a new patch version without the clip."
        ),
    }
