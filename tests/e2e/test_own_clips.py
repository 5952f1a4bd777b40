"""Clips that are not AudioSet's, as docs/build.md tells it: own labels and class map, own licences, to the end."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from tests.e2e.project import command, composed, dvc, edit_params, fresh

pytestmark = pytest.mark.slow

CLIPS = {
    "kitchen-01": ("cat-1", "eval", "kitten"),
    "yard-01": ("dog-1", "eval", "puppy"),
    "pond-01": ("frog-1", "eval", "frog"),
    "yard-02": ("rooster-1", "train", "rooster"),
    "yard-03": ("dog-2", "train", "puppy"),
    "radio-01": ("cat-1", "eval", "kitten;radio"),  # the filter drops it
    "film-01": ("frog-1", "eval", "frog"),  # its terms forbid to pass it on
}
KEPT = sorted(set(CLIPS) - {"radio-01", "film-01"})
LABELS = {
    "kitten": "/m/01yrx",
    "puppy": "/m/0bt9lr",
    "frog": "/m/09ld4",
    "rooster": "/m/09b5t",
    "radio": "/m/04rlf",
}
LICENCE = 'CC BY 4.0, Ada | Person <ada@example.org>, "the yard"'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after `dvc repro`."""
    root = fresh(tmp_path_factory.mktemp("project"), "profiles/folder.yaml")
    sources = composed(tmp_path_factory.mktemp("sources"), *dict.fromkeys(source for source, _, _ in CLIPS.values()))
    folder = root / "my-clips"
    (folder / "films").mkdir(parents=True)
    (folder / "films/unlisted.mp4").write_bytes(b"no clip")
    with (folder / "manifest.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("clip_id", "split", "labels", "licence", "file", "source"))
        for clip_id, (source, split, labels) in CLIPS.items():
            shutil.copyfile(sources[source], folder / f"films/{clip_id}.MP4")
            terms = "all rights reserved" if clip_id == "film-01" else LICENCE
            table.writerow((clip_id, split, labels, terms, f"films/{clip_id}.MP4", "the yard's films"))
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("label", "label_id"), *LABELS.items()])
    edit_params(root, "candidates", manifests={"my_clips": "my-clips/manifest.csv"})
    splits = {"test": ["my_clips_eval"], "train": ["my_clips_train"]}
    edit_params(root, "acquire", source="clips", folder="my-clips", splits=splits)
    edit_params(root, "pair", donors={"test": 1, "train": 1})
    edit_params(root, "sft", validation_share=0.0)
    edit_params(root, "package", licences=["cc-by"])
    ontology = dvc(root, "repro", "ontology")
    assert ontology.returncode == 0, ontology.stdout + ontology.stderr
    told = command(root, "mma_bench.cli", "candidates", "check", "my-clips/manifest.csv")
    assert "eval: 4 of 5 clips are kept" in told.stdout, told.stdout + told.stderr
    assert "radio-01" in told.stdout
    done = dvc(root, "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def test_the_dataset_holds_the_clips_with_their_own_terms(project: Path) -> None:
    code = (
        "import json, datasets; print(json.dumps([[r['base_id'], r['licence'], r['source']] for s in ('test', 'train') "
        "for r in datasets.load_dataset('mma-bench', 'aligned', split=s).remove_columns('video')]))"
    )
    environment = {**os.environ, "HF_HOME": str(project / ".hf"), "HF_HUB_OFFLINE": "1"}
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=environment, capture_output=True, text=True, check=True
    )
    assert sorted(json.loads(loaded.stdout)) == [[clip_id, LICENCE, "the yard's films"] for clip_id in KEPT]


def test_card_licence_notice_and_page_name_them(project: Path) -> None:
    card = (project / "mma-bench/README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])
    for text in (card, (project / "mma-bench/LICENSE.md").read_text(), (project / "reports/dataset.html").read_text()):
        assert "ada@example.org" in text
        assert "<ada@example.org>" not in text, "a licence is text, not markup"
        assert "all rights reserved" not in text
    assert "| 5 |" in card


def test_only_clips_that_may_be_passed_on_are_in_the_edition(project: Path) -> None:
    assert "under CC-BY" in (project / "mma-bench/README.md").read_text()
    credits = (project / "mma-bench/CREDITS.md").read_text()
    assert all(f"| `{clip_id}` | the yard's films | CC BY 4.0, Ada" in credits for clip_id in KEPT)
    assert "film-01" not in credits
    dropped = pl.read_csv(project / "data/dropped.csv")
    assert dropped.select("clip_id", "reason", "detail").rows() == [("film-01", "other_licence", "all rights reserved")]
    gate = json.loads((project / "reports/validation/package.json").read_text())
    names = {promise["name"] for promise in gate["expectations"]}
    assert {"base_may_be_passed_on", "donor_may_be_passed_on"} <= names


def test_every_file_of_the_folder_is_accounted_for(project: Path) -> None:
    page = (project / "reports/dataset.html").read_text()
    told = "Of 10 files: 5 used, 1 dropped by verify, 1 of segments that this build does not use, 1 with a name of"
    assert told in page
    files = dict(pl.read_parquet(project / "data/files.parquet").select("path", "reason").iter_rows())
    assert files["my-clips/films/unlisted.mp4"] == "unknown_name"
    assert files["my-clips/films/radio-01.MP4"] == "not_wanted"


def test_a_new_clip_is_seen_and_a_second_build_does_nothing_else(project: Path) -> None:
    again = dvc(project, "repro")
    assert [line for line in again.stdout.splitlines() if line.startswith("Running")] == ["Running stage 'inputs':"]
    manifest = project / "my-clips/manifest.csv"
    manifest.write_text(manifest.read_text().replace("the yard's films", "films of the yard"))
    done = dvc(project, "repro", "acquire")
    assert "Running stage 'acquire':" in done.stdout, done.stdout + done.stderr
    (project / "my-clips/labels.csv").write_text((project / "my-clips/labels.csv").read_text() + "tomcat,/m/01yrx\n")
    done = dvc(project, "repro", "candidates")
    assert "Running stage 'candidates':" in done.stdout, done.stdout + done.stderr
