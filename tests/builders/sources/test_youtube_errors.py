"""What a failure means: real exceptions of yt-dlp, with the words that the site uses."""

import pytest
from yt_dlp.networking.exceptions import IncompleteRead, ProxyError, TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError

from mma_bench.builders.sources.youtube_errors import by_page, classify, retry_after_s

YOUTUBE = "Use --cookies-from-browser or --cookies for the authentication. See the FAQ for how to"


def failed(error: Exception) -> DownloadError:
    """As YoutubeDL.extract_info raises it."""
    return DownloadError(f"ERROR: [youtube] aaaaaaaaaaa: {error}", (type(error), error, None))


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (f"Sign in to confirm you’re not a bot. {YOUTUBE}", "blocked", "bot_check"),
        (f"Sign in to confirm you're not a bot. {YOUTUBE}", "blocked", "bot_check"),
        ("Video unavailable. This content isn't available, try again later. The current session has been rate-limited "
         "by YouTube for up to an hour.", "blocked", "rate_limited"),
        (f"Please sign in. {YOUTUBE}", "blocked", "login_demanded"),
        ("The following content is not available on this app. YouTube is requiring a captcha challenge before playback",
         "blocked", "bot_check"),
        (f"Private video. Sign in if you've been granted access to this video. {YOUTUBE}", "unavailable", "private"),
        ("Video unavailable. This video is private", "unavailable", "private"),
        ("Video unavailable. This video is no longer available due to a copyright claim by Someone", "unavailable",
         "copyright"),
        ("Video unavailable. This video contains content from SME, who has blocked it on copyright grounds",
         "unavailable", "copyright"),
        ("Video unavailable. This video is no longer available because the YouTube account associated with this video "
         "has been terminated.", "unavailable", "account_closed"),
        ("This video is no longer available because the uploader has closed their YouTube account.", "unavailable",
         "account_closed"),
        ("This video has been removed by the uploader", "unavailable", "removed"),
        ("This video has been removed for violating YouTube's policy on hate speech.", "unavailable",
         "removed_by_site"),
        (f"Sign in to confirm your age. This video may be inappropriate for some users. {YOUTUBE}", "unavailable",
         "age_restricted"),
        ("Join this channel to get access to members-only content like this video", "unavailable", "members_only"),
        ("The uploader has not made this video available in your country", "unavailable", "region_blocked"),
        ("Video unavailable", "unavailable", "unavailable"),
        ("Premieres in 3 hours", "retry", "not_yet_there"),
        ("Requested format is not available. Use --list-formats for a list of available formats", "retry", "no_format"),
        ("Unable to extract yt initial data", "retry", "unclassified"),
    ],
)  # fmt: skip
def test_the_sites_words(words: str, status: str, reason: str) -> None:
    meaning = classify(failed(ExtractorError(words, expected=True)), page=True)
    assert (meaning.status, meaning.reason) == (status, reason)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (TransportError(cause="Failed to resolve 'www.youtube.com' ([Errno -2] Name or service not known)"), "retry",
         "unreachable"),
        (TransportError(cause="[Errno 111] Connection refused"), "retry", "unreachable"),
        (ProxyError(cause="Unable to connect to proxy"), "retry", "unreachable"),
        (TransportError(cause="The read operation timed out"), "retry", "timeout"),
        (IncompleteRead(10, 90), "retry", "connection_lost"),
        (ConnectionResetError(104, "Connection reset by peer"), "retry", "connection_lost"),
        (GeoRestrictedError("only somewhere", countries=["NO"]), "unavailable", "region_blocked"),
        (UnsupportedError("http://host/page"), "retry", "unexpected_page"),
        (UnsupportedError("https://www.google.com/sorry/index"), "blocked", "bot_check"),
    ],
)  # fmt: skip
def test_exception_types(error: Exception, status: str, reason: str) -> None:
    for wrapped in (error, failed(error), failed(ExtractorError("Unable to download API page", cause=error))):
        if wrapped is not error and isinstance(error, UnsupportedError):
            wrapped = failed(error)
        meaning = classify(wrapped, page=True)
        assert (meaning.status, meaning.reason) == (status, reason)


def test_nothing_secret_and_nothing_unprintable_is_told() -> None:
    words = "no way: http://me:word@host:1/a?token=abc \x1b[31mred\x1b[0m\u202e\n\0 cookie=crumbs"
    detail = classify(failed(ExtractorError(words, expected=True)), page=True, secrets=("crumbs",)).detail
    assert detail.isprintable()
    assert not any(secret in detail for secret in ("word@", "token", "crumbs", "\u202e"))
    assert len(classify(ExtractorError("x" * 5000), page=True).detail) <= 300


def test_a_page_instead_of_a_video() -> None:
    assert by_page("<p>Our systems have detected unusual traffic", "it").status == "blocked"
    assert by_page("<p>Video unavailable", "it").status == "retry", (
        "a page at a file's address says nothing of the clip"
    )


def test_no_header_no_wait() -> None:
    assert retry_after_s(failed(ExtractorError("x"))) is None
