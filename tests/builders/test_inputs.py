"""Stage inputs: what params.yaml names is there, and through DVC a change to it reaches the stage that reads it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mma_bench import layout
from mma_bench.builders.inputs import main
from mma_bench.config import Params, load_params
from mma_bench.errors import ConfigError
from mma_bench.tables import read_json

ROOT = Path(__file__).parents[2]


def params(**acquire: Any) -> Params:
    """Those of the sample, which here is a manifest of one line; with other keys of `acquire`."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw["acquire"] |= acquire
    raw["candidates"]["manifests"] = {"sample": "list.csv"}
    layout.PARAMS.write_text(yaml.safe_dump(raw))
    return load_params(layout.PARAMS)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("list.csv").write_text("clip_id\n")
    Path("clips/more").mkdir(parents=True)
    Path("clips/more/a.mp4").write_bytes(b"a")
    return tmp_path


def records() -> dict[str, Any]:
    return {path.stem: read_json(path) for path in sorted(layout.inputs("x").parent.glob("*.json"))}


def test_a_record_changes_with_what_its_stage_reads_and_no_other() -> None:
    chosen = params(source="folder", folder="clips")
    main(chosen)
    seen = [records()]
    main(chosen)
    assert records() == seen[0], "nothing has changed"
    for change, stage in (
        (lambda: Path("clips/b.mp4").write_bytes(b"b"), "acquire"),
        (lambda: os.utime("clips/more/a.mp4", ns=(1, 1)), "acquire"),
        (lambda: Path("clips/b.mp4").rename("clips/c.mp4"), "acquire"),
        (lambda: Path("list.csv").write_text("clip_id\nx\n"), "candidates"),
    ):
        change()
        main(chosen)
        seen.append(records())
        assert [name for name in seen[-1] if seen[-1][name] != seen[-2][name]] == [stage]
    Path("clips/lost.mp4").symlink_to("nowhere")
    main(chosen)
    assert records() == seen[-1], "a link that leads nowhere is no clip"


def test_what_is_not_used_is_not_looked_at() -> None:
    main(params(folder="no-such-folder"))
    assert records()["acquire"] == {}


@pytest.mark.parametrize(
    ("acquire", "message"),
    [
        ({"source": "folder", "folder": "gone"}, "acquire.folder names 'gone', which does not exist"),
        ({"source": ["sample", "tar"], "shards": "gone"}, "acquire.shards names 'gone'"),
        ({"manifest": "gone.csv"}, "acquire.manifest names 'gone.csv'"),
        ({"splits": {"test": ["evil"]}}, "acquire.splits names 'evil', which is neither AudioSet's nor of a manifest"),
    ],
)
def test_what_is_not_there_stops_everything_by_its_key(acquire: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        main(params(**acquire))
    assert message in str(raised.value)
    assert not layout.inputs("acquire").exists()


def test_a_clone_without_the_folder_keeps_the_record_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(params(source="folder", folder="clips"))
    before = records()
    Path("clips").rename("elsewhere")
    main(params(source="folder", folder="clips"))
    assert records() == before
    assert "clips (acquire.folder) is not here; what was made from it is kept" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="'other'"):
        main(params(source="folder", folder="other"))


def test_reviews_may_come_later() -> None:
    chosen = params()
    rule = chosen.verify.model_copy(update={"reviews": "reviews.csv"})
    main(chosen.model_copy(update={"verify": rule}))
    assert records()["verify"] == {"verify.reviews": None}
    Path("reviews.csv").write_text("clip_id\n")
    main(chosen.model_copy(update={"verify": rule}))
    assert records()["verify"]["verify.reviews"]["path"] == "reviews.csv"


def repro(project: Path) -> list[str]:
    """The stages that `dvc repro` ran."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DVC_NO_ANALYTICS": "true",
        "DVC_SITE_CACHE_DIR": str(project / ".site"),
    }
    command = [sys.executable, "-m", "dvc", "repro"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")]


@pytest.mark.slow
def test_dvc_runs_the_stages_that_read_what_has_changed(project: Path) -> None:
    """The stage `inputs` and the dependencies on it are those of dvc.yaml; the other stages only write a file."""
    params(source="folder", folder="clips")
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    mini = {"inputs": stages["inputs"] | {"deps": ["params.yaml"], "cmd": "python -m mma_bench.cli build inputs"}}
    for name in ("candidates", "acquire"):
        deps = [dep for dep in stages[name]["deps"] if dep.startswith("data/inputs/")]
        mini[name] = {"cmd": f"date +%N > {name}.out", "deps": deps, "outs": [f"{name}.out"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": mini}))
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], check=True)
    assert sorted(repro(project)) == ["acquire", "candidates", "inputs"]
    assert repro(project) == ["inputs"]
    Path("clips/new.mp4").write_bytes(b"new")
    assert repro(project) == ["inputs", "acquire"]
    Path("list.csv").write_text("clip_id\nnew\n")
    assert repro(project) == ["inputs", "candidates"]


def test_own_clips_and_their_class_map_are_seen() -> None:
    chosen = params(source="clips", folder="clips")
    main(chosen)
    before = records()
    Path("labels.csv").write_text("label,label_id\n")
    main(chosen)
    seen = records()
    assert [name for name in seen if seen[name] != before[name]] == ["candidates"]
    Path("clips/manifest.csv").write_text("clip_id\n")
    main(chosen)
    assert [name for name in seen if seen[name] != records()[name]] == ["acquire"]
    kept = records()
    Path("labels.csv").unlink()
    Path("list.csv").unlink()  # as in a clone on another machine
    main(chosen)
    assert records() == kept
