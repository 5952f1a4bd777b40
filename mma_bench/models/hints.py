"""What to do about a server's error, by its words and its status."""

import re
from typing import Final

from mma_bench.models.quota import QUOTA_HINT
from mma_bench.models.remote_errors import KEY_HINT

_CONTEXT: Final = (
    r"context.?length|context window|maximum context|max_model_len|input (is )?too long|prompt is too long"
    r"|too many (input )?tokens|token count.{0,40}exceeds|exceeds? .{0,40}(number of|input) tokens"
)
# The first that matches counts. A status says less than words do: services send quota errors as 403, errors about
# locations and context lengths as 400.
_BY_WORDS: Final = (
    (
        _CONTEXT,
        "raise the context length of the server (--max-model-len of vLLM, --context-length of SGLang), or leave the "
        "longest prompts out with --conditions",
    ),
    (
        r"\bquota|insufficient_quota|resource.?exhausted|billing|credit",
        QUOTA_HINT,
    ),
    (
        r"no longer available|no longer supported|(has been|was|is) (retired|shut ?down|deprecated|decommissioned)",
        "the service has retired this model: set `model` to one that it still offers (`mma-bench models check NAME` "
        "lists some), under another name than the published one",
    ),
    (
        r"rate.?limit|too many requests",
        "set a lower concurrency with --set concurrency=1, then run the same command again",
    ),
    (
        r"location (is )?not supported|unsupported_country|(country|region).{0,40}not (supported|available)",
        "the service is not offered where the request comes from: run from a supported place, or use another service",
    ),
    (
        r"(audio|input_audio|video|video_url|image|modalit\w+|multi.?modal).{0,60}"
        r"(not support|unsupported|not available|not allowed|not a multimodal|at most 0|must be ['\"]?text)"
        r"|(not support|unsupported).{0,60}(audio|video|image|modalit)|at most 0 (audio|video|image)",
        "the server does not take these media: start it with audio and video switched on (--limit-mm-per-prompt of "
        "vLLM), or set `sound` to how it takes sound",
    ),
    (
        r"api.?key.{0,40}(invalid|not valid|incorrect|expired|missing)|(invalid|incorrect|expired).{0,20}api.?key",
        KEY_HINT,
    ),
    (
        r"(unsupported|unrecognized|unknown|unexpected|extra|invalid).{0,20}(parameter|argument|field|value|input)"
        r"|extra.?forbidden|extra inputs are not permitted|parameter.{0,40}not supported|unsupported_parameter",
        "the server does not take a parameter that is named in its words: correct extra_body and the other settings",
    ),
    (
        r"connection refused|connect(ion)? (error|failed|attempts failed)|name or service|not known|no route"
        r"|unreachable|disconnected|reset by peer",
        "see that the server runs and that base_url is its address, then run the same command again",
    ),
    (r"no reply within|timed? ?out", "raise timeout_s, or lower concurrency: the server is too slow for what it gets"),
)
_BY_STATUS: Final = {
    "400": "see what the server's words and its log say about the request",
    "401": KEY_HINT,
    "403": "use a key with access to this model",
    "404": "correct `model`, which may have been retired, and `base_url`, which usually ends in /v1",
    "413": "raise the largest request that the server or the proxy before it accepts: clips are sent in the request",
    "422": "correct extra_body and the other settings: the server does not take the request as it is",
    "429": "set a lower concurrency with --set concurrency=1, then run the same command again",
}
_SERVER_FAULT: Final = "see the server's log, then run the same command again"
_TOO_LONG: Final = frozenset({"400", "413", "422"})
_STATUS: Final = re.compile(r"(?:^|: )(\d{3}) ")


def is_over_context(message: str) -> bool:
    """Whether an error, in the form that `hint_for` takes, says that the request is longer than the model's context.

    A limit on tokens per minute has similar words, and the status 429.
    """
    status = _STATUS.search(message)
    return (status is None or status[1] in _TOO_LONG) and re.search(_CONTEXT, message, re.IGNORECASE) is not None


def hint_by_words(message: str) -> str | None:
    """What to do, if the server's words say what is wrong."""
    for pattern, hint in _BY_WORDS:
        if re.search(pattern, message, re.IGNORECASE):
            return hint
    return None


def hint_for(message: str) -> str:
    """What to do about an error that begins with an HTTP status, if there was a reply, and quotes the server."""
    status = _STATUS.search(message)
    return hint_by_words(message) or _BY_STATUS.get(status[1] if status else "", _SERVER_FAULT)
