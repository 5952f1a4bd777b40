"""Makes predictions and runs for tests, without a model."""

import json
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from mma_bench.evaluation.predictions import Prediction, to_entry
from mma_bench.files import write_json
from mma_bench.schema import PAPERS_CONDITIONS, Condition

CLASSES = ("Bird", "Cat", "Rain", "Bowed_string_instrument")
SETTINGS = {"temperature": 0.0, "seeds": [0], "fps": 2.0}


def prediction(
    base: str = "clip0",
    condition: str = "aligned",
    question: str = "visual",
    answer: str | None = "Bird",
    *,
    seen: str = "Bird",
    heard: str = "Bird",
    status: str = "ok",
    protocol: str = "forced_choice",
    seed: int = 0,
    **others: Any,
) -> Prediction:
    """One answer about a clip that shows `seen` and sounds like `heard`."""
    right, other = (seen, heard) if question == "visual" else (heard, seen)
    values: dict[str, Any] = {
        "key": f"{base}.{condition}/{question}.{protocol}.{seed}",
        "id": f"{base}.{condition}",
        "base_id": base,
        "donor_id": None,
        "condition": condition,
        "question": question,
        "protocol": protocol,
        "seed": seed,
        "visual_class": seen,
        "audio_class": heard,
        "class_distance": None,
        "caption": None,
        "options": list(CLASSES),
        "expected": right,
        "other": None if other == right else other,
        "status": status,
        "answer": answer if status == "ok" else None,
        "raw": {"ok": answer, "unparseable": "I cannot tell."}.get(status),
        "logprobs": None,
        "error": "HTTP 500 from the server" if status == "failed" else None,
        "usage": {},
        "prompt_version": "1",
        "prompt_sha256": "0" * 64,
        "model": "tiny",
        "model_revision": "r1",
        "adapter": None,
        "adapter_revision": None,
        "settings": SETTINGS,
        "dataset": "mma-bench",
        "dataset_fingerprint": "f" * 64,
    }
    return Prediction(**{**values, **others})


def answers(clips: int = 12, seed: int = 0, skill: float = 0.7, **others: Any) -> list[Prediction]:
    """A model that sees well, hears less and is led by sight, over all conditions; seeded."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, condition, question in product(range(clips), PAPERS_CONDITIONS, ("visual", "audio")):
        seen = CLASSES[number % len(CLASSES)]
        conflict = condition == Condition.MISALIGNED
        heard = CLASSES[(number + 1 + number % 3) % len(CLASSES)] if conflict else seen
        truth, lure = (seen, heard) if question == "visual" else (heard, seen)
        caption = CLASSES[(number + 2) % len(CLASSES)] if condition == Condition.MISLEADING_CAPTION else None
        draw = rng.random()
        answer = truth if draw < (skill if question == "visual" else skill / 2) else lure if draw < 0.9 else "Rain"
        if caption is not None and draw > 0.6:
            answer = caption
        status = "ok" if rng.random() < 0.95 else ("unparseable" if rng.random() < 0.7 else "failed")
        rows.append(
            prediction(
                f"clip{number:02}",
                str(condition),
                question,
                answer,
                seen=seen,
                heard=heard,
                status=status,
                caption=caption,
                class_distance=2 + number % 3 if conflict else None,
                **others,
            )
        )
    return rows


def write_predictions(path: Path, rows: Iterable[Prediction]) -> Path:
    """As `infer` leaves them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(to_entry(row)) + "\n" for row in rows))
    return path


def write_run(out: Path, rows: Sequence[Prediction], **others: Any) -> Path:
    """predictions.jsonl and run.json."""
    write_predictions(out / "predictions.jsonl", rows)
    first = rows[0]
    run = {
        "model": first.model,
        "model_revision": first.model_revision,
        "adapter": first.adapter,
        "adapter_revision": first.adapter_revision,
        "dataset": first.dataset,
        "dataset_revision": None,
        "split": "test",
        "prompt_version": first.prompt_version,
        "settings": first.settings,
    }
    write_json(out / "run.json", {**run, **others})
    return out
