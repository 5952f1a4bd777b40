"""`mma-bench publish adapter`: a tuned adapter with everything its users need, checked before and after upload.

In: the folder of a finished training run, its model card, and the results of the tuned model. Out: on the Hub the
adapter, the base's processor files, the card, `run.json` and the scores, in one commit, which is then
downloaded and checked on the base model as a user would load it.
"""

import json
import shutil
import tempfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from mma_bench.builders.publish.contents import hashed
from mma_bench.errors import ConfigError
from mma_bench.evaluation.run_folder import read_object
from mma_bench.files import write_json
from mma_bench.hub.cards import refuse_bad_card
from mma_bench.hub.client import Hub
from mma_bench.hub.repository import Repository, compare
from mma_bench.tables import read_json

# The files that peft writes; nothing else in a run's `adapter/` is uploaded.
WEIGHTS: Final = ("adapter_config.json", "adapter_model.safetensors")
SCORES: Final = "scores.json"


def publish_adapter(
    hub: Hub,
    run: Path,
    repo: str,
    *,
    card: Path,
    results: Path,
    base_name: str | None,
    private: bool = False,
    dry_run: bool = False,
) -> None:
    """Publish the adapter of a finished run.

    Args:
        run: Folder that `mma-bench train` wrote.
        repo: `ORG/NAME`; created if it does not exist.
        card: The model card, as `mma-bench adapter card` wrote it.
        results: Folder that `mma-bench evaluate` wrote with this adapter.
        base_name: The base's name on the Hub, if the run loaded it from a folder.

    Raises:
        ConfigError: The run is not finished, its base has no name on the Hub, or the results are of another adapter.
        AdapterError: The adapter fails `adapter check`, locally or as downloaded.
        DataError: The Hub rejects the card's metadata, or a downloaded file differs.
        HubError: The Hub cannot be reached or refuses the request.
    """
    repository = Repository(hub, repo, "model")
    facts = _finished(run)
    base, revision = facts["base"]["checkpoint"], facts["base"]["revision"]
    if (local := Path(base).is_dir()) and base_name is None:
        raise ConfigError(
            f"{run} was tuned from the folder {base}, whose name on the Hub is unknown",
            hint="pass --base-name ORG/NAME",
        )
    _refuse_other_results(run, results)
    _check(str(run / "adapter"), base, None if local else revision)
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder)
        _stage(staged, run, facts, card, results, base_name or base)
        _save_processor(staged, base, None if local else revision)
        refuse_bad_card(hub, staged / "README.md", "model")
        contents = hashed(staged)
        state = repository.state()
        plan = compare(contents, state)
        print(f"{repo}{'' if state.head else ' (a new repository)'}: adapter of {base_name or base}")
        print("\n".join(plan.lines(contents)))
        if dry_run:
            print("dry run: nothing was sent")
            return
        message = f"Adapter, step {facts['best']['step']} of {facts['steps']}"
        commit = repository.send(contents, plan, state.head, message, private=private)
        repository.verify(commit, contents.sha256)
    _check(repo, base, None if local else revision, adapter_revision=commit)
    print(f"published {repo} at {commit}: fetched again and checked")


def _finished(run: Path) -> dict[str, Any]:
    missing = [name for name in ("run.json", *(f"adapter/{name}" for name in WEIGHTS)) if not (run / name).is_file()]
    if missing:
        raise ConfigError(f"{run} has no {missing[0]}: not a finished training run", hint="finish `mma-bench train`")
    facts: dict[str, Any] = read_json(run / "run.json")
    return facts


def _refuse_other_results(run: Path, results: Path) -> None:
    """Require that the scores are those of this adapter."""
    from mma_bench.models.omni.load import locate

    for name in ("run.json", SCORES):
        if not (results / name).is_file():
            raise ConfigError(f"no file {results / name}", hint="finish `mma-bench evaluate` with the adapter")
    measured = read_object(results / "run.json").get("adapter_revision")
    if measured != (ours := locate(str(run / "adapter"), None, WEIGHTS[0]).revision):
        raise ConfigError(
            f"{results} was made with the adapter {measured}, not with {ours}",
            hint=f"evaluate this one: `mma-bench evaluate --adapter {run}/adapter`",
        )


def _check(adapter: str, base: str, revision: str | None, adapter_revision: str | None = None) -> None:
    from mma_bench.training.adapter import check

    for result in check(adapter, base, revision=revision, adapter_revision=adapter_revision):
        print(f"check {result.name}: {result.said}")


def _stage(staged: Path, run: Path, facts: dict[str, Any], card: Path, results: Path, base: str) -> None:
    if not card.is_file():
        raise ConfigError(f"no file {card}", hint=f"write the card: `mma-bench adapter card {run}`")
    shutil.copyfile(card, staged / "README.md")
    pictures = [path for path in sorted(card.parent.glob("*")) if path.suffix in (".png", ".svg")]
    text = card.read_text(encoding="utf-8")
    for picture in pictures:
        if f"({picture.name})" in text:
            shutil.copyfile(picture, staged / picture.name)
    shutil.copyfile(run / "adapter" / WEIGHTS[1], staged / WEIGHTS[1])
    config = json.loads((run / "adapter" / WEIGHTS[0]).read_text(encoding="utf-8"))
    # Local paths are useless to others and private.
    write_json(staged / WEIGHTS[0], _without_folders(config | {"base_model_name_or_path": base}))
    write_json(staged / "run.json", _without_folders(facts | {"base": facts["base"] | {"checkpoint": base}}))
    write_json(staged / SCORES, _without_folders(read_json(results / SCORES)))


def _without_folders(value: Any) -> Any:
    """The same value with each absolute path replaced by its last part."""
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if isinstance(value, str) and "\n" not in value:
        for path in (PurePosixPath(value), PureWindowsPath(value)):
            if path.is_absolute():
                return path.name
    return value


def _save_processor(staged: Path, base: str, revision: str | None) -> None:
    """Save the base's processor files: tokenizer, chat template, video and audio preprocessing."""
    from transformers import AutoProcessor

    with tempfile.TemporaryDirectory() as folder:
        processor: Any = AutoProcessor
        processor.from_pretrained(base, revision=revision).save_pretrained(folder)
        for path in sorted(Path(folder).iterdir()):
            if path.is_file() and not (staged / path.name).exists():
                shutil.copyfile(path, staged / path.name)
