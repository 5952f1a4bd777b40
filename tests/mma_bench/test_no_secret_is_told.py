"""A secret in any option, key of params.yaml or variable is in no message and no file, whatever the command."""

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from mma_bench.cli import main
from mma_bench.layout import STAGES

ROOT = Path(__file__).parents[2]
SECRET = "hunter2"  # noqa: S105 - of no account
URLS = (
    f"https://me:{SECRET}@127.0.0.1:9/p?api_key={SECRET}&x=1",
    f"s3://me:{SECRET}@bucket/p",
    f"postgresql://me:{SECRET}@127.0.0.1:9/votes?password={SECRET}",
)
_TEXT = (click.types.StringParamType, click.Path)


def commands(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield (*above, name), command


def texts(command: click.Command) -> list[click.Parameter]:
    """The parameters that take a name, a path or an address."""
    return [parameter for parameter in command.params if isinstance(parameter.type, _TEXT) and parameter.name != "help"]


CASES = [
    pytest.param(words, parameter.name, id=f"{' '.join(words)} {parameter.name}")
    for words, command in commands(main)
    for parameter in texts(command)
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with params.yaml and nothing built; no address but this machine's can be reached."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "tombstones.csv"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    connect = socket.socket.connect

    def near(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith("127."):
            raise ConnectionRefusedError(f"{address} is not this machine")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", near)
    monkeypatch.setattr("socket.getaddrinfo", _no_names(socket.getaddrinfo))
    return tmp_path


def _no_names(resolve: Any) -> Any:
    def resolved(host: Any, *rest: Any, **more: Any) -> Any:
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(f"{host} is not this machine")
        return resolve(host, *rest, **more)

    return resolved


def arguments(command: click.Command, chosen: str, value: str) -> list[str]:
    """The required parameters with some value, and the chosen one with this."""
    options, positional = [], []
    for parameter in command.params:
        text = value if parameter.name == chosen else "1" if parameter.required else None
        if text is None:
            continue
        if parameter.name != chosen and isinstance(parameter.type, click.Choice):
            text = str(parameter.type.choices[0])
        if isinstance(parameter, click.Argument):
            positional.append(text)
        else:
            options += [max(parameter.opts, key=len), text]
    return [*options, "--", *positional]


def holds_secret(root: Path) -> list[str]:
    return [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if SECRET in path.name or (path.is_file() and SECRET.encode() in path.read_bytes())
    ]


def invoke(words: list[str], env: Mapping[str, str] | None = None) -> click.testing.Result:
    return CliRunner().invoke(main, words, env=env)


@pytest.mark.slow
@pytest.mark.parametrize(("words", "name"), CASES)
def test_no_option_is_told(project: Path, words: tuple[str, ...], name: str) -> None:
    command = dict(commands(main))[words]
    for url in URLS:
        value = f"key={url}" if name == "settings" else url
        done = invoke([*words, *arguments(command, name, value)])
        assert SECRET not in done.output, done.output
        assert done.exit_code != 5, done.output
        assert holds_secret(project) == []


def leaves(tree: Any, *above: str) -> Iterator[tuple[str, ...]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, *above, key)
    elif tree is None or isinstance(tree, str):
        yield above


KEYS = sorted(
    {
        keys
        for name in ("params.yaml", "profiles/audioset.yaml", "profiles/paper.yaml")
        for keys in leaves(yaml.safe_load((ROOT / name).read_text()))
    }
)


@pytest.mark.slow
@pytest.mark.parametrize("keys", KEYS, ids=".".join)
def test_no_key_of_the_parameters_is_told(project: Path, keys: tuple[str, ...]) -> None:
    for url in URLS:
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        at = params
        for key in keys[:-1]:
            at[key] = at.get(key) if isinstance(at.get(key), dict) else {}
            at = at[key]
        at[keys[-1]] = url
        own = project / "params.yaml"
        own.write_text(yaml.safe_dump(params))
        for stage in STAGES:
            done = invoke(["build", stage])
            assert SECRET not in done.output, done.output
        own.unlink()
        assert holds_secret(project) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MMA_BENCH_REVIEW_DATABASE", ["review", "status"]),
        ("MMA_BENCH_REVIEW_DATABASE", ["review", "add-annotator", "ada"]),
        ("MMA_BENCH_PEOPLE_DATABASE", ["review", "--task", "answer", "status"]),
        ("MMA_BENCH_PROXY", ["build", "acquire"]),
        ("MMA_BENCH_COOKIES", ["build", "acquire"]),
        ("MMA_BENCH_CACHE", ["build", "metadata"]),
        ("PIP_INDEX_URL", ["build", "metadata"]),
        ("HF_ENDPOINT", ["publish", "diff", "org/name", "org/other"]),
    ],
)
def test_no_variable_is_told(project: Path, name: str, words: list[str]) -> None:
    for url in URLS:
        env = {"MMA_BENCH_CACHE": str(project / "cache"), name: url} if name == "PIP_INDEX_URL" else {name: url}
        done = invoke(words, env)
        assert SECRET not in done.output, done.output
    if name != "MMA_BENCH_CACHE":  # a folder of that name, if someone wants it
        assert holds_secret(project) == []
    assert os.environ.get(name) not in URLS
