"""What only some models can be asked does not take a run out of the ranking."""

from mma_bench.evaluation.predictions import Prediction
from mma_bench.evaluation.ranking import Run, unranked
from mma_bench.prompts import BEYOND_VERSION
from tests.evaluation.runs import answers, prediction


def run(folder: str, *more: Prediction) -> Run:
    rows = [row for row in answers() if row.status == "ok"]
    ids = {row.id for row in rows if row.question == "visual"} & {row.id for row in rows if row.question == "audio"}
    return Run.of(folder, [*(row for row in rows if row.id in ids), *more])


def test_questions_beyond_the_paper_leave_a_run_in_the_ranking() -> None:
    answered = [prediction(f"clip{i}", "no_clip") for i in range(4)]
    refused = [prediction(f"clip{i}", "no_clip", status="unsupported") for i in range(4)]
    timed = [
        prediction("clip00", "aligned", "time", "Yes", protocol="synchrony", prompt_version=BEYOND_VERSION, id=f"t{i}")
        for i in range(2)
    ]
    assert unranked([run("asked", *answered, *timed), run("cannot", *refused), run("paper")]) == {}
