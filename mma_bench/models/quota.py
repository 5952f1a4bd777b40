"""Tells a quota that is used up, for a day or until somebody pays, from a server that is busy for a moment."""

import math
import re
from typing import Final

LONGEST_WAIT_S: Final = 120.0  # that is waited for before a retry
QUOTA_HINT: Final = "raise the quota or wait until it is reset, then run the same command again to resume"
# "You exceeded your current quota" alone tells nothing: Gemini says it of quotas per minute too.
_SPENT: Final = re.compile(
    r"insufficient_quota|billing_hard_limit|billing_not_active|insufficient[\s_](?:balance|credits?|funds)"
    # Gemini's quotaId GenerateRequestsPerDayPerProjectPerModel, OpenRouter's free-models-per-day.
    r"|per[\s_-]?(?:day|week|month)|(?-i:\b[RT]PD\b)"
    r"|(?<![a-z])(?:daily|weekly|monthly)[\s_-]*(?:[a-z]+[\s_-]+){0,2}(?:quota|limit|allowance|budget|cap\b)"
    r"|_(?:daily|weekly|monthly)\b|(?:quota|limit|requests|usage)\s+for\s+to-?day",
    re.IGNORECASE,
)


def is_quota_spent(text: str, wait_s: float | None = None) -> bool:
    """Whether a server's error 429 says that nothing more will be answered soon.

    Args:
        text: The error's body.
        wait_s: The wait that the server requests; None if it requests none.
    """
    return (wait_s or 0) > LONGEST_WAIT_S or _SPENT.search(text) is not None


def asked_wait(wait_s: float | None) -> str:
    """`; it asks to wait for 5 h 20 min`, or "" if the server requests no wait."""
    if not wait_s:
        return ""
    minutes = math.ceil(wait_s / 60)
    hours, minutes = divmod(minutes, 60)
    return "; it asks to wait for " + " ".join(f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min")) if n)
