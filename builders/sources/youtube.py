"""YouTube as a source, through yt-dlp: only the requested section of a video.

yt-dlp finds the video and its formats; byte ranges are read through its own connections (`ranged`), with its cookies,
proxy and TLS, and the section is cut out exactly (`section`). A finished clip is kept in `data/partial/<clip id>/`
until it is in the ledger, so that a kill at any instant causes no second download. Cookies and proxy come from the
environment (`youtube_access`).
"""

import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_after_delay

from mma_bench import layout
from mma_bench.builders.sources.contracts import Fetched, Refusal, Request, Segment
from mma_bench.builders.sources.credits import Credit, credit_of
from mma_bench.builders.sources.pacing import Pacer, RateLimits
from mma_bench.builders.sources.ranged import Limits, RangedFile
from mma_bench.builders.sources.section import cut
from mma_bench.builders.sources.youtube_access import Access, access
from mma_bench.builders.sources.youtube_errors import LATER, by_page, chain, classify, retry_after_s
from mma_bench.builders.sources.youtube_info import Format, Video, format_selector, read_video
from mma_bench.config import YouTubeParams
from mma_bench.errors import ClipError, InvalidInput, Retryable
from mma_bench.files import clip_path, file_sha256, fingerprint, write_json
from mma_bench.redact import redacted
from mma_bench.retry import backoff, call_in_time, wait_at_least

NAME: Final = "YouTube"
PACE: Final = layout.LEDGERS / "acquire.pace.json"

_VERSION: Final = 2  # raise it when the choice of rendition or the cut changes
_ID: Final = re.compile(r"[A-Za-z0-9_-]{11}", re.ASCII)
_LONGEST_WAIT_S: Final = 60.0
_DURATION_TOLERANCE_S: Final = 2.0  # the site rounds durations, and picture and sound may end apart


class YouTubeSource:
    """Requests for sections; opened once, in the main process, where it starts the pacer's run.

    Raises:
        ConfigError: Cookies or proxy cannot be used.
    """

    name = NAME

    def __init__(self, settings: YouTubeParams, *, max_bytes: int) -> None:
        access()
        self._settings, self._max_bytes = settings, max_bytes
        self._revision = fingerprint(NAME, _VERSION, settings.url, settings.extractors, settings.min_height)
        pacer(settings).begin_run()

    def request(self, segment: Segment) -> Request:
        """The download of one section; an id that cannot be YouTube's is refused without a request."""
        if not _ID.fullmatch(segment.video_id):
            return Refusal(InvalidInput("unsafe_id", f"{segment.video_id[:80]!r} is not a YouTube id"))
        return YouTubeSection(segment, self._settings, self._max_bytes, self._revision)


def pacer(settings: YouTubeParams) -> Pacer:
    """The pacer that all workers of the project share."""
    limits = RateLimits(
        settings.interval_s, settings.jitter, settings.bytes_per_s, settings.block_after, settings.pause_s
    )
    return Pacer(PACE, limits)


