"""A stand-in of the Hub, a finished project, and a client that does not wait."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mma_bench.hub.client import Hub
from tests.builders.publish import project
from tests.hub import Hub as StandIn
from tests.hub import serving

TOKEN = "hf_thisIsTheSecretOfTheTests"  # noqa: S105


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The server; the real client talks to it, with a cache of its own, and its waits are not slept."""
    import huggingface_hub
    import huggingface_hub.hf_api
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    with serving(TOKEN) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", server.url)  # of the functions without a client
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(_http, "time", SimpleNamespace(**(vars(_http.time) | {"sleep": lambda _: None})))
        huggingface_hub.utils.disable_progress_bars()
        yield server
        huggingface_hub.close_session()
        huggingface_hub.utils.enable_progress_bars()


@pytest.fixture
def waits() -> list[float]:
    """The seconds that `client` waited."""
    return []


@pytest.fixture
def client(hub: StandIn, waits: list[float]) -> Hub:
    """Logged in."""
    return Hub(TOKEN, sleep=waits.append)


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        project.make(root)
    return root


@pytest.fixture
def root(_built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished project at version 1.0.0, a copy of one's own, as the current folder."""
    import shutil

    folder = tmp_path / "project"
    shutil.copytree(_built, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def publish(client: Hub, root: Path) -> Callable[..., None]:
    """Publish `mma-bench/` as `org/mma`."""
    from mma_bench.builders.publish.dataset import publish as call

    def run(version: str = "1.0.0", removed: set[str] | None = None, **options: bool) -> None:
        call(client, Path("mma-bench"), "org/mma", version, removed or set(), **options)

    return run
