"""Responders that prefer senses at known odds are recovered."""

import pytest

from mma_bench.evaluation.trust.senses import followed, pairs, strengths, three_way_tables
from mma_bench.evaluation.trust.sentences import ranking_sentence
from tests.evaluation.trust.responders import three_way


def test_shares_by_question_add_up_and_say_what_is_followed() -> None:
    rows = three_way((0, 0, 0), obeys=0.5, clips=100)
    table = three_way_tables(rows)["three_way"]
    for question, asked in {"visual": "picture", "audio": "sound", "text": "caption"}.items():
        own = {row["followed"]: row["mean"] for row in table if row["question"] == question}
        assert sum(own.values()) == pytest.approx(1)
        assert own[asked] == max(own.values())
        count = sum(followed(row) == "neither" for row in rows if row.question == question)
        assert own["neither"] == pytest.approx(count / 100)


def test_known_strengths_are_recovered_in_their_order() -> None:
    rows = three_way((0.0, -1.0, 1.0), clips=600, obeys=0.3)
    odds = {(row["first"], row["second"]): row["log_odds"] for row in pairs(rows)}
    assert odds["picture", "sound"] == pytest.approx(1, abs=0.3)
    assert odds["picture", "caption"] == pytest.approx(-1, abs=0.3)
    assert odds["sound", "caption"] == pytest.approx(-2, abs=0.3)
    found = {row["sense"]: row["log_odds"] for row in strengths(rows)}
    expected = {"picture": 0.0, "sound": -1.5, "caption": 1.5}  # against the mean of the two others
    assert found == pytest.approx(expected, abs=0.3)
    assert (
        ranking_sentence(pairs(rows), strengths(rows))
        == "Where an answer follows a sense that was not asked about, it is the picture rather than the sound, "
        "the caption rather than the picture and the caption rather than the sound."
    )


def test_the_ranking_does_not_depend_on_how_well_the_model_does_what_it_is_asked() -> None:
    for obeys in (0.1, 0.8):
        (first, *_) = pairs(three_way((1.0, 0.0, 0.0), clips=1000, obeys=obeys))
        assert first["log_odds"] == pytest.approx(1, abs=0.4)


def test_two_questions_suffice() -> None:
    found = pairs(three_way((1.0, 0.0, -1.0), clips=600, obeys=0.2, questions=("visual", "audio")))
    assert found[0]["log_odds"] == pytest.approx(1, abs=0.5), "no question compared picture and sound directly"


def test_what_no_answer_tells_is_open() -> None:
    perfect = three_way((0.0, 0.0, 0.0), obeys=1.0)
    assert all(row["log_odds"] is row["log_odds_low"] is row["log_odds_high"] is None for row in pairs(perfect))
    assert "no order" in ranking_sentence(pairs(perfect), strengths(perfect))
    unconnected = pairs(three_way((1.0, 0.0, 0.0), obeys=0.2, questions=("text",)))
    assert unconnected[0]["log_odds"] is not None
    assert unconnected[1]["log_odds"] is None
    always = pairs(three_way((0.0, 0.0, 50.0), obeys=0.2))
    assert (always[1]["log_odds"], always[1]["log_odds_low"]) == (None, None)
    assert always[1]["log_odds_high"] < 0, "the caption always wins: a bound, and no number"


def test_a_run_without_three_way_conflict_has_no_table() -> None:
    assert three_way_tables([]) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("clips", "truth"), [(14, (0.0, 0.0, 0.0)), (60, (0.5, -0.5, 0.0)), (200, (1.0, 0.0, -1.0))])
def test_intervals_hold(clips: int, truth: tuple[float, float, float]) -> None:
    """40 draws of three pairs: with 95 % each, fewer than 34 have a probability of 0.003."""
    kept = [0, 0, 0]
    for seed in range(40):
        for place, row in enumerate(pairs(three_way(truth, clips, seed, obeys=0.4))):
            one, two = ((0, 1), (0, 2), (1, 2))[place]
            low, high = row["log_odds_low"], row["log_odds_high"]
            kept[place] += (low is None or low <= truth[one] - truth[two]) and (
                high is None or truth[one] - truth[two] <= high
            )
    assert min(kept) >= 34
