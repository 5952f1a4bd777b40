"""The public names: each is there, is what its module has, and has words and types of its own."""

import inspect
import subprocess
import sys

import mma_bench
from tests.docs.pages import ROOT


def test_every_public_name_is_there_and_documented() -> None:
    for name in mma_bench.__all__:
        found = getattr(mma_bench, name)
        assert inspect.getdoc(found), name
        assert name in dir(mma_bench)
    assert sorted(mma_bench.__all__) == mma_bench.__all__


def test_the_page_shows_every_public_name() -> None:
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    assert [name for name in mma_bench.__all__ if name not in page] == []


def test_an_unknown_name_is_an_attribute_error_and_import_is_light() -> None:
    code = (
        "import sys, mma_bench\n"
        "assert 'polars' not in sys.modules and 'pydantic' not in sys.modules\n"
        "try: mma_bench.nothing\nexcept AttributeError as error: assert 'nothing' in str(error)\n"
        "else: raise SystemExit('no error')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
