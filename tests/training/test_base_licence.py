"""The licence of a base on the Hub is that of its card at the commit, or an error."""

from pathlib import Path

import pytest

from mma_bench.errors import ConfigError, MmaBenchError
from mma_bench.training.base_licence import base_licence
from tests.training.card_run import BASE


def test_the_hub_is_asked_for_the_licence_at_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: some-licence\n---\n# Base\n")
    asked = []

    def download(*arguments: str, **settings: str) -> str:
        asked.append((*arguments, settings["revision"]))
        return str(tmp_path / "README.md")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert base_licence("org/name", "a" * 40, None).name == "some-licence"
    assert asked == [("org/name", "README.md", "a" * 40)]

    def offline(*_arguments: str, **_settings: str) -> str:
        raise LocalEntryNotFoundError("no network\nmore")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(MmaBenchError, match="which states its licence: no network") as caught:
        base_licence("org/name", "a" * 40, None)
    assert "--base-card" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="cannot read the licence of the base model"):
        base_licence("gone/folder", BASE, None)