@dataclass(frozen=True)
class YouTubeSection:
    """The request for one section."""

    segment: Segment
    settings: YouTubeParams
    max_bytes: int
    revision: str
    remote = True

    @property
    def suffix(self) -> str:
        """Always MP4."""
        return ".mp4"

    def fetch(self, into: Path) -> Fetched:
        """Download and cut, or take a clip that an earlier run finished but did not record in the ledger.

        Raises:
            ClipError: See `youtube_errors`, `ranged` and `section`.
        """
        folder = clip_path(layout.PARTIAL_CLIPS, self.segment.clip_id, "")
        done, receipt = folder / "section.mp4", folder / "section.json"
        if (credit := self._finished(done, receipt)) is None:
            folder.mkdir(parents=True, exist_ok=True)
            credit = retrying(self.settings)(self._download, folder)
            receipt.unlink(missing_ok=True)
            (folder / "cut.mp4").replace(done)
            kept = {"revision": self.revision, "sha256": file_sha256(done), "credit": asdict(credit)}
            write_json(receipt, kept)
            for leftover in folder.glob("stream-*"):
                leftover.unlink()
        try:
            os.link(done, into)
        except OSError:  # a file system without hard links
            shutil.copyfile(done, into)
        return Fetched(source=NAME, licence=credit.terms, origin=redacted(self._page()), credit=asdict(credit))

    def _finished(self, done: Path, receipt: Path) -> Credit | None:
        """Whose clip an earlier run has finished; None if none has."""
        try:
            kept = json.loads(receipt.read_text(encoding="utf-8"))
            credit = Credit(**kept.pop("credit"))
            return credit if kept == {"revision": self.revision, "sha256": file_sha256(done)} else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def _page(self) -> str:
        return page_of(self.settings, self.segment.video_id)

    def _download(self, folder: Path) -> Credit:
        """One attempt: load the page, read the ranges, cut.

        Raises:
            ClipError: The classified failure, counted by the pacer.
        """
        with _attempt(self.settings, self.segment.video_id) as attempt:
            found = attempt.info()
            self._cut(read_video(found, self._page()), folder, attempt.credentials, attempt.pace)
        return credit_of(found, self.segment.video_id, self._page())

    def _cut(self, video: Video, folder: Path, credentials: Access, pace: Pacer) -> None:
        if video.is_live:
            raise Retryable("not_yet_there", f"{self._page()} is a live stream")
        if video.duration is not None and video.duration <= self.segment.start_s:
            raise InvalidInput(
                "section_past_end",
                f"{self._page()} lasts {video.duration:g} s, wanted is from {self.segment.start_s:g} s on",
            )
        limits = Limits(self.max_bytes, self.settings.min_bytes_per_s, pace.count_bytes)
        ydl = _downloader(self.settings, credentials)
        sources = [
            RangedFile(
                _range_reader(ydl, chosen, self.settings.timeout_s),
                folder / f"stream-{number}",
                f"{self._page()} format {chosen.format_id}",
                limits,
            )
            for number, chosen in enumerate(video.formats)
        ]
        target = folder / "cut.mp4"
        target.unlink(missing_ok=True)
        segment = self.segment
        due_s = 0.0 if video.duration is None else min(video.duration, segment.end_s) - segment.start_s
        try:
            expected = cut(sources, target, segment.start_s, segment.end_s, self._page())
            found_s = float(max(expected.video_end_s, expected.audio_end_s))
        except InvalidInput as error:
            if error.reason != "section_past_end":
                raise
            found_s = 0.0
            if due_s <= _DURATION_TOLERANCE_S:
                raise
        if found_s < due_s - _DURATION_TOLERANCE_S:
            raise Retryable(
                "short_rendition",
                f"{self._page()} lasts {video.duration:g} s, but its rendition has {found_s:.1f} s of the section's "
                f"{due_s:.1f} s",
            )


def page_of(settings: YouTubeParams, video_id: str) -> str:
    """The address of a video's page."""
    return settings.url.replace("{id}", video_id)


def look_up(settings: YouTubeParams, video_id: str) -> Credit:
    """Whose a video is, from its page alone.

    Raises:
        ClipError: See `youtube_errors`.
    """

    def once() -> Credit:
        with _attempt(settings, video_id) as attempt:
            return credit_of(attempt.info(), video_id, page_of(settings, video_id))

    return retrying(settings)(once)


@dataclass
class _Attempt:
    """One look at a video; `on_page` until its page is there."""

    settings: YouTubeParams
    video_id: str
    pace: Pacer
    credentials: Access
    on_page: bool = True

    def info(self) -> Any:
        """The info dict of the video."""
        page = page_of(self.settings, self.video_id)
        extract = partial(_downloader(self.settings, self.credentials).extract_info, page, download=False)
        # The socket's timeout is for each read: bytes that come one by one would never end.
        found = call_in_time(extract, self.settings.retry_budget_s)
        self.on_page = False
        return found


@contextmanager
def _attempt(settings: YouTubeParams, video_id: str) -> Iterator[_Attempt]:
    """Wait for the turn, and classify and count what goes wrong.

    Raises:
        ClipError: The classified failure.
    """
    from urllib3.exceptions import HTTPError as Urllib3Error
    from yt_dlp.networking.exceptions import HTTPError
    from yt_dlp.utils import YoutubeDLError

    attempt = _Attempt(settings, video_id, pacer(settings), access())
    attempt.pace.wait_for_turn()
    try:
        yield attempt
    except (YoutubeDLError, OSError, HTTPException, Urllib3Error, ClipError) as error:
        secrets = attempt.credentials.secrets
        meaning, asked_s = classify(error, page=attempt.on_page, secrets=secrets), retry_after_s(error)
        for cause in chain(error):
            if isinstance(cause, HTTPError):
                cause.close()
        raise attempt.pace.failed(meaning, video_id, asked_s) from error
    attempt.pace.succeeded()


