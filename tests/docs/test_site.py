"""The site builds without a warning, holds every page, and loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

pytestmark = pytest.mark.slow


def test_the_site_builds_and_asks_nothing_of_the_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr.strip()
    made = {path.stem for path in (tmp_path / "site").glob("*.html")}
    assert {"index" if page.stem == "README" else page.stem.lower() for page in PAGES} <= made
    for path in (tmp_path / "site").glob("*.html"):
        loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?((?:https?:)?//[^\"\s>]+)", path.read_text())
        assert not loaded, f"{path.name} loads {loaded[0]}"
    assert 'href="files/sample/LICENSES.html"' in (tmp_path / "site/index.html").read_text()
