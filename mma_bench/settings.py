"""YAML files as validated models: finding, reading and reporting errors in one place."""

from collections.abc import Hashable, Iterable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import ConstructorError

from mma_bench.errors import ConfigError
from mma_bench.names import choose
from mma_bench.redact import redacted

Model = TypeVar("Model", bound=BaseModel)


def bundled(package: str) -> dict[str, Traversable]:
    """Name → file, for the configs in a package's folder `configs`."""
    folder = resources.files(package) / "configs"
    return {file.name.removesuffix(".yaml"): file for file in folder.iterdir() if file.name.endswith(".yaml")}


def named_file(name_or_path: str, package: str, what: str, *, or_else: str | None = None) -> Traversable:
    """A bundled config by name, or a user's YAML file.

    Args:
        name_or_path: A name of `bundled`, or a path that ends in .yaml or .yml.
        package: As in `bundled`.
        what: The kind of config, for messages.
        or_else: What else the caller takes, for messages.

    Raises:
        ConfigError: There is no such config.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    there = bundled(package)
    if name_or_path not in there and Path(name_or_path).is_file():
        raise ConfigError(
            f"{name_or_path!r} is a file whose name does not end in .yaml", hint="rename it, if it is a YAML file"
        )
    if name_or_path not in there:
        raise ConfigError(
            f"there is no {what} {name_or_path!r}",
            hint=f"{choose(name_or_path, sorted(there))}, or name a YAML file of your own"
            + (f" or {or_else}" if or_else else ""),
        )
    return there[name_or_path]


def read_yaml(file: Traversable, source: object, hint: str = "correct the path") -> Any:
    """The content of a YAML file.

    Args:
        file: The file to read, as UTF-8.
        source: Its name in messages.
        hint: What to do if the file does not exist.

    Raises:
        ConfigError: No such file, or not YAML.
    """
    try:
        return parse_yaml(file.read_text(encoding="utf-8"), source)
    except FileNotFoundError:
        raise ConfigError(f"{source} does not exist", hint=hint) from None
    except IsADirectoryError:
        raise ConfigError(f"{source} is a directory", hint="name a file in it") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source} is not YAML: {error}", hint="save it as UTF-8") from None


class _Loader(yaml.SafeLoader):
    """Values as in JSON: dates stay text. A repeated key is an error, not the last value."""

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]  # a class variable in PyYAML too
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise ConstructorError(None, None, f"the key {key.value!r} is repeated", key.start_mark)
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, source: object) -> Any:
    """The value of a YAML text.

    Args:
        source: Its name in messages.

    Raises:
        ConfigError: Not YAML, a repeated key, a value that cannot be read as its tag says, or nested too deeply.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise ConfigError(f"{source} is nested too deeply", hint="write it with fewer levels") from None
    # ValueError: e.g. `!!int x`, or a number with more digits than Python reads.
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError) as error:
        said = redacted(" ".join(str(error).split()))[:500]
        raise ConfigError(f"{source} is not YAML: {said}", hint="correct the line named") from None


def checked(kind: type[Model], values: Any, source: object, within: Iterable[str] = ()) -> Model:
    """Values validated as a model.

    Args:
        kind: The model.
        values: As returned by `read_yaml`.
        source: Where they come from, for messages.
        within: Keys under which they are found there.

    Raises:
        ConfigError: An unknown or missing key, or a wrong value; names every such key.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{source} {'is empty' if values is None else 'is not a mapping'}", hint="write `key: value` lines in it"
        )
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [f"  {problem}" for problem in problems(error, within)]
        raise ConfigError(f"{source} has invalid values:\n" + "\n".join(lines), hint="correct the keys named") from None


def problems(error: ValidationError, within: Iterable[str] = ()) -> list[str]:
    """The errors as lines `key: reason`; keys are prefixed with `within`."""
    return [f"{'.'.join(map(str, (*within, *item['loc']))) or '(top)'}: {item['msg']}" for item in error.errors()]