def retrying(settings: YouTubeParams, *, sleep: Callable[[float], None] = time.sleep) -> Retrying:
    """Retries on `Retryable` that a moment may cure (see `youtube_errors.LATER`), with backoff and jitter, within the
    run's limits of attempts and time.
    """
    wait = wait_at_least(retry_after_s, backoff(settings.backoff_s, _LONGEST_WAIT_S))

    def within_budget(state: RetryCallState) -> float:
        return min(wait(state), settings.retry_budget_s)

    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, Retryable) and error.reason not in LATER),
        stop=stop_after_attempt(settings.attempts) | stop_after_delay(settings.retry_budget_s),
        wait=within_budget,
        sleep=sleep,
        reraise=True,
    )


def _downloader(settings: YouTubeParams, credentials: Access) -> Any:
    return _opened(tuple(settings.extractors), settings.min_height, settings.timeout_s, credentials)


@cache
def _opened(extractors: tuple[str, ...], min_height: int, timeout_s: float, credentials: Access) -> Any:
    """A yt-dlp instance that writes no files, reads no configuration and prints nothing."""
    from yt_dlp import YoutubeDL
    from yt_dlp.globals import supported_js_runtimes

    return YoutubeDL(
        {
            "format": format_selector(min_height),
            "format_sort": ["lang", f"res~{min_height}", "vcodec:h264", "acodec:aac"],
            "allowed_extractors": list(extractors),
            "js_runtimes": {name: {} for name in supported_js_runtimes.value},
            "noplaylist": True,
            "quiet": True,
            "noprogress": True,
            "no_warnings": True,
            "logger": _Silence(),
            "socket_timeout": timeout_s,
            "extractor_retries": 0,  # retries are counted and paced by this project
            "retries": 0,
            "cookiefile": io.StringIO(credentials.cookies) if credentials.cookies else None,
            **({"proxy": credentials.proxy} if credentials.proxy else {}),
        }
    )


class _Silence:
    """Discards yt-dlp's messages: errors come as exceptions, and URLs in messages may hold secrets."""

    def debug(self, message: str) -> None:
        """Nothing."""

    info = warning = error = debug


def _range_reader(ydl: Any, chosen: Format, timeout_s: float) -> Callable[[int, int], "_Response"]:
    """Requests ranges of one media file."""
    from yt_dlp.networking import Request as HttpRequest

    if not chosen.url.lower().startswith(("http://", "https://")):
        raise InvalidInput("unsafe_address", "the site gives an address that is neither http nor https")

    def ask(first: int, last: int) -> _Response:
        headers = (chosen.http_headers or {}) | {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
        # Until the headers are there; `RangedFile` limits how slowly the body may come.
        response = call_in_time(lambda: ydl.urlopen(HttpRequest(chosen.url, headers=headers)), timeout_s)
        return _Response(response, chosen.url.partition("?")[0])

    return ask


class _Response:
    """`ranged.Response` over yt-dlp's response: `read` returns the bytes that have arrived instead of waiting for all.

    Raises:
        ClipError: The response is a page of text instead of a video.
    """

    def __init__(self, response: Any, address: str) -> None:
        self._response = response
        self.status: int = response.status
        # Below yt-dlp's `read`, which waits until all requested bytes have arrived: a trickle would look like a stall.
        self._read: Callable[[int], bytes] = getattr(response.fp, "read1", None) or response.fp.read
        if (self.header("Content-Type") or "").partition(";")[0].strip().lower() in ("text/html", "text/plain"):
            with suppress(OSError, HTTPException):
                text = self._read(1 << 16).decode(errors="replace")
                self.close()
                raise by_page(text, f"{address} answers with a page instead of a video")
            raise Retryable("unexpected_page", f"{address} answers with a page instead of a video")

    def header(self, name: str) -> str | None:
        value = self._response.headers.get(name)
        return None if value is None else str(value)

    def read(self, size: int) -> bytes:
        return self._read(size)

    def close(self) -> None:
        self._response.close()
