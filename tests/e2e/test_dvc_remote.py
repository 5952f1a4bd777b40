"""A released version comes back from a DVC remote: a clean clone pulls every artefact and has nothing left to run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from mma_bench.files import file_sha256

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

# The shape of dvc.yaml: a folder of clips that persists, a table and a gate's record, and a metric kept in git.
STAGES = {
    "stages": {
        "acquire": {
            "cmd": "mkdir -p data/clips && cp sample/* data/clips/ && ls sample > data/table && "
            "echo '{}' > metrics/acquire.json && echo ran >> ../ran",
            "deps": ["sample"],
            "outs": [{"data/clips": {"persist": True}}, "data/table"],
            "metrics": [{"metrics/acquire.json": {"cache": False}}],
        },
        "validate": {
            "cmd": "wc -c < data/table > reports/validate.json && echo ran >> ../ran",
            "deps": ["data/table", "data/clips", "metrics/acquire.json"],
            "outs": ["reports/validate.json"],
        },
    }
}


def sh(command: str, cwd: Path) -> str:
    names = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **names, "GIT_CONFIG_GLOBAL": "/dev/null", "DVC_NO_ANALYTICS": "1"}
    environment["DVC_SITE_CACHE_DIR"] = str(cwd.parent / "site")
    done = subprocess.run(command, shell=True, cwd=cwd, env=environment, capture_output=True, text=True)  # noqa: S602
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def contents(project: Path) -> dict[str, str]:
    kept = (path for name in ("data", "metrics", "reports") for path in (project / name).rglob("*") if path.is_file())
    return {path.relative_to(project).as_posix(): file_sha256(path) for path in kept if path.name != ".gitignore"}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was built, pushed to a local remote and committed with its dvc.lock."""
    project = tmp_path_factory.mktemp("released") / "project"
    for folder in ("sample", "data", "metrics", "reports"):
        (project / folder).mkdir(parents=True)
    for number in range(3):
        (project / f"sample/{number}.mp4").write_bytes(bytes([number]) * 1000)
    (project / "dvc.yaml").write_text(yaml.safe_dump(STAGES))
    shutil.copytree(ROOT / ".dvc", project / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    (project / ".gitignore").write_text("/data/\n/reports/\n.dvc/config.local\n")
    sh("git init -q && dvc remote add --local --default store ../store && dvc repro -q && dvc push -q", project)
    sh("git add . && git commit -qm 'Version 1.0.0' && git tag 1.0.0", project)
    return project


def test_a_clean_clone_pulls_everything_and_reproduces_nothing(released: Path) -> None:
    beside = released.parent
    clone, ran = beside / "clone", beside / "ran"
    sh("git clone -q --branch 1.0.0 project clone", beside)
    shutil.rmtree(released / ".dvc/cache")  # all must come from the remote
    sh("dvc remote add --local --default store ../store && dvc pull -q", clone)
    assert contents(clone) == contents(released)
    assert len(contents(clone)) == 6
    assert "up to date" in sh("dvc status", clone)
    sh("dvc repro -q", clone)
    assert ran.read_text() == "ran\nran\n"


def test_what_the_remote_lacks_is_named(released: Path) -> None:
    sh("git clone -q --branch 1.0.0 project lacking", released.parent)
    with pytest.raises(AssertionError, match=r"data/(clips|table)"):
        sh("dvc remote add --local --default store ../empty && dvc pull", released.parent / "lacking")


def test_the_projects_lock_is_committed_and_names_every_artefact() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert set(stages) <= set(locked)
    for name, stage in stages.items():
        wanted = {out if isinstance(out, str) else next(iter(out)) for out in stage.get("outs", [])}
        assert wanted <= {out["path"] for out in locked[name]["outs"]}, name
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "dvc.lock" not in ignored
    assert "/dvc.lock" not in ignored
