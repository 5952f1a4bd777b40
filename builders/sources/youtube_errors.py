"""Classifies a failed download: the video is gone, the failure is transient, or the site refuses us.

yt-dlp's exception types and the HTTP status are checked first, the site's own message second. A failure in neither
table counts as transient: a clip is never marked unavailable on a guess.

- `Permanent` only for what the site says about the video itself, to everyone: removed, private, account closed.
- `Retryable` for what may differ from another network (region, a school's restrictions), account (age, members) or day.
  Those of `LATER` are retried by later runs only, since waiting for seconds cannot help.
- `Blocked` only for what the site says about us. An answer that could mean either is `Retryable`, and a block only when
  several videos in a row get it (`pacing`).
"""

import re
from collections.abc import Iterator
from http.client import HTTPException
from typing import Final

from mma_bench.errors import Blocked, ClipError, Permanent, Retryable
from mma_bench.faults import machine_fault
from mma_bench.redact import redacted
from mma_bench.retry import parse_retry_after

# The site's messages, as yt-dlp passes them on, from the most special to the broadest: the first match is used. Most
# begin with "Video unavailable.", many mention signing in, whatever the cause is.
MESSAGES: Final[tuple[tuple[str, type[ClipError], str], ...]] = (
    # about us
    (r"confirm you.{1,3}re not a bot|captcha|unusual traffic|/sorry/|automated queries", Blocked, "bot_check"),
    (r"rate-limited|too many requests|content isn't available, try again later", Blocked, "rate_limited"),
    (r"your ip (?:address )?(?:is|has been|is likely being) blocked", Blocked, "ip_blocked"),
    # about the network, the region or the player
    (
        r"workspace administrator|network administrator|google apps account|restricted mode|websense|censorship|"
        r"decision of the russian government",
        Retryable,
        "network_restricted",
    ),
    (
        r"in your (?:country|region|location)|geo.?restrict|from your location|this country domain",
        Retryable,
        "region_blocked",
    ),
    (
        r"on other websites|on this website|on certain sites|not available on this app|not supported on this device|"
        r"watch (?:this video )?on youtube|latest version of youtube",
        Retryable,
        "player_refused",
    ),
    # about the account
    (
        r"confirm your age|age.restricted|age.verif|inappropriate for some (?:users|viewers)",
        Retryable,
        "age_restricted",
    ),
    (
        r"identified by the youtube community|offensive to some audiences|viewer discretion",
        Retryable,
        "content_warning",
    ),
    (r"members.only|join this channel|channel's members", Retryable, "members_only"),
    (r"requires payment|premium|purchase|rent (?:this|or buy)|paid (?:video|channel|content)", Retryable, "paid"),
    # about the video
    (r"private video|video is private", Permanent, "private"),
    (
        r"account (?:associated with this video )?(?:has been|was) (?:terminated|closed|suspended)|closed their|"
        r"uploader has closed|channel (?:has been|was) (?:terminated|deleted|removed)",
        Permanent,
        "account_closed",
    ),
    (r"copyright", Permanent, "copyright"),
    (
        r"removed (?:for|because|due to|following|as a result)|violat\w+ youtube|legal (?:complaint|request)|"
        r"court order|trademark|privacy claim",
        Permanent,
        "removed_by_site",
    ),
    (r"live stream recording is not available", Permanent, "removed"),
    (
        r"removed by the (?:uploader|user|owner)|has been (?:removed|deleted)|no longer (?:available|exists)|"
        r"isn't available anymore|does(?: not|n't) exist",
        Permanent,
        "removed",
    ),
    (r"drm protected", Permanent, "drm"),
    # about today
    (
        r"premieres? (?:in|will)|live event|stream (?:is )?offline|processing (?:this|the) video|being processed|"
        r"check back later|begin shortly",
        Retryable,
        "not_yet_there",
    ),
    (r"requested format is not available|no video formats|only images are available", Retryable, "no_format"),
    (r"sign in|log ?in|registered users", Retryable, "login_demanded"),
    (r"try again later|something went wrong|error occurred|needs to be reloaded", Retryable, "try_again_later"),
    (r"unavailable|(?:is not|isn't) available", Retryable, "unavailable"),
)
_PATTERNS: Final = tuple((re.compile(words, re.IGNORECASE), kind, reason) for words, kind, reason in MESSAGES)

# Not retried within a run: what stands in the way is the account, the network or the day.
LATER: Final = frozenset(
    {
        *("network_restricted", "region_blocked", "player_refused", "age_restricted", "content_warning"),
        *("members_only", "paid", "not_yet_there", "login_demanded", "unavailable"),
    }
)
# yt-dlp's own advice, whose words are about signing in, whatever the site has said.
_ADVICE: Final = re.compile(r"Use --(?:cookies|username)\b.*|You might want to use a VPN.*", re.DOTALL)

