"""Models under test: a config specifies an engine and its settings; `open_engine` opens it.

The bundled configs (`configs/*.yaml`) are the paper's eight models and the baselines; a path to a YAML file of the same
form works as well, and so does a checkpoint of a family that the local engine knows. Engines and their dependencies are
imported on opening.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from mma_bench import extras
from mma_bench.errors import ConfigError
from mma_bench.models.contracts import Engine
from mma_bench.models.omni.families import family_of, find_config
from mma_bench.schema import Condition
from mma_bench.settings import Model, bundled, checked, named_file, read_yaml

EngineName: TypeAlias = Literal[
    "transformers", "openai", "gemini", "process", "random", "majority", "oracle", "specialist"
]

_PACKAGE: Final = "mma_bench.models"
_EXTRAS: Final = {"transformers": "local", "gemini": "gemini", "specialist": "specialist"}  # the others need none


class ModelConfig(BaseModel):
    """One model: its engine and settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(min_length=1)  # its name in predictions and reports
    engine: EngineName
    needs: str  # human-readable requirements
    published_as: str | None = None  # its name in the paper's tables
    batch: int = Field(default=1, ge=1)  # default number of clips per engine call
    # Conditions that the model does not support; the command skips them with a notice.
    without: tuple[str, ...] = Field(default=(), strict=False)
    settings: dict[str, Any] = Field(default_factory=dict)  # validated by the engine's settings class


class ModelRow(NamedTuple):
    """A row of `mma-bench models`."""

    name: str
    engine: str
    needs: str


def list_models() -> list[ModelRow]:
    """The bundled models, by name."""
    configs = [checked(ModelConfig, read_yaml(file, name), name) for name, file in bundled(_PACKAGE).items()]
    return sorted(ModelRow(config.name, config.engine, config.needs) for config in configs)


def load_config(
    name_or_path: str, *, overrides: Mapping[str, Any] | None = None, name: str | None = None
) -> ModelConfig:
    """A config by its name, from a YAML file, or for a checkpoint.

    Args:
        name_or_path: A name from `list_models`, a path ending in .yaml or .yml, or a checkpoint: a folder, or ORG/NAME
            on the Hub. Of a checkpoint, config.json is read, which must name a family that the local engine knows.
        overrides: Settings that override the config's; validated like the others.
        name: The model's name in predictions and reports; None uses the config's, or for a checkpoint the folder's name
            or the Hub ID.

    Raises:
        ConfigError: The model or file does not exist, is not YAML, or has an unknown key or a wrong type; names the
            key. Also for what is not a checkpoint, or one of another family.
        MmaBenchError: The checkpoint is not available on the Hub.
    """
    if name is not None and not name.strip():
        raise ConfigError("the model's name is empty", hint="give it a name, or none to use its own")
    overrides = overrides or {}
    if _is_checkpoint(name_or_path):
        config = _config_of(name_or_path, overrides)
    else:
        file = named_file(name_or_path, _PACKAGE, "model", or_else="a checkpoint (a folder, or ORG/NAME on the Hub)")
        config = checked(ModelConfig, read_yaml(file, name_or_path), name_or_path)
    changed = config.model_copy(
        update={"settings": {**config.settings, **overrides}, **({} if name is None else {"name": name})}
    )
    unknown = [condition for condition in changed.without if condition not in list(Condition)]
    if unknown:
        raise ConfigError(f"{name_or_path}: without: unknown condition {unknown[0]!r}", hint="correct the name")
    return changed


def _is_checkpoint(name_or_path: str) -> bool:
    """Whether it names a checkpoint; a bundled config or a YAML file of the same name comes first."""
    if name_or_path.endswith((".yaml", ".yml")) or name_or_path in bundled(_PACKAGE):
        return False
    return "/" in name_or_path or Path(name_or_path).is_dir()


def _config_of(checkpoint: str, overrides: Mapping[str, Any]) -> ModelConfig:
    family = family_of(find_config(checkpoint, overrides.get("revision")), checkpoint)
    folder = Path(checkpoint)
    return ModelConfig(
        name=folder.resolve().name if folder.is_dir() else checkpoint,
        engine="transformers",
        needs=f"pip install 'mma-bench[local]', and a GPU with room for this checkpoint of {family.title}",
        settings={"checkpoint": checkpoint},
    )


def open_engine(
    name_or_config_path: str,
    *,
    adapter: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Engine:
    """Open a model's engine; the caller closes it.

    Args:
        name_or_config_path: As in `load_config`.
        adapter: A LoRA adapter's folder or Hub ID; only `transformers` supports one.
        overrides: As in `load_config`.
        name: As in `load_config`.

    Raises:
        ConfigError: As in `load_config`; also for invalid settings, or an adapter or a remedy for another engine.
        MmaBenchError: The engine is unavailable: a client, checkpoint, key or program is missing.
    """
    config = load_config(name_or_config_path, overrides=overrides, name=name)
    if adapter is not None and config.engine != "transformers":
        raise ConfigError(
            f"{config.name} runs on the engine {config.engine}, which does not support adapters",
            hint="configure the adapter on the server, or use a model with the transformers engine",
        )
    if (remedy := config.settings.get("remedy")) is not None and config.engine != "transformers":
        raise ConfigError(
            f"{config.name} runs on the engine {config.engine}, which cannot apply the remedy {remedy}",
            hint="remedies change how a model computes: use a model with the transformers engine",
        )
    settings = {**config.settings, **({"adapter": adapter} if adapter is not None else {})}
    return _open(config, partial(_checked, settings=settings, source=name_or_config_path))


def _open(config: ModelConfig, checked: Any) -> Engine:
    """Engine modules are imported only here: most have dependencies of their own."""
    if config.engine in _EXTRAS:
        extras.require(config.name, _EXTRAS[config.engine])
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
