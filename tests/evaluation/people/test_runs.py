"""People's answers as runs: what is written is a run like any other, and simulated people's truth is in its scores."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mma_bench import stats
from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation import leaderboard, report, score, side_by_side
from mma_bench.evaluation.cells import PEOPLE
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.infer import Plan, infer
from mma_bench.evaluation.people.answers import Sent, record
from mma_bench.evaluation.people.runs import ALL, export
from mma_bench.evaluation.people.status import Progress
from mma_bench.evaluation.people.store import Store
from mma_bench.evaluation.people.study import Item, claim, items_of
from mma_bench.evaluation.predictions import read_predictions
from mma_bench.evaluation.protocols import Protocol, Sampling
from mma_bench.evaluation.submission import write_submission
from mma_bench.models import open_engine
from mma_bench.tables import read_json
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator
from tests.evaluation.people.conftest import BASES, CLASSES, PASSWORD, answer_all, designed
from tests.evaluation.runs import prediction

NAMES = ("annika", "bertil", "carla")


def perfect(item: Item) -> str:
    return item.expected


def first_option(item: Item) -> str:
    return item.options[0]


def wrong(item: Item) -> str:
    return next(name for name in item.options if name != item.expected)


@pytest.fixture
def trio(store: Store) -> dict[str, Annotator]:
    return {name: accounts.add_annotator(store, name, PASSWORD) for name in NAMES}


def answered(
    store: Store, trio: dict[str, Annotator], items: dict[str, Item], **choices: Callable[[Item], str]
) -> None:
    for name, choose in choices.items():
        answer_all(store, trio[name], items, choose)


def test_each_person_and_all_together_are_runs_without_names_and_times(
    store: Store, trio: dict[str, Annotator], items: dict[str, Item], tmp_path: Path
) -> None:
    answered(store, trio, items, annika=perfect, bertil=first_option)
    out = tmp_path / "results/people"
    found = export(store, out)
    codes = sorted(trio[name].code for name in ("annika", "bertil"))
    assert found.folders == (*(out / code for code in codes), out / ALL)
    assert found.unfinished == (("carla", len(items)),)
    for folder in found.folders:
        rows = read_predictions(folder / "predictions.jsonl")
        assert {row.status for row in rows} == {"ok"}
        assert {row.settings["engine"] for row in rows} == {PEOPLE}
        assert all(row.usage.keys() == {"seen_before"} for row in rows)
    alone = read_predictions(out / trio["annika"].code / "predictions.jsonl")
    assert len(alone) == 4 * len(BASES)
    assert alone[0].model == f"person {trio['annika'].code}"
    together = read_predictions(out / ALL / "predictions.jsonl")
    assert len(together) == 2 * len(alone)
    assert together[0].model == "people, n = 2"
    written = "".join(path.read_text() for path in out.rglob("*") if path.is_file())
    for name in NAMES:
        assert name not in written
    assert "seconds" not in written
    assert not list(out.parent.glob(".tmp*"))


def test_the_pooled_accuracy_is_the_mean_of_the_people(
    store: Store, trio: dict[str, Annotator], items: dict[str, Item], tmp_path: Path
) -> None:
    answered(store, trio, items, annika=perfect, bertil=first_option)
    export(store, tmp_path / "people")

    def accuracies(folder: str) -> dict[tuple[str, str], float]:
        rows = read_json(tmp_path / "people" / folder / "scores.json")["accuracy"]
        return {(row["condition"], row["question"]): row["mean"] for row in rows}

    pooled, annika, bertil = (accuracies(name) for name in (ALL, trio["annika"].code, trio["bertil"].code))
    assert pooled == {cell: pytest.approx((annika[cell] + bertil[cell]) / 2) for cell in annika}
    assert set(annika.values()) == {1.0}


@pytest.mark.slow
def test_runs_of_people_go_through_report_comparison_leaderboard_and_submission(
    store: Store, trio: dict[str, Annotator], items: dict[str, Item], dataset: Path, tmp_path: Path
) -> None:
    answered(store, trio, items, annika=perfect, bertil=first_option)
    results = tmp_path / "results"
    export(store, results / "people")
    engine = open_engine("random")
    plan = Plan(("aligned", "misaligned"), (Protocol.FORCED_CHOICE,), Sampling())
    infer(engine, Benchmark(str(dataset)), plan, results / "random", settings={"engine": "random"})
    everybody = read_predictions(results / "people" / ALL / "predictions.jsonl")
    write_submission(everybody, results / "theirs.submission.json")
    score.main(results / "random")
    report.main(results / "people" / ALL, dataset)
    board = leaderboard.main(results, Benchmark(str(dataset)))
    names = {run["model"]: run for run in board["runs"]}
    assert {"people, n = 2", "random", f"person {trio['annika'].code}"} <= names.keys()
    assert all(run["rank"] for run in board["runs"])
    shown = {"dataset": str(dataset), "revision": None, "protocol": "forced_choice", "condition": "misaligned"}
    alone = results / "people" / trio["annika"].code
    side_by_side.main(results / "random", alone, tmp_path / "pairs.html", **shown, clips=1, seed=0)
    with pytest.raises(ConfigError, match="a run of several people has several answers"):
        side_by_side.main(results / "random", results / "people" / ALL, tmp_path / "x.html", **shown, clips=1, seed=0)


@pytest.mark.slow
def test_exporting_again_gives_the_same_bytes_and_later_answers_replace_it(
    store: Store, trio: dict[str, Annotator], items: dict[str, Item], tmp_path: Path
) -> None:
    answered(store, trio, items, annika=perfect)
    out = tmp_path / "people"

    def content() -> dict[str, bytes]:
        export(store, out)
        return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    before = content()
    assert content() == before
    assert not any(name.startswith(ALL) for name in before)  # one person is not pooled
    answered(store, trio, items, bertil=first_option)
    assert any(name.startswith(ALL) for name in content())


def test_nobody_finished_an_unknown_name_and_a_strange_folder_are_refused(
    store: Store, trio: dict[str, Annotator], items: dict[str, Item], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"nobody has answered all {len(items)} questions yet"):
        export(store, tmp_path / "people")
    first = next(iter(items.values()))
    record(store, trio["annika"], Sent(answer_id="a" * 16, item=first.id, option="Cat", seconds=1.0), items)
    with pytest.raises(DataError, match="nobody has answered all"):
        export(store, tmp_path / "people")
    answered(store, trio, items, bertil=perfect)
    with pytest.raises(ConfigError, match="no annotator named 'zoe'"):
        export(store, tmp_path / "people", without=["Zoe"])
    with pytest.raises(DataError, match="nobody has answered all"):
        export(store, tmp_path / "people", without=["BERTIL"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    with pytest.raises(ConfigError, match="holds other files"):
        export(store, tmp_path / "mine")
    assert (tmp_path / "mine/notes.txt").read_text() == "keep"


def test_added_controls_measure_attention_and_are_in_no_run(
    store: Store, trio: dict[str, Annotator], dataset: Path, tmp_path: Path
) -> None:
    design = designed(dataset, "misaligned")
    claim(store, design)
    items = {item.id: item for item in items_of(design)}
    answered(
        store,
        trio,
        items,
        annika=perfect,
        bertil=lambda item: (
            next(name for name in item.options if name != item.expected) if item.control else item.expected
        ),
    )
    found = export(store, tmp_path / "people")
    assert {(who.name, who.controls, who.missed) for who in found.finished} == {("annika", 2, 0), ("bertil", 2, 2)}
    rows = read_predictions(tmp_path / "people" / ALL / "predictions.jsonl")
    assert {row.condition for row in rows} == {"misaligned"}
    kept = read_json(tmp_path / "people/agreement.json")
    assert sorted(who["missed"] for who in kept["people"]) == [0, 2]


def test_abstention_is_answered_with_none_of_the_above(
    store: Store, trio: dict[str, Annotator], dataset: Path, tmp_path: Path
) -> None:
    design = designed(dataset, "audio_removed", protocols=["abstention"])
    claim(store, design)
    items = {item.id: item for item in items_of(design)}
    answered(store, trio, items, annika=perfect)
    found = export(store, tmp_path / "people")
    assert {row["mean"] for row in found.scores["accuracy"]} == {1.0}
    rows = read_predictions(tmp_path / "people" / trio["annika"].code / "predictions.jsonl")
    assert {row.answer for row in rows if row.question == "audio"} == {"None of the above"}


# ---- Known truth -----------------------------------------------------------------------------------------------

SKILL, LED = {"visual": 0.9, "audio": 0.6}, 0.7
SPREAD = 0.08  # of people's skill


def simulated(people: int, clips: int, seed: int) -> list[Any]:
    """Answers about misaligned clips of people whose skill differs: right, led by the other sense, or neither."""
    rng = np.random.default_rng(seed)
    settings = {"engine": PEOPLE, "people": people, "temperature": 1.0, "seeds": list(range(people))}
    rows = []
    for person in range(people):
        better = rng.uniform(-SPREAD, SPREAD)
        for number in range(clips):
            seen, heard = CLASSES[number % 4], CLASSES[(number + 1) % 4]
            for question, (truth, lure) in {"visual": (seen, heard), "audio": (heard, seen)}.items():
                right = rng.random() < SKILL[question] + better
                answer = truth if right else lure if rng.random() < LED else CLASSES[(number + 2) % 4]
                rows.append(
                    prediction(
                        f"clip{number:03}",
                        "misaligned",
                        question,
                        answer,
                        seen=seen,
                        heard=heard,
                        donor_id=f"clip{(number + 1) % clips:03}",
                        seed=person,
                        settings=settings,
                        model=f"people, n = {people}",
                    )
                )
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_the_scores_hold_the_known_skill_and_capture_of_simulated_people(seed: int) -> None:
    scores = score.score(simulated(5, 60, seed))
    for row in scores["headline"]:
        truth = {
            ("accuracy", "visual"): SKILL["visual"],
            ("accuracy", "audio"): SKILL["audio"],
            ("led_by_other", "visual"): (1 - SKILL["visual"]) * LED,
            ("led_by_other", "audio"): (1 - SKILL["audio"]) * LED,
        }.get((row["measure"], row["question"]))
        if truth is not None:
            assert row["low"] <= truth <= row["high"], row


def test_the_interval_covers_other_people_too_which_clips_alone_do_not() -> None:
    """People differ by 5 to 10 points: of intervals over clips alone, many miss the mean of all people."""
    rng = np.random.default_rng(2511)
    people, clips, rounds, mean = 5, 60, 200, 0.75
    base = list(np.tile(np.arange(clips), people))
    person = list(np.repeat(np.arange(people), clips))
    held = {"clips": 0, "clips and people": 0}
    for _ in range(rounds):
        skill = np.clip(mean + rng.uniform(-0.15, 0.15, (people, 1)), 0, 1)
        ease = rng.uniform(-0.1, 0.1, (1, clips))
        right = list((rng.random((people, clips)) < skill + ease).astype(float).ravel())
        for name, ways in (("clips", [base]), ("clips and people", [base, base, person])):
            found = stats.share(right, ways)
            assert found.low is not None
            assert found.high is not None
            held[name] += found.low <= mean <= found.high
    assert held["clips and people"] >= 0.94 * rounds
    assert held["clips"] < 0.85 * rounds


def test_people_who_are_all_right_count_as_many_answers_as_there_are_clips() -> None:
    people, clips = 5, 40
    base = list(np.tile(np.arange(clips), people))
    person = list(np.repeat(np.arange(people), clips))
    alone = stats.share([1.0] * clips, [list(range(clips))])
    found = stats.share([1.0] * (people * clips), [base, base, person])
    assert (found.low, found.high) == (pytest.approx(alone.low), 1.0)


def test_answers_of_a_model_that_is_sampled_are_not_taken_for_people() -> None:
    rows = simulated(3, 20, 0)
    model = [prediction(**{**vars(row), **_model(row)}) for row in rows]
    as_people = score.score(rows)["accuracy"][0]
    as_model = score.score(model)["accuracy"][0]
    assert as_people["mean"] == as_model["mean"]
    assert as_people["high"] - as_people["low"] > as_model["high"] - as_model["low"]


def _model(row: Any) -> dict[str, Any]:
    settings = {**row.settings, "engine": "transformers"}
    return {"base": row.base_id, "settings": json.loads(json.dumps(settings))}


def test_before_the_first_control_none_is_said_to_be_wrong() -> None:
    caught = [Progress("annika", "a-1", 3, controls, missed, 2.0, 0).caught for controls, missed in ((0, 0), (2, 2))]
    assert caught == ["0 of 0", "0 of 2"]