# The site cannot be reached, by the system's messages: this says nothing about the clip or the site.
_UNREACHABLE: Final = re.compile(
    r"failed to resolve|name or service not known|temporary failure in name resolution|getaddrinfo|"
    r"no address associated|network is unreachable|no route to host|connection refused|unable to connect to proxy|"
    r"tunnel connection failed",
    re.IGNORECASE,
)
_GONE: Final = frozenset({404, 410})
_LONGEST_DETAIL: Final = 300


def classify(error: BaseException, *, page: bool, secrets: tuple[str, ...] = ()) -> ClipError:
    """What `error`, raised by yt-dlp or while reading what it found, means for the clip.

    Args:
        error: From yt-dlp, its network code, or a lower layer.
        page: Whether it came from the video's page, whose status refers to the video. The status of a media file does
            not: its URL is short-lived.
        secrets: Strings that the message must not contain.
    """
    from yt_dlp.networking.exceptions import HTTPError, ProxyError, TransportError
    from yt_dlp.utils import GeoRestrictedError, UnsupportedError

    if (fault := machine_fault(error)) is not None:
        return fault
    if isinstance(error, ClipError):
        return error
    causes = list(chain(error))
    detail = _detail(error, secrets)
    for cause in causes:
        if isinstance(cause, HTTPError):
            return _by_status(cause.status, cause.redirect_loop, detail, page=page)
    for cause in causes:
        if isinstance(cause, ProxyError) or _UNREACHABLE.search(str(cause)):
            return Retryable("unreachable", detail)
    for cause in causes:
        if isinstance(cause, GeoRestrictedError):
            return Retryable("region_blocked", detail)
        if isinstance(cause, TransportError | OSError | HTTPException):
            return Retryable("timeout" if "timed out" in str(cause).lower() else "connection_lost", detail)
    said = _ADVICE.sub("", str(error)).replace("’", "'")
    for pattern, kind, reason in _PATTERNS:
        if pattern.search(said):
            return kind(reason, detail)
    if any(isinstance(cause, UnsupportedError) for cause in causes):
        return Retryable("unexpected_page", detail)
    return Retryable("unclassified", detail)


def _by_status(status: int, loop: bool, detail: str, *, page: bool) -> ClipError:
    if loop or status in (301, 302, 303, 307, 308):
        return Retryable("redirect_loop", detail)
    if status == 429:
        return Blocked("too_many_requests", detail)
    if status in (401, 402, 407, 451):
        return Blocked("login_demanded", detail) if status != 451 else Retryable("region_blocked", detail)
    if status in _GONE and page:
        return Permanent(f"http_{status}", detail)
    return Retryable(f"http_{status}", detail)


def by_page(text: str, detail: str) -> ClipError:
    """Classify a page of text received instead of a video."""
    for pattern, kind, reason in _PATTERNS:
        if kind is Blocked and pattern.search(text.replace("’", "'")):
            return Blocked(reason, detail)
    return Retryable("unexpected_page", detail)


def chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and its causes, including yt-dlp's own links; each once."""
    visited: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop(0)
        if not isinstance(cause, BaseException) or id(cause) in visited:
            continue
        visited.add(id(cause))
        yield cause
        exc_info = getattr(cause, "exc_info", None)
        waiting += [exc_info[1] if exc_info else None, getattr(cause, "cause", None), cause.__cause__]
        waiting += [cause.__context__] if not cause.__suppress_context__ else []
        waiting += [item for item in cause.args if isinstance(item, BaseException)]


def retry_after_s(error: BaseException) -> float | None:
    """The site's Retry-After in seconds, or None."""
    from yt_dlp.networking.exceptions import HTTPError

    responses = (cause.response for cause in chain(error) if isinstance(cause, HTTPError))
    response = next(responses, None)
    return None if response is None else parse_retry_after(response.get_header("Retry-After"))


def _detail(error: BaseException, secrets: tuple[str, ...]) -> str:
    """The error's message on one line, without colours, URL queries and secrets."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    for secret in secrets:
        text = text.replace(secret, "***")
    text = re.sub(r"(https?://[^\s?\"']*)\?[^\s\"']*", r"\1", redacted(text))
    text = re.sub(r"\(caused by .*|; please report this issue .*", "", text, flags=re.DOTALL)
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text.removeprefix("ERROR: ")[:_LONGEST_DETAIL]
