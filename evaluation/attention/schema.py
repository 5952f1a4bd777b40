"""The tables of a run. Layers, heads, steps and tokens are counted from 1, as in the paper (its layer 28 is the last).

`state` is `before` for the model without and `after` for the model with the adapter; `base` is the clip that a variant
was made from, the unit of every statistic; `question` is the queried modality.
"""

from typing import Final

import polars as pl

from mma_bench.evaluation.conditions import CONDITIONS
from mma_bench.evaluation.protocols import QUESTIONS
from mma_bench.models.omni.token_groups import GROUPS
from mma_bench.schema import Schema

STATES: Final = ("before", "after")

_STR, _F32, _F64, _I16, _I32 = pl.String(), pl.Float32(), pl.Float64(), pl.Int16(), pl.Int32()
_STATE, _QUESTION, _GROUP = pl.Enum(STATES), pl.Enum(QUESTIONS), pl.Enum(GROUPS)

_ASKED: Final[Schema] = {
    "state": _STATE,
    "clip": _STR,  # the dataset's row id
    "base": _STR,
    "condition": pl.Enum(CONDITIONS),
    "question": _QUESTION,
}
ASKED: Final = tuple(_ASKED)

# Attention of the last query: one row per output step, layer, head and group; `mass` sums to 1 over the groups.
ATTENTION: Final[Schema] = {
    **_ASKED,
    "step": _I16,  # 1: the prompt's last token, which predicts the answer's first token
    "layer": _I16,
    "head": _I16,
    "group": _GROUP,
    "mass": _F32,  # the group's share of the attention
    "square": _F32,  # sum of the squared weights of its tokens
    "tokens": _I32,  # number of its tokens that the query may attend to
    "first_token": _F32,  # the part of `mass` on the sequence's first token; 0 except for text
}
ATTENTION_KEY: Final = (*ASKED, "step", "layer", "head", "group")

# The last layer's weights by token, mean over heads, for a few clips (Figure 19).
TOKENS: Final[Schema] = {
    **_ASKED,
    "step": _I16,
    "written": _STR,  # the answer token generated in this step
    "token": _I32,
    "text": _STR,  # the attended token
    "group": _GROUP,
    "weight": _F32,
}
TOKENS_KEY: Final = (*ASKED, "step", "token")

# Log-probability (natural) of an answer with a modality knocked out; the loss is `intact - cut`.
KNOCKOUT: Final[Schema] = {
    **_ASKED,
    "modality": _GROUP,
    "first_layer": _I16,
    "last_layer": _I16,
    "target": _STR,  # answer: the model's output; expected: the correct class; other: the other modality's class
    "intact": _F64,
    "cut": _F64,
}
KNOCKOUT_KEY: Final = (*ASKED, "modality", "first_layer", "last_layer", "target")

# Every clip and question, including failures.
ANSWERS: Final[Schema] = {
    **_ASKED,
    "status": _STR,  # ok or failed
    "error": _STR,  # "" if ok
    "answer": _STR,
    "named": _STR,  # the class named in the answer; null if none or several
    "expected": _STR,
    "options": _I32,
}

# The dataset's pairs: whose sound a variant has.
DONORS: Final[Schema] = {
    "clip": _STR,
    "base": _STR,
    "condition": _ASKED["condition"],
    "donor": _STR,  # null if the sound is the base clip's own, or none
}
