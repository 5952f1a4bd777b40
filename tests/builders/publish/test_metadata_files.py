"""Card, datasheet, Croissant and citation: read by the tools of others, with figures that are the build's."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard

from mma_bench.builders.publish.contents import hub_card
from mma_bench.errors import ConfigError, DataError
from mma_bench.hub.cards import refuse_bad_card
from mma_bench.hub.client import Hub
from tests.hub import Hub as StandIn

Publish = Callable[..., None]


@pytest.fixture
def copy(publish: Publish, hub: StandIn, root: Path) -> Path:
    """A downloaded version."""
    publish()
    for name, data in hub.files("org/mma", "1.0.0").items():
        path = root / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root / "copy"


@pytest.mark.slow
def test_the_card_is_read_by_the_hubs_own_loader(copy: Path, client: Hub) -> None:
    card = DatasetCard.load(copy / "README.md", ignore_metadata_errors=False)
    assert (card.data.pretty_name, card.data.license, card.data.version) == ("MMA-Bench", "other", "1.0.0")
    assert [config["config_name"] for config in card.data.configs][:2] == ["aligned", "misaligned"]
    assert 'load_dataset("org/mma", "aligned", split="test", revision="1.0.0")' in card.text
    assert 'load_dataset("mma-bench"' not in card.text
    refuse_bad_card(client, copy / "README.md", "dataset")


@pytest.mark.slow
def test_metadata_that_the_hub_refuses_stop_it(copy: Path, client: Hub) -> None:
    card = copy / "README.md"
    card.write_text(card.read_text().replace("license_name: per-clip\n", ""))
    with pytest.raises(DataError, match="license_name"):
        refuse_bad_card(client, card, "dataset")


def test_a_card_without_a_section_on_loading_is_refused() -> None:
    with pytest.raises(DataError, match="Load it"):
        hub_card("---\na: 1\n---\n# x\n", "org/mma", "1.0.0", "test", index_only=False)


@pytest.mark.slow
def test_croissant_is_valid_and_its_records_are_the_rows(copy: Path) -> None:
    done = _python(
        "import json, sys, mlcroissant\n"
        "dataset = mlcroissant.Dataset(sys.argv[1])\n"
        "said = dataset.metadata.ctx.issues.report()\n"
        "first = next(iter(dataset.records('misaligned-test')))\n"
        "rows = {r['misaligned-test/id'].decode() for r in dataset.records('misaligned-test')}\n"
        "video = first['misaligned-test/video']\n"
        "print(json.dumps([said, sorted(rows), len(video), first['misaligned-test/options'][0].decode()]))",
        copy / "croissant.json",
    )
    said, rows, video, option = json.loads(done.splitlines()[-1])
    assert (said, len(rows), option) == ("", 8, "Bird")
    assert rows[0] == "bird-test0_30000.misaligned.cat-test0_30000"
    assert video > 1000


@pytest.mark.slow
def test_croissant_tells_every_file_with_its_hash_and_the_responsible_ai_fields(copy: Path) -> None:
    told: dict[str, Any] = json.loads((copy / "croissant.json").read_text())
    listed = dict(reversed(line.split("  ")) for line in (copy / "checksums.sha256").read_text().splitlines())
    del listed["croissant.json"]
    files = {item["@id"]: item for item in told["distribution"] if item["@type"] == "cr:FileObject"}
    assert {name: item["sha256"] for name, item in files.items()} == listed
    assert files["LICENSE.md"]["contentUrl"].endswith("/datasets/org/mma/resolve/1.0.0/LICENSE.md")
    assert told["conformsTo"][0] == "http://mlcommons.org/croissant/1.1"
    assert {name.removeprefix("rai:") for name in told if name.startswith("rai:")} == {
        "dataAnnotationProtocol",
        "dataBiases",
        "dataCollection",
        "dataCollectionMissingData",
        "dataCollectionRawData",
        "dataCollectionType",
        "dataLimitations",
        "dataManipulationProtocol",
        "dataPreprocessingProtocol",
        "dataReleaseMaintenancePlan",
        "dataSocialImpact",
        "dataUseCases",
        "machineAnnotationTools",
        "personalSensitiveInformation",
    }
    assert told["rai:machineAnnotationTools"] == "specialist"
    assert "0 of 12 clips were reviewed" in told["rai:dataAnnotationProtocol"]


@pytest.mark.slow
def test_croissant_says_version_day_licence_and_where_the_records_are(copy: Path) -> None:
    told: dict[str, Any] = json.loads((copy / "croissant.json").read_text())
    assert (told["@type"], told["name"], told["version"]) == ("sc:Dataset", "MMA-Bench", "1.0.0")
    assert told["license"].endswith("/datasets/org/mma/blob/1.0.0/LICENSE.md")
    assert told["datePublished"] == yaml.safe_load((copy / "CITATION.cff").read_text())["date-released"].isoformat()
    assert "2511.22826" in told["citeAs"]
    # Without them in the context, readers of 1.1 warn.
    assert {"arrayShape", "containedIn", "isArray"} <= told["@context"].keys()
    records = {item["@id"]: item for item in told["recordSet"]}
    fields = {item["@id"]: item for item in records["misaligned-test"]["field"]}
    assert records["misaligned-test"]["key"] == {"@id": "misaligned-test/id"}
    assert fields["misaligned-test/video"]["dataType"] == "sc:VideoObject"
    assert fields["misaligned-test/video"]["source"] == {
        "fileSet": {"@id": "misaligned-test-shards"},
        "extract": {"column": "video"},
        "transform": {"jsonPath": "bytes"},
    }
    options = fields["misaligned-test/options"]
    assert (options["dataType"], options["isArray"], options["arrayShape"]) == ("sc:Text", True, "-1")


def test_without_mlcroissant_nothing_begins(publish: Publish, hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mma_bench.extras.absent", lambda extra: [extra])
    with pytest.raises(ConfigError, match=r"pip install 'mma-bench\[publish\]'"):
        publish()
    assert not hub.requests


@pytest.mark.slow
def test_the_datasheet_has_the_figures_of_the_build(copy: Path) -> None:
    text = (copy / "DATASHEET.md").read_text()
    for said in (
        "56 rows: 12 aligned clips (4 train, 8 test) of 4 classes",
        "| `misaligned` | 4 | 8 |",
        "| sample (photo + sound) | GPL-2 | 8 |",
        "| candidates | 3,518 |",
        "0 of 12 clips were reviewed by people",
        "12 clips are composed by this project",
        "The judge's circularity",
        "specialists, none of which",
    ):
        assert said in text, said
    assert "{{" not in text
    assert "{%" not in text


@pytest.mark.slow
def test_the_citation_names_version_and_paper(copy: Path) -> None:
    cited = yaml.safe_load((copy / "CITATION.cff").read_text())
    assert (cited["cff-version"], cited["type"], cited["version"]) == ("1.2.0", "dataset", "1.0.0")
    assert len(cited["references"][0]["authors"]) == 5


def test_the_projects_own_citation_is_of_its_version() -> None:
    from mma_bench import __version__

    cited = yaml.safe_load((Path(__file__).parents[3] / "CITATION.cff").read_text())
    assert (cited["cff-version"], cited["type"], cited["version"]) == ("1.2.0", "software", __version__)


def _python(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
