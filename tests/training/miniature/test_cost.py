"""What remedies cost is measured on the base, each with the settings that it is asked with."""

from pathlib import Path
from typing import Any

import pytest

from mma_bench.models.omni.engine import OmniEngine
from mma_bench.tables import read_json
from mma_bench.training.miniature import cost
from mma_bench.training.miniature.seed import REMEDIES
from tests.evaluation import packaged
from tests.mma_bench.models.omni.omni_plain import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_each_remedy_is_measured_with_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str | None, int]] = []
    answer = OmniEngine.answer

    def counted(engine: OmniEngine, tasks: Any) -> Any:
        asked.append((engine.remedy, len(tasks)))
        return answer(engine, tasks)

    monkeypatch.setattr(OmniEngine, "answer", counted)
    rows = [packaged.packaged_row(base, "misaligned") for base in packaged.BASES]
    dataset = packaged.write(tmp_path / "mma-bench", misaligned=rows)
    cost.main(checkpoint(), dataset, tmp_path / "cost.json")
    found = read_json(tmp_path / "cost.json")
    assert list(found) == ["base", *REMEDIES]
    assert min(found.values()) > 0
    # One clip before the clock starts, then all of them.
    assert asked == [(name, clips) for name in (None, *REMEDIES) for clips in (1, 3)]
