"""Accuracy by log-likelihood under several normalisations: a plain sum over an option's tokens favours short names.

| normalisation | score of an option |
|---|---|
| none | the sum of its tokens' log-probabilities: `acc` of lm-evaluation-harness |
| tokens | the sum / its number of tokens (Brown et al., "Language Models are Few-Shot Learners", NeurIPS 2020) |
| characters | the sum / the number of characters of its name: `acc_norm` of lm-evaluation-harness |
| prior | the sum - the sum after the same prompt without the clip: pointwise mutual information (Holtzman et al., "Surface Form Competition", EMNLP 2021) |

The answer, and with it every other table, is without normalisation. Unlike in the harness, the sum includes the
end-of-turn token, which also counts as a token.
"""  # noqa: E501  (a table's row)

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mma_bench.evaluation.cells import Cell, chance, estimated, labelled, outcomes
from mma_bench.evaluation.predictions import Prediction

NORMALISATIONS: Final = {
    "none": "Sum",
    "tokens": "Per token",
    "characters": "Per character",
    "prior": "Minus the prior without the clip",
}


def by_normalisation(cells: Mapping[Cell, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """Accuracy of the cells with scored options, under each normalisation that all their answers have the numbers for.

    A cell whose engine reported nothing but the sums has no rows: its accuracy is in the other tables.
    """
    table = []
    for cell, rows in cells.items():
        scored = [row for row in rows if row.logprobs is not None]
        known = [name for name in NORMALISATIONS if all(likeliest(row, name) is not None for row in scored)]
        if scored and len(known) > 1:
            table += [labelled(cell, _accuracy(scored, name)) for name in known]
    return table


def _accuracy(rows: Sequence[Prediction], normalisation: str) -> dict[str, Any]:
    found = outcomes(rows, lambda row: likeliest(row, normalisation) == row.expected)
    return {"normalisation": normalisation, **estimated(found), "chance": chance(rows)}


def likeliest(row: Prediction, normalisation: str = "none") -> str | None:
    """The option with the highest score, the first one among equals; None if the numbers are missing.

    Both lengths need the number of tokens: an engine that does not report it need not have summed over tokens.
    """
    sums, tokens, prior = row.logprobs, row.option_tokens, row.prior_logprobs
    if sums is None:
        return None
    if normalisation == "none":
        scores = sums
    elif normalisation == "tokens" and tokens is not None:
        scores = {option: sums[option] / tokens[option] for option in sums}
    elif normalisation == "characters" and tokens is not None:
        scores = {option: sums[option] / len(option) for option in sums}
    elif normalisation == "prior" and prior is not None:
        scores = {option: sums[option] - prior[option] for option in sums}
    else:
        return None
    return max(row.options, key=lambda option: scores[option])
