"""YAML files as checked models: one way to find and read them, and to say what is wrong with them."""

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
    """Name → file of what comes with a package in its folder `configs`."""
    folder = resources.files(package) / "configs"
    return {file.name.removesuffix(".yaml"): file for file in folder.iterdir() if file.name.endswith(".yaml")}


def named_file(name_or_path: str, package: str, what: str) -> Traversable:
    """A config by its name, or a YAML file of the user's own.

    Args:
        name_or_path: A name of `bundled`, or a path that ends in .yaml or .yml.
        package: As in `bundled`.
        what: What the config describes, for messages.

    Raises:
        ConfigError: No config is called so.
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
    """What a YAML file holds.

    Args:
        file: To read, as UTF-8.
        source: What it is called in messages.
        hint: What to do where there is no such file.

    Raises:
        ConfigError: No such file, or no YAML.
    """
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{source} does not exist", hint=hint) from None
    except IsADirectoryError:
        raise ConfigError(f"{source} is a folder", hint="name a file in it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source} is not YAML: {error}", hint="correct the line that is named") from None


def checked(kind: type[Model], values: Any, source: object, within: Iterable[str] = ()) -> Model:
    """Values as the model that they are to be.

    Args:
        kind: The model.
        values: As `read_yaml` gives them.
        source: Where they are from, for messages.
        within: Keys under which they stand there.

    Raises:
        ConfigError: An unknown or missing key, or a wrong value; names every such key.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [f"  {problem}" for problem in problems(error, within)]
        raise ConfigError(
            f"{source} has values that cannot be used:\n" + "\n".join(lines), hint="correct the keys named"
        ) from None


def problems(error: ValidationError, within: Iterable[str] = ()) -> list[str]:
    """What is wrong with values, each as `key: why`; the keys stand under the keys `within`."""
    return [f"{'.'.join(map(str, (*within, *item['loc']))) or '(top)'}: {item['msg']}" for item in error.errors()]
