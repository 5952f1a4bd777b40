"""Every setting of every engine either changes answers, and identifies a run, or does not, and may be changed."""

from typing import Any

import pytest

from mma_bench.config import Namespace
from mma_bench.models import baselines
from mma_bench.models.contracts import OPERATIONAL
from mma_bench.models.gemini import GeminiSettings
from mma_bench.models.omni.engine import OmniSettings
from mma_bench.models.openai import OpenaiSettings
from mma_bench.models.process import ProcessSettings
from mma_bench.models.remote_settings import RemoteSettings

SERVED = {"model", "revision", "max_new_tokens"}
IDENTIFYING: dict[type[Namespace], set[str]] = {
    OpenaiSettings: SERVED
    | {"sound", "extra_body", "extra_body_by_condition", "reasoning", "opens_thoughts", "length_parameter", "omit"},
    GeminiSettings: SERVED | {"thinking_budget", "reasoning"},
    OmniSettings: set(OmniSettings.model_fields),
    ProcessSettings: {"command", "folder", "max_new_tokens"},
    baselines.RandomSettings: set(baselines.RandomSettings.model_fields),
    baselines.MajoritySettings: set(baselines.MajoritySettings.model_fields),
    baselines.OracleSettings: set(baselines.OracleSettings.model_fields),
    baselines.SpecialistSettings: set(baselines.SpecialistSettings.model_fields),
}


@pytest.mark.parametrize("kind", IDENTIFYING)
def test_every_setting_is_one_or_the_other(kind: type[Namespace]) -> None:
    assert set(kind.model_fields) - OPERATIONAL == IDENTIFYING[kind]


def test_every_engine_is_in_the_table_and_no_name_is_left_over() -> None:
    def below(kind: type[Any]) -> set[type[Any]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    engines = {kind for kind in below(Namespace) if kind.__name__.endswith("Settings")}
    ours = {kind for kind in engines if kind.__module__.startswith("mma_bench.models.")} - {RemoteSettings}
    assert ours - IDENTIFYING.keys() == set()
    assert {name for kind in IDENTIFYING for name in kind.model_fields} >= OPERATIONAL
