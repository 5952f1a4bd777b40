"""What a failure means: real exceptions of yt-dlp, with the words that the site uses."""

from pathlib import Path

import pytest
from yt_dlp.networking.exceptions import IncompleteRead, ProxyError, TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError

from mma_bench.builders.sources import youtube_errors
from mma_bench.builders.sources.youtube_errors import LATER, by_page, classify, retry_after_s
from mma_bench.csv_rows import CsvRow, read_rows


def failed(error: Exception) -> DownloadError:
    """As YoutubeDL.extract_info raises it."""
    return DownloadError(f"ERROR: [youtube] aaaaaaaaaaa: {error}", (type(error), error, None))


class Message(CsvRow):
    """What the site or yt-dlp says, and what it means for the clip."""

    status: str
    reason: str
    source: str
    message: str


MESSAGES = read_rows(Path(__file__).with_name("youtube_messages.csv"), Message, unique=["message"])


@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: f"{row.reason}: {row.message[:60]}")
def test_the_sites_words(row: Message) -> None:
    for error in (ExtractorError(row.message, expected=True), ExtractorError(row.message, video_id="aaaaaaaaaaa")):
        meaning = classify(failed(error), page=True)
        assert (meaning.status, meaning.reason) == (row.status, row.reason)


def test_the_table_is_about_every_meaning() -> None:
    assert len(MESSAGES) >= 60
    assert {row.reason for row in MESSAGES} == {reason for _, _, reason in youtube_errors.MESSAGES} | {"unclassified"}
    assert {reason for _, _, reason in youtube_errors.MESSAGES} >= LATER


@pytest.mark.parametrize("row", [row for row in MESSAGES if row.status == "unavailable"], ids=lambda row: row.message)
def test_nothing_is_final_that_depends_on_network_account_or_day(row: Message) -> None:
    """The same words with a country, a network or an account in them are not about the video."""
    for condition in ("It is not available in your country", "Please check the network administrator restrictions."):
        error = ExtractorError(f"{condition} {row.message}", expected=True)
        assert classify(failed(error), page=True).status == "retry"


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
        (GeoRestrictedError("only somewhere", countries=["NO"]), "retry", "region_blocked"),
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
    assert by_page("<p>An error occurred. Please try again later", "it").status == "retry"
    assert by_page("<p>Video unavailable", "it").status == "retry", (
        "a page at a file's address says nothing of the clip"
    )


def test_no_header_no_wait() -> None:
    assert retry_after_s(failed(ExtractorError("x"))) is None
