"""Every command on the pages is run here or elsewhere in the tests, or is held against the real command line.

* RUN: run here, as the page has it, in a small finished project.
* ELSEWHERE: run by the test file that is named, with other arguments; here its words are parsed by the real commands.
* NEEDS: cannot run in a test, for the reason that is given; parsed likewise.
* What is not ours: `make` targets, `dvc` and `hf` words, files and extras must exist. FOREIGN programs are not here.

A command that is in none of these fails, and so does an entry here that no page has any more.
"""

import ast
import hashlib
import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml
from click.testing import CliRunner
from packaging.requirements import Requirement

from mma_bench.cli import main
from mma_bench.config import Params
from mma_bench.schema import PAPERS_CONDITIONS, Condition
from tests.docs.pages import PAGES, ROOT, Command, blocks, commands, merged

ALL: Final = [command for page in PAGES for command in commands(page)]
OURS: Final = [command for command in ALL if command.text.startswith("mma-bench ")]

# In the order in which they are run. The value takes the place of the page's first words where these would fetch
# weights, or speak of another version than the small project's.
RUN: Final = {
    "mma-bench models": None,
    "mma-bench models check NAME": ("mma-bench models check oracle",),
    "mma-bench doctor": None,
    "mma-bench power --clips 658": None,
    "mma-bench power --difference 0.05 --changed 0.2,0.3": None,
    "mma-bench sft": None,
    "mma-bench evaluate --model specialist --out results/specialist": (
        "mma-bench evaluate --model random --out results/specialist",
    ),
    "mma-bench evaluate --model specialist --conditions all,no_clip,other_clip --out results/beyond": (
        "mma-bench evaluate --model random --conditions all,no_clip,other_clip --out results/beyond",
    ),
    "mma-bench score DIR": ("mma-bench score results/specialist",),
    "mma-bench results DIR [--dataset mma-bench]": ("mma-bench results results/specialist --dataset mma-bench",),
    "mma-bench results DIR --dataset mma-bench --all-mistakes": (
        "mma-bench results results/specialist --dataset mma-bench --all-mistakes",
    ),
    "mma-bench leaderboard results": None,
    "mma-bench sft-export DIR": None,
    "mma-bench publish diff mma-bench-1.1.0 mma-bench": ("mma-bench publish diff mma-bench mma-bench",),
    "mma-bench publish dataset --repo ORG/mma-bench --version 1.2.0 --dry-run": (
        "mma-bench publish dataset --repo ORG/mma-bench --version 1.0.0 --dry-run",
    ),
    "mma-bench acquire freeze": None,
    'mma-bench acquire remove aBcDeFgHiJk --reason "asked by the uploader"': None,
    'mma-bench acquire remove aBcDeFgHiJk --reason "asked for by its uploader"': None,
}
# The beginning of a command → the file whose tests run it.
ELSEWHERE: Final = {
    "mma-bench build": "tests/e2e/test_build.py",
    "mma-bench validate": "tests/validation/test_gate.py",
    "mma-bench acquire licences": "tests/builders/sources/test_licences.py",
    "mma-bench acquire status": "tests/docs/test_code.py",
    "mma-bench acquire retry": "tests/builders/sources/test_cli.py",
    "mma-bench attend": "tests/evaluation/attention/test_cli.py",
    "mma-bench results RUN --submission": "tests/evaluation/test_submission.py",
    "mma-bench compare": "tests/evaluation/test_side_by_side.py",
    "mma-bench clips": "tests/evaluation/clip_choice/test_clips.py",
    "mma-bench power": "tests/evaluation/test_power.py",
    "mma-bench view": "tests/evaluation/view/test_browser.py",
    "mma-bench avhbench": "tests/evaluation/avhbench/test_avhbench.py",
    "mma-bench avhbench-compare": "tests/evaluation/avhbench/test_compare.py",
    "mma-bench judge compare": "tests/evaluation/judges/test_compare.py",
    "mma-bench authors import": "tests/builders/manifests/test_authors.py",
    "mma-bench candidates check": "tests/builders/manifests/test_check.py",
    "mma-bench judge calibrate": "tests/evaluation/judges/test_calibrate_build.py",
    "mma-bench review serve": "tests/builders/review/conftest.py",
    "mma-bench review": "tests/builders/review/test_export.py",
    "mma-bench review --task answer": "tests/evaluation/people/test_cli.py",
    "mma-bench evaluate --model random": "tests/docs/test_code.py",
    "mma-bench evaluate --model first-option.yaml": "tests/docs/test_code.py",
    "mma-bench evaluate --model ORG/NAME": "tests/mma_bench/models/test_configs.py",
    "mma-bench evaluate --model openai-server": "tests/e2e/test_base_install.py",
    "mma-bench infer": "tests/evaluation/test_cli.py",
    "mma-bench train": "tests/training/test_cli.py",
    "mma-bench adapter check": "tests/training/test_cli.py",
    "mma-bench adapter card": "tests/training/test_card.py",
    "mma-bench publish dataset": "tests/builders/publish/test_dataset.py",
    "mma-bench publish copy": "tests/builders/publish/test_shards.py",
    "mma-bench publish diff": "tests/builders/publish/test_difference.py",
    "mma-bench publish rebuild": "tests/builders/publish/test_rebuild.py",
    "mma-bench publish adapter": "tests/training/test_publish.py",
    "mma-bench tasks-path": "tests/evaluation/tasks/test_cli.py",
}
# The beginning of a command → why no test can run it as it stands.
NEEDS: Final = {
    "mma-bench evaluate --model qwen2.5-omni-7b": "a GPU and the checkpoint",
    "mma-bench attend --model qwen2.5-omni-7b": "a GPU and the checkpoint",
    "mma-bench train --config paper": "a GPU and the checkpoint",
    "mma-bench adapter check results/tuned/adapter --base Qwen/Qwen2.5-Omni-7B": "the checkpoint",
    "mma-bench avhbench --annotations QA.json": "AVHBench and a GPU",
}
NAMED_ALONE: Final = ("mma-bench evaluate", "mma-bench publish")  # in the text, as the name of a command
# Programs that are not part of the set-up.
FOREIGN: Final = {
    "lmms-eval": "an environment of its own; tests/evaluation/tasks/test_harnesses.py runs it on demand",
    "inspect": "an environment of its own; tests/evaluation/tasks/test_harnesses.py runs it on demand",
    "$EDITOR": "the reader's editor",
    "cd": "the shell's",
    "git": "of the machine",
    "sha256sum": "of the machine; run below",
    "pre-commit": "makes a hook of git",
}
# What `pip install` may name besides this project and what it depends on.
FOR_STORAGE: Final = {"s3fs", "psycopg"}


