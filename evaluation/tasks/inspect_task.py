"""The benchmark as an inspect-ai task; the only module that needs inspect-ai.

    export MMA_BENCH_DATASET="$PWD/mma-bench"
    inspect eval "$(mma-bench tasks-path inspect-ai)" -T condition=misaligned --model google/gemini-2.5-pro

The model must accept video with its audio track. inspect-ai runs a task file in the file's own folder, so a dataset's
folder must be given as an absolute path. It stores the clips in its log unless `--no-log-images` is set.
"""

from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, ContentText, ContentVideo, GenerateConfig
from inspect_ai.scorer import Score, Scorer, Target, accuracy, mean, scorer, stderr
from inspect_ai.solver import TaskState, generate

from mma_bench.errors import ConfigError
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.infer import chosen_conditions
from mma_bench.evaluation.protocols import QUESTIONS
from mma_bench.evaluation.tasks.clips import clip_file
from mma_bench.evaluation.tasks.questions import (
    MAX_NEW_TOKENS,
    answer_of,
    dataset_name,
    marks,
    target_of,
    text_of,
)
from mma_bench.schema import Modality

_MARKS = ("accuracy", "unparseable")
# Columns kept as sample metadata: those that scoring reads, and those useful for grouping the log.
_KEPT = ("condition", "base_id", "donor_id", "visual_class", "audio_class", "caption", "class_distance", "options")


@task
def mma_bench(
    condition: str = "aligned", question: str = "both", dataset: str | None = None, split: str = "test"
) -> Task:
    """Forced choice (Figure 5) under one condition, greedy.

    Args:
        condition: aligned, misaligned, audio_removed, frames_zeroed, misleading_caption or long_context; or
            misleading_caption_short_answer or long_context_before, with a different prompt; or audio_dropped,
            which has no audio track.
        question: visual, audio or both.
        dataset: A folder, or ORG/NAME on the Hub; default: MMA_BENCH_DATASET.
        split: test or train.

    Raises:
        ConfigError: The dataset, condition or question does not exist.
    """
    asked = tuple(known for known in QUESTIONS if question in (known, "both"))
    if not asked:
        raise ConfigError(f"unknown question {question!r}", hint="choose visual, audio or both")
    benchmark = Benchmark(dataset or dataset_name(), split=split)
    (condition,) = chosen_conditions(benchmark, [condition])
    samples = [_sample(row, each) for row in benchmark.rows(condition) for each in asked]
    return Task(
        dataset=MemoryDataset(samples, name=f"mma-bench {condition}"),
        solver=generate(),
        scorer=forced_choice(asked),
        config=GenerateConfig(temperature=0.0, max_tokens=MAX_NEW_TOKENS),
    )


def forced_choice(asked: tuple[Modality, ...]) -> Scorer:
    """Marks under the names of `questions.marks`; the standard error is clustered by base clip.

    An unparseable answer is wrong; its reason is invalid_response_format.
    """
    names = [f"{question}_{mark}" for question in asked for mark in _MARKS]

    metrics = {
        name: [mean() if name.endswith("unparseable") else accuracy(), stderr(cluster="base_id")] for name in names
    }

    @scorer(metrics=metrics, name="forced_choice")
    def marked() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            text = state.output.completion
            answer = answer_of(text, state.metadata)
            row = {**state.metadata, f"{state.metadata['question']}_answer": target.text}
            given = marks(text, row, state.metadata["question"])
            return Score(
                # inspect-ai leaves NaN out of its metrics and counts it as unscored.
                value={name: given.get(name, float("nan")) for name in names},
                answer=answer,
                explanation=text,
                reason="invalid_response_format" if answer is None else None,
            )

        return score

    return marked()


def _sample(row: dict[str, Any], question: Modality) -> Sample:
    content = [
        ContentVideo(video=str(clip_file(row, row["video"]["bytes"])), format="mp4"),
        ContentText(text=text_of(row, question)),
    ]
    return Sample(
        id=f"{row['id']}/{question}",
        input=[ChatMessageUser(content=content)],
        target=target_of(row, question),
        metadata={"question": question, **{key: row[key] for key in _KEPT}},
    )
