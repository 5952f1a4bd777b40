"""`croissant.json`: the release described for machines, in Croissant 1.1 with the fields of its RAI extension.

Every published file is listed with its address at the tag and its hash; the records of a config are read from a copy
of the repository, whose shards lie beside this file. `mlcroissant validate --jsonld croissant.json` checks it.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from mma_bench.builders.dataset.card import composed, licences
from mma_bench.builders.dataset.columns import COLUMNS
from mma_bench.builders.publish.citation import PAPER_BIBTEX
from mma_bench.builders.publish.facts import BuildFacts
from mma_bench.schema import Condition, Split

CROISSANT: Final = "croissant.json"
_PARQUET: Final = "application/x-parquet"  # the name that mlcroissant reads
_FORMATS: Final = {
    ".parquet": _PARQUET,
    ".json": "application/json",
    ".md": "text/markdown",
    ".cff": "application/yaml",
}
_TYPES: Final = {
    "string": "sc:Text",
    "strings": "sc:Text",
    "int64": "sc:Integer",
    "float64": "sc:Float",
    "bool": "sc:Boolean",
    "video": "sc:VideoObject",
}
# The context that the specification prescribes for 1.1, and the prefix of the RAI extension.
_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
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
    """
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": "MMA-Bench",
        "description": (
            "Clips whose sight, sound and text agree or conflict, with a question about each sense: a reproducible "
            "build of the benchmark of arXiv 2511.22826."
        ),
        "url": url,
        "version": version,
        "datePublished": released.isoformat(),
        "license": f"{url}/blob/{version}/LICENSE.md",
        "creator": {"@type": "Organization", "name": "mma-bench contributors"},
        "citeAs": PAPER_BIBTEX,
        "keywords": ["multimodal", "audio-visual", "modality conflict", "benchmark"],
        "inLanguage": ["en"],
        **_responsible(facts),
        "distribution": [
            *(_file(path, sha256, size, f"{url}/resolve/{version}/{path}") for path, (sha256, size) in files.items()),
            *(_shards(condition, split) for condition, split in _configs(facts)),
        ],
        "recordSet": [_records(condition, split, index_only) for condition, split in _configs(facts)],
    }


def _configs(facts: BuildFacts) -> list[tuple[str, str]]:
    there = set(facts.packaged.select("condition", "split").unique().iter_rows())
    every = [(str(condition), str(split)) for condition in Condition for split in (Split.TRAIN, Split.TEST)]
    return [config for config in every if config in there]


def _file(path: str, sha256: str, size: int, url: str) -> dict[str, Any]:
    suffix = path[path.rfind(".") :]
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": url,
        "contentSize": f"{size} B",
        "encodingFormat": _FORMATS.get(suffix, "text/plain"),
        "sha256": sha256,
    }


def _shards(condition: str, split: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{condition}-{split}-shards",
        "name": f"{condition}-{split}-shards",
        "encodingFormat": _PARQUET,
        "includes": f"data/{condition}/{split}-*.parquet",
    }


def _records(condition: str, split: str, index_only: bool) -> dict[str, Any]:
    name = f"{condition}-{split}"
    columns = {column: about for column, about in COLUMNS.items() if not (index_only and about.kind == "video")}
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"The clips of the split {split} under the condition {condition}.",
        "key": {"@id": f"{name}/id"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column}",
                "name": f"{name}/{column}",
                "description": about.meaning,
                "dataType": _TYPES[about.kind],
                **({"isArray": True, "arrayShape": "-1"} if about.kind == "strings" else {}),
                "source": {
                    "fileSet": {"@id": f"{name}-shards"},
                    "extract": {"column": column},
                    **({"transform": {"jsonPath": "bytes"}} if about.kind == "video" else {}),
                },
            }
            for column, about in columns.items()
        ],
    }


def _responsible(facts: BuildFacts) -> dict[str, Any]:
    """The fields of the RAI extension."""
    aligned = facts.aligned
    clips, reviewed, made = aligned.height, int(aligned["human_verified"].sum()), composed(aligned)
    refused = facts.variants.height - facts.packaged.height
    sources = "; ".join(f"{n} clips from {source} ({licence})" for source, licence, n in licences(aligned))
    return {
        "rai:dataCollection": f"Segments of AudioSet's label vocabulary, one class each: {sources}.",
        "rai:dataCollectionType": ["Secondary Data Analysis", "Software Collection"],
        "rai:dataCollectionMissingData": f"{refused} variants could not be made; DATASHEET.md says why.",
        "rai:dataCollectionRawData": "AudioSet's segment lists and ontology; the clips named in each row's source.",
        "rai:dataPreprocessingProtocol": [
            "Label filter, normalisation to the split's length and geometry, four checks, pairing, conflicts.",
        ],
        "rai:dataManipulationProtocol": (
            "Misaligned, audio_removed and frames_zeroed replace one sense and keep the other's packets bit for bit."
        ),
        "rai:dataAnnotationProtocol": [
            f"Labels are AudioSet's. {reviewed} of {clips} clips were reviewed by people (appendix B.2 of the paper).",
        ],
        "rai:machineAnnotationTools": facts.judges,
        "rai:dataUseCases": [
            "Evaluation: which sense a multimodal model's answer follows under conflict. Tuning: the train split.",
            "Not for recognising people, nor as a measure of sound or sight recognition as such.",
        ],
        "rai:dataBiases": [
            "Circularity: clips were kept because a model recognised them, so hard clips are missing and models of the "
            "judge's family look better.",
            "Segments with a single class favour clips with one loud source; class sizes are uneven.",
            *([f"{made} of {clips} aligned clips are photo + sound, not recordings."] if made else []),
        ],
        "rai:dataLimitations": [
            "One label a clip does not mean one sound a clip.",
            "The class list is a reconstruction.",
        ],
        "rai:dataSocialImpact": (
            "Shows when a model hears what it only sees, or the reverse; a high score clears no model where that "
            "matters."
        ),
        "rai:personalSensitiveInformation": [
            "People may be seen and heard in clips that are recordings; no row identifies anyone.",
        ],
        "rai:dataReleaseMaintenancePlan": (
            "Tags are versions and never change; a removal request makes a new patch version without the clip."
        ),
    }
