"""transformers' `Trainer` with a loss and accuracy over answers, and crash-safe checkpoints."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from torch.nn.functional import cross_entropy
from transformers import EvalPrediction, Trainer, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import rotate_checkpoints

from mma_bench.errors import DataError, MmaBenchError, StageError
from mma_bench.files import fsync, write_json
from mma_bench.tables import read_json
from mma_bench.training.examples import IGNORED, Row
from mma_bench.training.lora import check_gradients

COMPLETE: Final = "complete.json"  # written last; a checkpoint without it is incomplete


class NonFiniteLoss(MmaBenchError):
    """The loss of a step, which was not applied, or of a validation is NaN or infinite."""


class UnreadableClip(DataError):
    """A clip cannot be decoded or processed; the step was not applied."""


class AnswerTrainer(Trainer):
    """Trains on the answer tokens.

    Args:
        tail: Positions at the end of each row that have labels (`Collate`).
        keep_last: Checkpoints to keep besides the best one.
        unreadable: Whether to `stop` at an unreadable clip or to `skip` it.
        **settings: Arguments of `Trainer`.
    """

    def __init__(self, *, tail: int, keep_last: int, unreadable: Literal["stop", "skip"], **settings: Any) -> None:
        super().__init__(**settings)
        self.model_accepts_loss_kwargs = True  # so that Trainer counts the labels of all batches of a step
        self.loss_is_scaled_for_ga = True
        self.skipped: dict[str, str] = {}  # example id → reason
        self._keep_last, self._unreadable, self._gradients_checked = keep_last, unreadable, False
        # Logits only where there are labels: with the 7B vocabulary, all positions would take gigabytes.
        head = self.accelerator.unwrap_model(self.model).get_output_embeddings()
        head.register_forward_pre_hook(lambda _, arguments: (arguments[0][:, -tail:],))

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Cross-entropy of the answers: the mean over all tokens of the optimiser step, across processes.

        In validation it is the mean over examples of the mean over each one's tokens.

        Raises:
            UnreadableClip: Names clip, example and reason.
            NonFiniteLoss: Before the backward pass; names step and examples.
        """
        names = inputs.pop("example_ids")
        faults = inputs.pop("faults")
        if faults and self._unreadable == "stop":
            name, fault = next(iter(faults.items()))
            raise UnreadableClip(
                f"example {name}: {fault}",
                hint="build the dataset again, or skip the clip with --set unreadable=skip",
            )
        self.skipped.update(faults)
        labels = inputs.pop("labels")[:, 1:]
        asked = labels != IGNORED
        logits = model(**inputs, use_cache=False).logits[:, :-1].float()
        each = cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none").sum(dim=1)
        if return_outputs:  # validation: must not depend on batches or processes
            loss = (each / asked.sum(dim=1).clamp(min=1)).mean()
        else:
            count = asked.sum() if num_items_in_batch is None else num_items_in_batch
            loss = each.sum() / max(int(count), 1) * self.accelerator.num_processes
        if not bool(torch.isfinite(loss)):
            when, applied = ("at", "the step was not applied; ") if model.training else ("of the validation after", "")
            step = self.state.global_step + model.training
            there = complete_checkpoints(Path(str(self.args.output_dir)))
            kept = "earlier checkpoints are kept" if there else "there is no checkpoint yet"
            raise NonFiniteLoss(
                f"the loss {when} step {step} is {float(loss.detach())}, with the examples {', '.join(names)}; "
                f"{applied}{kept}",
                hint="lower learning_rate, or set precision to bf16 or fp32, in a new folder",
            )
        if not return_outputs:
            return loss
        right = ((logits.argmax(dim=-1) == labels) | ~asked).all(dim=1).float()
        return loss, {"right": right.masked_fill(~asked.any(dim=1), -1.0)}

    def training_step(self, *arguments: Any, **settings: Any) -> torch.Tensor:
        """As Trainer's; the first call also checks that only the adapter gets gradients."""
        loss: torch.Tensor = super().training_step(*arguments, **settings)
        if not self._gradients_checked:
            check_gradients(self.accelerator.unwrap_model(self.model))
            self._gradients_checked = True
        return loss

    def restore(self, checkpoint: Path) -> bool:
        """Restore the state that Trainer does not; returns whether the checkpoint is that of the last step."""
        self.skipped.update(read_json(checkpoint / COMPLETE)["skipped"])
        state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        if state.global_step < state.max_steps:
            return False
        self.state = state
        return True

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """As Trainer's, but synced to disk and complete before an older one is deleted.

        Raises:
            StageError: It cannot be written; names folder, reason and the checkpoints kept.
        """
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            self.skipped = dict(sorted(gather_object(list(self.skipped.items()))))
            if self.args.should_save:
                for path in folder.iterdir():
                    fsync(path)
                write_json(folder / COMPLETE, {"step": self.state.global_step, "skipped": self.skipped})
        # torch and safetensors wrap the operating system's error in their own.
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            kept = [path.name for path in complete_checkpoints(folder.parent)]
            raise StageError(
                f"{folder} cannot be written: {error}; kept: {', '.join(kept) or 'no checkpoint yet'}",
                hint="free disk space; the same command resumes from the last checkpoint",
            ) from error
        if self.args.should_save:
            best = self.state.best_model_checkpoint
            last = complete_checkpoints(folder.parent)[-self._keep_last :]
            limit = len(last) + (best is not None and Path(best) not in last)
            rotate_checkpoints(str(folder.parent), save_total_limit=limit, best_model_checkpoint=best)


def complete_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints, by step."""
    found = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def accuracies(rows: Sequence[Row], right: "np.ndarray[Any, Any]") -> dict[str, float]:
    """Exact-match accuracy on the validation set: per question, per condition and question, and the questions' mean.

    An answer is correct if, given the correct preceding tokens, each of its tokens and its end token has the highest
    logit. That is equivalent to greedy generation producing the answer.

    Args:
        rows: Of the SFT table.
        right: [rows]: 1, 0, or -1 for a clip that was skipped.
    """
    if len(right) != len(rows):
        raise ValueError(f"{len(right)} results for {len(rows)} examples")
    groups: dict[str, list[float]] = {}
    for row, value in zip(rows, right.tolist(), strict=True):
        if value >= 0:
            groups.setdefault(row["question"], []).append(value)
            groups.setdefault(f"{row['condition']}_{row['question']}", []).append(value)
    shares = {name: float(np.mean(values)) for name, values in sorted(groups.items())}
    return {"accuracy": float(np.mean([shares[name] for name in ("visual", "audio") if name in shares])), **shares}


def metrics_of(rows: Sequence[Row]) -> Any:
    """`accuracies` as Trainer's `compute_metrics`; the validation set is read in order."""
    return lambda prediction: accuracies(rows, _results(prediction))


def _results(prediction: EvalPrediction) -> "np.ndarray[Any, Any]":
    return np.asarray(prediction.predictions)
