"""Which terms let media be passed on: those that begin with the name of such a licence, and no others."""

import pytest

from mma_bench.licences import licence_of


@pytest.mark.parametrize(
    ("terms", "licence"),
    [
        ("CC BY 4.0, Ada", "cc-by"),
        ("CC BY", "cc-by"),
        (" CC BY 3.0 (https://example.org)", "cc-by"),
        ('CC BY, as marked on YouTube: "A" by B', "cc-by"),
        ("CC BY-SA 4.0; Ada", "cc-by-sa"),
        ("CC0 1.0", "cc0"),
        ("CC BY-NC 4.0", None),
        ("CC BY-ND 4.0", None),
        ("CC BY-NC-SA 4.0", None),
        ("CC BYE", None),
        ("CC BY, NC", None),
        ("CC BY 4.0; nc-sa 4.0", None),
        ("CC BY (not)", None),
        ("CC BY: no", None),
        ("CC BY. Not for sale", None),
        ("CC BY 4.0, for non-commercial use, Ada", None),
        ("CC BY 4.0, Ada, noncommercial use only", None),
        ("CC BY 4.0, no derivatives", None),
        ("CC BY 4.0, Ada; all rights reserved", None),
        ("CC BY 9.9", None),
        ("CC BY 4.0,", None),
        ("cc by 4.0, Ada", None),
        ("CC BY 4.0 (https://example.org), Ada", "cc-by"),
        ("CC BY 4.0, Nora Noble", "cc-by"),
        ("CC BY 4.0, NC Media", "cc-by"),
        ('CC BY, as marked on YouTube: "CC BY, NC? Not for sale" by B', "cc-by"),
        ("not CC BY", None),
        ("photo: Ada, CC BY 4.0; sound: Bob, all rights reserved", None),
        ("video: its uploader's terms on YouTube; labels: CC BY 4.0 (AudioSet)", None),
        ("", None),
    ],
)
def test_terms(terms: str, licence: str | None) -> None:
    assert licence_of(terms) == licence
