"""One small dataset with its SFT table for all tests of a process, with a cache of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.publish.conftest import client, hub, waits
from tests.training import small as making

__all__ = ["client", "hub", "waits"]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    import datasets

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `dataset/` and `sft/`."""
    return making.write(tmp_path_factory.mktemp("small"))
