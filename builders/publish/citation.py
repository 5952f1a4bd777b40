"""`CITATION.cff`: how to cite a version of the dataset, and the paper whose benchmark it builds."""

from datetime import date
from typing import Any, Final

import yaml

PAPER_TITLE: Final = (
    "Some Modalities are More Equal Than Others: Decoding and Architecting Multimodal Integration in MLLMs"
)
PAPER_AUTHORS: Final = (
    ("Tianle", "Chen"),
    ("Chaitanya", "Chakka"),
    ("Arjun Reddy", "Akula"),
    ("Xavier", "Thomas"),
    ("Deepti", "Ghadiyaram"),
)
PAPER_BIBTEX: Final = (
    "@misc{chen2025modalities, title={"
    + PAPER_TITLE
    + "}, author={"
    + " and ".join(" ".join(name) for name in PAPER_AUTHORS)
    + "}, year={2025}, eprint={2511.22826}, archivePrefix={arXiv}}"
)


def citation(version: str, released: date, url: str) -> str:
    """The file's text, in Citation File Format 1.2.0."""
    paper: dict[str, Any] = {
        "type": "article",
        "title": PAPER_TITLE,
        "authors": [{"given-names": given, "family-names": family} for given, family in PAPER_AUTHORS],
        "year": 2025,
        "identifiers": [{"type": "other", "value": "arXiv:2511.22826"}],
        "url": "https://arxiv.org/abs/2511.22826",
    }
    fields: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "Cite this version of the dataset, and the paper whose benchmark it builds.",
        "type": "dataset",
        "title": "MMA-Bench",
        "version": version,
        "date-released": released,
        "url": url,
        "authors": [{"name": "mma-bench contributors"}],
        "references": [paper],
    }
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=120)
