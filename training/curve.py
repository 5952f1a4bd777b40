"""A run's training curve: `log.jsonl`, the DVCLive and TensorBoard logs, and a progress bar.

`log.jsonl` is the source of truth. A run resumed from a checkpoint truncates it to that step and rewrites the other two
from it, so that no step is logged twice.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any, Final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mma_bench.files import write_text
from mma_bench.progress import Progress

_NOT_KEPT: Final = ("runtime", "per_second", "total_flos", "train_loss", "preparation_time", "num_input_tokens")


class Curve(TrainerCallback):
    """Writes the curve; main process only.

    A row of `log.jsonl` has `step`, `epoch`, `seconds` (training time so far, over all sessions) and either `loss`,
    `grad_norm` and `learning_rate`, or the validation metrics `eval_…`.

    Args:
        out: The run's folder.
        since: The step of the checkpoint that the run resumes from, else 0.
    """

    def __init__(self, out: Path, since: int) -> None:
        from dvclive.live import Live
        from torch.utils.tensorboard import SummaryWriter

        self._path = out / "log.jsonl"
        rows = [row for row in read_curve(self._path) if row["step"] <= since]
        write_text(self._path, "".join(json.dumps(row) + "\n" for row in rows))
        self._before = rows[-1]["seconds"] if rows else 0.0
        self._start = time.monotonic()
        shutil.rmtree(out / "dvclive", ignore_errors=True)
        self._live = Live(str(out / "dvclive"), save_dvc_exp=False, dvcyaml=None)
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=since + 1 if since else None)
        for row in rows:
            self._to_live(row)
        self._progress: Progress | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the progress bar."""
        self._progress = Progress("train", state.max_steps - state.global_step, "step")
        self._progress.__enter__()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Advance the progress bar."""
        if self._progress is not None:
            self._progress.advance()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log a row."""
        kept = {name: value for name, value in (logs or {}).items() if not any(part in name for part in _NOT_KEPT)}
        kept.pop("epoch", None)
        if not kept or self._progress is None:
            return
        seconds = round(self._before + time.monotonic() - self._start, 3)
        row = {"step": state.global_step, "epoch": state.epoch, "seconds": seconds, **kept}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._to_live(row)
        for name, value in kept.items():
            self._board.add_scalar(_place(name), value, state.global_step)

    def _to_live(self, row: dict[str, Any]) -> None:
        self._live.step = row["step"]
        for name, value in row.items():
            if name not in ("step", "epoch", "seconds"):
                self._live.log_metric(_place(name), value)
        if "eval_accuracy" in row:
            self._live.make_summary()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close all logs."""
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
        self._live.end()  # type: ignore[no-untyped-call]
        self._board.close()


def _place(name: str) -> str:
    return f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}"


def read_curve(path: Path) -> list[dict[str, Any]]:
    """The rows of a `log.jsonl`; a truncated last line is ignored."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]
