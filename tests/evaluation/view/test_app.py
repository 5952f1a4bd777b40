"""The browser's app: media in ranges, nothing but its own files, and no other name for this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.view.app import create_app
from mma_bench.evaluation.view.rows import read_run
from mma_bench.evaluation.view.site import Site
from tests.evaluation.packaged import media_of
from tests.evaluation.view.project import make


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    project = make(tmp_path_factory.mktemp("view"))
    return Site(Benchmark(str(project / "mma-bench")), [read_run(project / run) for run in ("one", "two")])


@pytest.fixture
def client(site: Site, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(site, tmp_path), base_url="http://127.0.0.1:8700") as opened:
        yield opened


def test_the_app_serves_the_page_its_clips_in_ranges_and_nothing_else(client: TestClient, site: Site) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    row = site.rows[0]
    part = client.get(f"/media/{row['media']}", headers={"Range": "bytes=0-9"})
    assert part.status_code == 206
    assert part.content == media_of("a")[:10]
    for name in (
        "media/../../run.json",
        "details/6.js",
        "details/-1.js",
        "details/²\N{SUPERSCRIPT TWO}.js",
        "run.json",
        "media/",
        "one/run.json",
    ):
        assert client.get(f"/{name}").status_code == 404, name


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8700", "169.254.169.254"])
def test_another_name_for_this_machine_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/rows.js", headers={"Host": host}).status_code == 400
