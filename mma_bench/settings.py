"""YAML files as validated models: finding, reading and reporting errors in one place."""

from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from mma_bench.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def bundled(package: str) -> dict[str, Traversable]:
    """Name → file, for the configs in a package's folder `configs`."""
    folder = resources.files(package) / "configs"
    return {file.name.removesuffix(".yaml"): file for file in folder.iterdir() if file.name.endswith(".yaml")}


def named_file(name_or_path: str, package: str, what: str) -> Traversable:
    """A bundled config by name, or a user's YAML file.

    Args:
        name_or_path: A name of `bundled`, or a path that ends in .yaml or .yml.
        package: As in `bundled`.
        what: The kind of config, for messages.

    Raises:
        ConfigError: There is no such config.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    there = bundled(package)
    if name_or_path not in there:
        raise ConfigError(
            f"there is no {what} {name_or_path!r}",
            hint=f"choose among {', '.join(sorted(there))}, or name a YAML file of your own",
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
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{source} does not exist", hint=hint) from None
    except IsADirectoryError:
        raise ConfigError(f"{source} is a directory", hint="name a file in it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source} is not YAML: {error}", hint="correct the line named") from None


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
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [f"  {problem}" for problem in problems(error, within)]
        raise ConfigError(f"{source} has invalid values:\n" + "\n".join(lines), hint="correct the keys named") from None


def problems(error: ValidationError, within: Iterable[str] = ()) -> list[str]:
    """The errors as lines `key: reason`; keys are prefixed with `within`."""
    return [f"{'.'.join(map(str, (*within, *item['loc']))) or '(top)'}: {item['msg']}" for item in error.errors()]
