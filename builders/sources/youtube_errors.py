"""Classifies a failed download: the video is gone, the failure is transient, or the site refuses us.

yt-dlp's exception types and the HTTP status are checked first, the site's own message second. A failure in neither
table counts as transient: a clip is never marked unavailable on a guess.
"""

import re
from collections.abc import Iterator
from http.client import HTTPException
from typing import Final

from mma_bench.errors import Blocked, ClipError, Permanent, Retryable
from mma_bench.faults import machine_fault
from mma_bench.redact import redacted
from mma_bench.retry import parse_retry_after

# The site's messages, as yt-dlp passes them on; the first match is used, so the more specific come first.
MESSAGES: Final[tuple[tuple[str, type[ClipError], str], ...]] = (
    (r"confirm you.{1,3}re not a bot|captcha|unusual traffic|/sorry/", Blocked, "bot_check"),
    (r"rate-limited|too many requests|try again later", Blocked, "rate_limited"),
    (r"private video|video is private", Permanent, "private"),
    (r"copyright", Permanent, "copyright"),
    (r"account (?:associated with this video )?(?:has been|was) (?:terminated|closed)", Permanent, "account_closed"),
    (r"channel (?:has been|was) (?:terminated|deleted)|uploader has closed", Permanent, "account_closed"),
    (r"removed for violating|violat\w+ YouTube|removed due to", Permanent, "removed_by_site"),
    (r"removed by the (?:uploader|user)|has been (?:removed|deleted)|no longer available", Permanent, "removed"),
    (r"confirm your age|age.restricted|inappropriate for some users", Permanent, "age_restricted"),
    (r"members.only|join this channel|channel.s members", Permanent, "members_only"),
    (r"requires payment|premium|purchase|rent this|paid", Permanent, "paid"),
    (r"live stream recording is not available", Permanent, "removed"),
    (r"premieres in|live event will begin|processing this video", Retryable, "not_yet_there"),
    (r"in your country|geo.?restrict|not available from your location", Permanent, "region_blocked"),
    (r"sign in|log ?in|registered users|--cookies", Blocked, "login_demanded"),
    (r"video unavailable|video is (?:not available|unavailable)|does not exist", Permanent, "unavailable"),
    (r"requested format is not available|no video formats|only images are available", Retryable, "no_format"),
    (r"drm protected", Permanent, "drm"),
)
_PATTERNS: Final = tuple((re.compile(words, re.IGNORECASE), kind, reason) for words, kind, reason in MESSAGES)

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
            return Permanent("region_blocked", detail)
        if isinstance(cause, TransportError | OSError | HTTPException):
            return Retryable("timeout" if "timed out" in str(cause).lower() else "connection_lost", detail)
    for pattern, kind, reason in _PATTERNS:
        if pattern.search(str(error)):
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
        return Blocked("login_demanded", detail) if status != 451 else Permanent("region_blocked", detail)
    if status in _GONE and page:
        return Permanent(f"http_{status}", detail)
    return Retryable(f"http_{status}", detail)


def by_page(text: str, detail: str) -> ClipError:
    """Classify a page of text received instead of a video."""
    for pattern, kind, reason in _PATTERNS:
        if kind is Blocked and pattern.search(text):
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
