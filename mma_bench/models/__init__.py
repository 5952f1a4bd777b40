"""Models under test: a config names an engine and its settings; `open_engine` makes it ready to answer.

The configs that come with the package (`configs/*.yaml`) are the paper's eight models and the baselines; a path to a
YAML file of the same form does as well. Engines and what they need are imported when they are opened.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from mma_bench.errors import ConfigError
from mma_bench.models.contracts import Engine
from mma_bench.schema import Condition
from mma_bench.settings import Model, bundled, checked, named_file, read_yaml

EngineName: TypeAlias = Literal[
    "transformers", "openai", "gemini", "process", "random", "majority", "oracle", "specialist"
]

_PACKAGE: Final = "mma_bench.models"


class ModelConfig(BaseModel):
    """One model: which engine answers for it, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(min_length=1)  # what predictions and reports call it
    engine: EngineName
    needs: str  # what must be there before it runs, for a person
    published_as: str | None = None  # its name in the paper's tables
    batch: int = Field(default=1, ge=1)  # clips that go to the engine at once, where the user names no number
    # Conditions that the model cannot take; the command leaves them out and says so.
    without: tuple[str, ...] = Field(default=(), strict=False)
    settings: dict[str, Any] = Field(default_factory=dict)  # checked by the engine's own settings


class ModelRow(NamedTuple):
    """A line of `mma-bench models`."""

    name: str
    engine: str
    needs: str


def list_models() -> list[ModelRow]:
    """The models that come with the package, by name."""
    configs = [checked(ModelConfig, read_yaml(file, name), name) for name, file in bundled(_PACKAGE).items()]
    return sorted(ModelRow(config.name, config.engine, config.needs) for config in configs)


def load_config(name_or_path: str, *, overrides: Mapping[str, Any] | None = None) -> ModelConfig:
    """A config by its name, or from a YAML file.

    Args:
        name_or_path: A name of `list_models`, or a path that ends in .yaml or .yml.
        overrides: Settings that take the place of the config's; their names are checked with the others.

    Raises:
        ConfigError: No such model or file, no YAML, an unknown key, a wrong type; names the key.
    """
    file = named_file(name_or_path, _PACKAGE, "model")
    config = checked(ModelConfig, read_yaml(file, name_or_path), name_or_path)
    changed = config.model_copy(update={"settings": {**config.settings, **(overrides or {})}})
    unknown = [condition for condition in changed.without if condition not in list(Condition)]
    if unknown:
        raise ConfigError(f"{name_or_path}: without: no condition is called {unknown[0]!r}", hint="correct the name")
    return changed


def open_engine(
    name_or_config_path: str, *, adapter: str | None = None, overrides: Mapping[str, Any] | None = None
) -> Engine:
    """Make a model ready to answer; the caller closes it.

    Args:
        name_or_config_path: As in `load_config`.
        adapter: A LoRA adapter's folder or hub id; only `transformers` takes one.
        overrides: As in `load_config`.

    Raises:
        ConfigError: As in `load_config`; settings that the engine refuses; an adapter for another engine.
        MmaBenchError: The engine cannot be had: a client, checkpoint, key or program is missing.
    """
    config = load_config(name_or_config_path, overrides=overrides)
    if adapter is not None and config.engine != "transformers":
        raise ConfigError(
            f"{config.name} is asked through the engine {config.engine}, which takes no adapter",
            hint="name the adapter in the server's own settings, or use a model of the engine transformers",
        )
    settings = {**config.settings, **({"adapter": adapter} if adapter is not None else {})}
    return _open(config, partial(_checked, settings=settings, source=name_or_config_path))


def _open(config: ModelConfig, checked: Any) -> Engine:
    """Each engine's module is imported only here: most need something of their own."""
    if config.engine == "transformers":
        from mma_bench.models.omni.engine import OmniEngine, OmniSettings

        return OmniEngine(checked(OmniSettings), name=config.name)
    if config.engine == "openai":
        from mma_bench.models.openai import OpenaiEngine, OpenaiSettings

        return OpenaiEngine(checked(OpenaiSettings), name=config.name)
    if config.engine == "gemini":
        from mma_bench.models.gemini import GeminiEngine, GeminiSettings

        return GeminiEngine(checked(GeminiSettings), name=config.name)
    if config.engine == "process":
        from mma_bench.models.process import ProcessEngine, ProcessSettings

        return ProcessEngine(checked(ProcessSettings), name=config.name)
    from mma_bench.models import baselines

    kinds = {
        "random": baselines.RandomSettings,
        "majority": baselines.MajoritySettings,
        "oracle": baselines.OracleSettings,
        "specialist": baselines.SpecialistSettings,
    }
    return baselines.open_baseline(config.name, checked(kinds[config.engine]))


def _checked(kind: type[Model], *, settings: Any, source: str) -> Model:
    return checked(kind, settings, source, ("settings",))