def kind_of(command: Command) -> str | None:
    """The class of one of our commands; the longest beginning decides."""
    if command.text in RUN:
        return "run"
    if command.inline and command.text in NAMED_ALONE:
        return "named"
    known = [start for start in (*ELSEWHERE, *NEEDS) if f"{command.text} ".startswith(f"{start} ")]
    if not known:
        return None
    return "needs" if max(known, key=len) in NEEDS else "elsewhere"


@pytest.mark.parametrize("command", OURS, ids=lambda command: f"{command.page}: {command.text}"[:70])
def test_our_commands_are_run_or_say_why_not(command: Command) -> None:
    assert kind_of(command), f"{command.page} names `{command.text}`: run it in RUN, or enter it in ELSEWHERE or NEEDS"


def test_no_entry_is_left_over() -> None:
    texts = [command.text for command in OURS]
    stale = [start for start in (*NEEDS, *NAMED_ALONE, *RUN) if not any(text.startswith(start) for text in texts)]
    assert not stale
    missing = [file for file in ELSEWHERE.values() if not (ROOT / file).is_file()]
    assert not missing
    # The word that names the command is in the file that is said to run it.
    silent = [
        start for start, file in ELSEWHERE.items() if start.split()[-1] not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert not [start for start in silent if ELSEWHERE[start] != "tests/docs/test_code.py"]


def leaf(words: list[str], group: Any = main) -> tuple[Any, list[str]]:
    """The command that `words` name, and its arguments; also for groups of typer, which load theirs when asked."""
    while hasattr(group, "get_command") and words:
        context = click.Context(group)
        own = {name: param.name for param in group.params for name in param.opts}
        while len(words) > 2 and words[0] in own:  # such as `review --task answer serve`
            context.params[own[words[0]]] = words[1]
            words = words[2:]
        if words[0].startswith("-"):
            break
        found = group.get_command(context, words[0])
        assert found is not None, f"there is no command {words[0]!r} in {group.name}"
        group, words = found, words[1:]
    return group, words


def parse(command: Command, words: list[str], root: Any = main) -> None:
    """Fails if the real command would not take these words; a command in the text need not be complete."""
    found, arguments = leaf(words, root)
    options = {name for param in found.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
    unknown = [word for word in arguments if word.startswith("--") and word.partition("=")[0] not in options]
    assert not unknown, f"{command.page}: `{command.text}`: no option {unknown[0]}"
    if not command.inline:
        found.make_context(found.name, arguments)


@pytest.fixture
def _paths_need_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Path, "convert", lambda self, value, _param, _ctx: (self.type or str)(value))


@pytest.mark.usefixtures("_paths_need_not_exist")
@pytest.mark.parametrize("command", OURS, ids=lambda command: f"{command.page}: {command.text}"[:70])
def test_our_commands_parse(command: Command) -> None:
    words = shlex.split(command.text.replace("[", "").replace("]", "") if command.inline else command.text)
    parse(command, words[1:])


@pytest.mark.parametrize("broken", ["evaluate --modle x --out y", "evaluate --out y", "validate nothing", "acquire x"])
def test_a_wrong_command_does_not_parse(broken: str) -> None:
    with pytest.raises((AssertionError, click.UsageError)):
        parse(Command("page", f"mma-bench {broken}"), broken.split())


OTHERS: Final = [command for command in ALL if command not in OURS]


@pytest.mark.slow
@pytest.mark.usefixtures("_paths_need_not_exist")
@pytest.mark.parametrize("command", OTHERS, ids=lambda command: f"{command.page}: {command.text}"[:70])
def test_other_commands_name_what_is_there(command: Command) -> None:
    for ours in re.findall(r"\$\(mma-bench ([^)]*)\)", command.text):
        parse(command, shlex.split(ours))
    program, *words = [word for word in command.words if not re.match(r"^[A-Z_]+=", word)]
    check = globals().get(f"_{program.replace('-', '_')}")
    assert check or program in FOREIGN, f"{command.page}: nothing is known of {program!r} in `{command.text}`"
    if check:
        check(command, words)
    if program in ("$EDITOR", "cd"):
        assert (ROOT / words[0]).exists() or words[0] == "mma-bench"


def _make(_: Command, words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert words[0] in targets


def _cp(_: Command, words: list[str]) -> None:
    profile, target = words
    raw = yaml.safe_load((ROOT / profile).read_text())
    Params.model_validate(raw)
    assert target == "params.yaml"


def _dvc(_: Command, words: list[str]) -> None:
    from dvc.cli import parse_args

    parsed = parse_args(words)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for target in getattr(parsed, "targets", None) or []:
        assert target in stages or (ROOT / target).is_file(), f"no stage or file {target}"


def _python(_: Command, words: list[str]) -> None:
    ast.parse((ROOT / words[0]).read_text())


def _pytest(_: Command, words: list[str]) -> None:
    assert all((ROOT / word).exists() for word in words if not word.startswith("-"))


def _pip(command: Command, words: list[str]) -> None:
    if words[0] == "freeze":
        return
    assert words[0] == "install", command.text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    ours = {Requirement(line).name for line in lines}
    for wanted in (Requirement(word) for word in words[1:] if not word.startswith("-")):
        assert wanted.name in ours | FOR_STORAGE
        assert wanted.name != project["name"] or wanted.extras <= set(project["optional-dependencies"])


def _hf(command: Command, words: list[str]) -> None:
    from huggingface_hub.cli.hf import app

    parse(command, words, app)


def _ray(command: Command, words: list[str]) -> None:
    from ray.scripts.scripts import cli

    parse(command, words, cli)


def _torchrun(command: Command, words: list[str]) -> None:
    assert words[0] == "--nproc-per-node"
    assert words[2:4] == ["-m", "mma_bench.cli"]
    parse(command, words[4:])


def _accelerate(command: Command, words: list[str]) -> None:
    assert words[:3] == ["launch", "-m", "mma_bench.cli"]
    parse(command, words[3:])


def _export(command: Command, words: list[str]) -> None:
    for word in words:
        name = word.partition("=")[0]
        folders = ("mma_bench", "builders", "evaluation", "training")
        read = [file for folder in folders for file in (ROOT / folder).rglob("*.py") if name in file.read_text()]
        assert read, f"{command.page}: nothing reads {name}"


# Here begins what is run.


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small finished project, with a stand-in of the Hub behind the real client."""
    import huggingface_hub
    from huggingface_hub import constants

    from tests.builders.publish import project
    from tests.hub import serving

    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch, serving("hf_noToken") as hub:
        patch.chdir(root)
        project.make(root)
        params = yaml.safe_load(Path("params.yaml").read_text())
        params["sft"]["validation_share"] = 0.0  # four clips are too few to hold any out
        Path("params.yaml").write_text(yaml.safe_dump(params))
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HF_HUB_CACHE", str(root / "hub-cache"))
        patch.setattr(constants, "HF_TOKEN_PATH", str(root / "no-token"))
        patch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.url)
        patch.delenv("HF_TOKEN", raising=False)
        yield root
        huggingface_hub.close_session()


@pytest.mark.slow
def test_what_can_run_offline_runs(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    for text, instead in RUN.items():
        for line in instead or (text,):
            result = CliRunner().invoke(main, shlex.split(line)[1:])
            allowed = (0, 1) if line.endswith("doctor") else (0,)  # 1: something is missing on this machine
            assert result.exit_code in allowed, f"{line}\n{result.output}\n{result.exception!r}"
            assert result.exception is None or isinstance(result.exception, SystemExit)
    scores = (finished / "results/specialist/scores.json").read_text()
    assert all(f'"{condition}"' in scores for condition in PAPERS_CONDITIONS)
    assert "aBcDeFgHiJk" in (finished / "tombstones.csv").read_text()
    assert (finished / "results/leaderboard.html").is_file()


@pytest.mark.slow
def test_the_checksums_of_a_package_hold(finished: Path) -> None:
    for line in (finished / "mma-bench/checksums.sha256").read_text().splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256((finished / "mma-bench" / name).read_bytes()).hexdigest() == digest


PYTHON: Final = [
    (page.name, block.text)
    for page in PAGES
    for block in blocks(page)
    if block.language == "python" and not block.title.startswith(("builders/", "mma_bench/"))
]


@pytest.mark.parametrize(("page", "text"), PYTHON, ids=[page for page, _ in PYTHON])
def test_python_compiles_and_its_imports_are_there(page: str, text: str) -> None:
    for node in ast.walk(ast.parse(text, page)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.slow
def test_loading_runs_as_written(finished: Path) -> None:
    checks = {
        "docs/python.md": "assert {row.model for row in predictions} == {'always-first'}\n"
        "assert prompts[0].text == row['visual_question']",
        "README.md": "assert clip['audio_answer'] != clip['visual_answer'] and clip['audio_question']",
        "docs/data.md": "assert frames.shape[0] == 5 and sound.shape[1] >= 16000 and mp4[4:8] == b'ftyp'\n"
        "assert first['id'] == clips[0]['id'] and rows.height == 8",
    }
    script = ""  # one process for all: its imports are what takes long
    for name, check in checks.items():
        shown = [block.text for block in blocks(ROOT / name) if block.language == "python"]
        script += "\n".join([*(text for text in shown if not text.startswith("# needs the Hub")), check, ""])
    environment = {**os.environ, "HF_HOME": str(finished / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=finished, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_page_about_the_data_names_every_column_and_config() -> None:
    from mma_bench.builders.dataset.columns import COLUMNS

    text = (ROOT / "docs/data.md").read_text()
    table = text.partition("## Read a row")[2].partition("\n\n`video` decodes")[0]
    named = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    assert named == set(COLUMNS)
    configs = text.partition("## Pick a config")[2].partition("\n\nThe conditions")[0]
    assert re.findall(r"^\| `(\w+)`", configs, re.M) == [str(condition) for condition in Condition]


def test_settings_on_the_pages_fit_the_parameters() -> None:
    whole = yaml.safe_load((ROOT / "params.yaml").read_text())
    seen = 0
    for page in PAGES:
        for block in blocks(page):
            if block.language in ("yaml", "yml") and page.name != "code.md":  # there they are run
                shown = yaml.safe_load(block.text)
                if isinstance(shown, dict) and set(shown) <= set(whole):
                    Params.model_validate(merged(whole, shown))
                    seen += 1
    assert seen
