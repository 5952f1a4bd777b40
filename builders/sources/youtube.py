"""YouTube as a source, through yt-dlp: the section of a video that is wanted, and nothing more of it.

yt-dlp finds the video and its renditions; the bytes are read by ranges through its own connections (`ranged`), with
its cookies, proxy and TLS, and the section is cut out exactly (`section`). What is finished is kept in
`data/partial/<clip id>/` until the ledger has it, so that a kill at any instant costs no second download.

Cookies and proxy come from the environment, so that no parameter file, lock file or ledger ever holds them:

- `MMA_BENCH_COOKIES`: a cookies file in Netscape's format. It is read, never written to.
- `MMA_BENCH_PROXY`: the address of a proxy, e.g. `socks5://user:password@host:1080`.
"""

import io
import json
import os
import random
import re
import shutil
import urllib.parse
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from mma_bench import layout
from mma_bench.builders.sources.contracts import Fetched, Refusal, Request, Segment
from mma_bench.builders.sources.folder import LICENCE
from mma_bench.builders.sources.pacing import Pacer, RateLimits
from mma_bench.builders.sources.ranged import Limits, RangedFile
from mma_bench.builders.sources.section import cut
from mma_bench.builders.sources.youtube_errors import by_page, chain, classify, retry_after_s
from mma_bench.config import YouTubeParams
from mma_bench.errors import ClipError, ConfigError, InvalidInput, Retryable
from mma_bench.files import clip_path, file_sha256, fingerprint, write_json

COOKIES_VARIABLE: Final = "MMA_BENCH_COOKIES"
PROXY_VARIABLE: Final = "MMA_BENCH_PROXY"
NAME: Final = "YouTube"
PACE: Final = layout.LEDGERS / "acquire.pace.json"

_VERSION: Final = 1  # raise it when another rendition or another cut would be delivered
_ID: Final = re.compile(r"[A-Za-z0-9_-]{11}", re.ASCII)
# Only what goes into MP4 untouched. `?` lets formats pass of which the site does not say the codec.
_FILE: Final = "[protocol~='^https?$'][vcodec~=?'^(none|avc|h264|hev|hvc|vp0?9|av01)']"
_LONGEST_WAIT_S: Final = 60.0


@dataclass(frozen=True)
class Access:
    """What the environment says of the way to the site; shown nowhere."""

    cookies: str  # the text of the file, or ""
    proxy: str

    def __repr__(self) -> str:
        return f"Access(cookies={'***' if self.cookies else 'none'}, proxy={'***' if self.proxy else 'none'})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that no message may hold, longest first."""
        proxy = urllib.parse.urlsplit(self.proxy)
        found = {self.proxy, proxy.password or "", proxy.username or "", proxy.netloc}
        rows = [line.split("\t") for line in self.cookies.splitlines() if line.count("\t") >= 6]
        found |= {row[6].strip() for row in rows}
        return tuple(sorted((text for text in found if len(text) >= 4), key=len, reverse=True))


def access() -> Access:
    """Read the environment.

    Raises:
        ConfigError: The cookies file cannot be read or is none, or the proxy is not an address; tells no secret.
    """
    path, proxy = os.environ.get(COOKIES_VARIABLE, ""), os.environ.get(PROXY_VARIABLE, "")
    cookies = ""
    if path:
        try:
            cookies = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{COOKIES_VARIABLE}: the cookies file cannot be read ({type(error).__name__})",
                hint=f"correct {COOKIES_VARIABLE}, or unset it",
            ) from None
        if not re.match(r"# (?:Netscape )?HTTP Cookie File", cookies):
            raise ConfigError(
                f"{COOKIES_VARIABLE}: not a cookies file in Netscape's format",
                hint="export it from a browser; its first line reads `# Netscape HTTP Cookie File`",
            )
    scheme = urllib.parse.urlsplit(proxy).scheme
    if proxy and scheme not in ("http", "https", "socks4", "socks4a", "socks5", "socks5h"):
        raise ConfigError(
            f"{PROXY_VARIABLE} is not an address of a proxy",
            hint="write it as, e.g., http://host:8080 or socks5://host:1080",
        )
    return Access(cookies, proxy)


class YouTubeSource:
    """Requests for sections; opened once, in the main process, where it starts a run of the pacer.

    Raises:
        ConfigError: yt-dlp is missing, or cookies or proxy cannot be used.
    """

    name = NAME

    def __init__(self, settings: YouTubeParams, *, max_bytes: int) -> None:
        if find_spec("yt_dlp") is None:  # seen before the workers start, which import it
            raise ConfigError("yt-dlp is not installed", hint="pip install 'mma-bench[youtube]'")
        access()
        self._settings, self._max_bytes = settings, max_bytes
        self._revision = fingerprint(NAME, _VERSION, settings.url, settings.extractors, settings.min_height)
        pacer(settings).begin_run()

    def request(self, segment: Segment) -> Request:
        """The download of one section; an id that cannot be YouTube's is refused unasked."""
        if not _ID.fullmatch(segment.video_id):
            return Refusal(InvalidInput("unsafe_id", f"{segment.video_id[:80]!r} is no YouTube id"))
        return YouTubeSection(segment, self._settings, self._max_bytes, self._revision)


def pacer(settings: YouTubeParams) -> Pacer:
    """What all workers of the project share."""
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
        """Download and cut, or take what an earlier run finished but could not enter into the ledger.

        Raises:
            ClipError: See `youtube_errors`, `ranged` and `section`.
        """
        folder = clip_path(layout.PARTIAL_CLIPS, self.segment.clip_id, "")
        done, receipt = folder / "section.mp4", folder / "section.json"
        if not self._is_finished(done, receipt):
            folder.mkdir(parents=True, exist_ok=True)
            self._with_retries(lambda: self._download(folder))
            receipt.unlink(missing_ok=True)
            (folder / "cut.mp4").replace(done)
            write_json(receipt, {"revision": self.revision, "sha256": file_sha256(done)})
            for rest in folder.glob("stream-*"):
                rest.unlink()
        try:
            os.link(done, into)
        except OSError:  # a file system without hard links
            shutil.copyfile(done, into)
        return Fetched(source=NAME, licence=LICENCE, origin=self._page())

    def _is_finished(self, done: Path, receipt: Path) -> bool:
        try:
            told = json.loads(receipt.read_text(encoding="utf-8"))
            return bool(told == {"revision": self.revision, "sha256": file_sha256(done)})
        except (OSError, ValueError):
            return False

    def _page(self) -> str:
        return self.settings.url.replace("{id}", self.segment.video_id)

    def _with_retries(self, download: Callable[[], None]) -> None:
        """Try again what may pass, after longer and longer waits with jitter, within the budget."""
        from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay

        rule = self.settings

        def wait_s(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked_s = retry_after_s(error) if error is not None else None
            usual_s = min(rule.backoff_s * 2.0 ** (state.attempt_number - 1), _LONGEST_WAIT_S)
            jittered_s = random.uniform(0.5, 1.0) * usual_s  # noqa: S311 - limits, no secret
            return min(max(asked_s or 0.0, jittered_s), rule.retry_budget_s)

        Retrying(
            retry=retry_if_exception_type(Retryable),
            stop=stop_after_attempt(rule.attempts) | stop_after_delay(rule.retry_budget_s),
            wait=wait_s,
            reraise=True,
        )(download)

    def _download(self, folder: Path) -> None:
        """One attempt: ask the page, read the ranges, cut.

        Raises:
            ClipError: What the failure means, counted by the pacer.
        """
        from urllib3.exceptions import HTTPError as Urllib3Error
        from yt_dlp.networking.exceptions import HTTPError
        from yt_dlp.utils import YoutubeDLError

        polite, way = pacer(self.settings), access()
        on_page = True
        polite.wait_for_turn()
        try:
            info = _downloader(self.settings, way).extract_info(self._page(), download=False)
            on_page = False
            self._cut(info, folder, way, polite)
        except (YoutubeDLError, OSError, HTTPException, Urllib3Error, ClipError) as error:
            meaning, asked_s = classify(error, page=on_page, secrets=way.secrets), retry_after_s(error)
            for cause in chain(error):
                if isinstance(cause, HTTPError):
                    cause.close()
            raise polite.failed(meaning, asked_s) from error
        polite.succeeded()

    def _cut(self, info: dict[str, Any], folder: Path, way: Access, polite: Pacer) -> None:
        if info.get("is_live"):
            raise Retryable("not_yet_there", f"{self._page()} is a live stream")
        duration = info.get("duration")
        if duration is not None and duration <= self.segment.start_s:
            raise InvalidInput(
                "section_past_end", f"{self._page()} lasts {duration:g} s, wanted is from {self.segment.start_s:g} s on"
            )
        limits = Limits(self.max_bytes, self.settings.min_bytes_per_s, polite.count_bytes)
        ydl = _downloader(self.settings, way)
        sources = [
            RangedFile(
                _asker(ydl, rendition),
                folder / f"stream-{number}",
                f"{self._page()} format {rendition.get('format_id')}",
                limits,
            )
            for number, rendition in enumerate(info.get("requested_formats") or [info])
        ]
        target = folder / "cut.mp4"
        target.unlink(missing_ok=True)
        cut(sources, target, self.segment.start_s, self.segment.end_s, self._page())


def _downloader(settings: YouTubeParams, way: Access) -> Any:
    return _opened(tuple(settings.extractors), settings.min_height, settings.timeout_s, way)


@cache
def _opened(extractors: tuple[str, ...], min_height: int, timeout_s: float, way: Access) -> Any:
    """yt-dlp as this process uses it: no files, no configuration but this, nothing printed."""
    from yt_dlp import YoutubeDL
    from yt_dlp.globals import supported_js_runtimes

    large = f"[height>=?{min_height}]"
    rendition = f"b{large}{_FILE}/bv{large}{_FILE}+ba{_FILE}/b{_FILE}/bv{_FILE}+ba{_FILE}/bv{_FILE}"
    return YoutubeDL(
        {
            "format": rendition,
            "format_sort": [f"res~{min_height}", "vcodec:h264", "acodec:aac"],
            "allowed_extractors": list(extractors),
            "js_runtimes": {name: {} for name in supported_js_runtimes.value},
            "noplaylist": True,
            "quiet": True,
            "noprogress": True,
            "no_warnings": True,
            "logger": _Silence(),
            "socket_timeout": timeout_s,
            "extractor_retries": 0,  # tries again are counted and paced here, not there
            "retries": 0,
            "cookiefile": io.StringIO(way.cookies) if way.cookies else None,
            **({"proxy": way.proxy} if way.proxy else {}),
        }
    )


class _Silence:
    """yt-dlp's messages go nowhere: errors come as exceptions, and addresses in messages may hold secrets."""

    def debug(self, message: str) -> None:
        """Nothing."""

    info = warning = error = debug


def _asker(ydl: Any, rendition: dict[str, Any]) -> Callable[[int, int], "_Response"]:
    """Asks for ranges of one rendition's file."""
    from yt_dlp.networking import Request as HttpRequest

    url, headers = rendition["url"], dict(rendition.get("http_headers") or {})
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise InvalidInput("unsafe_address", "the site gives an address that is neither http nor https")

    def ask(first: int, last: int) -> _Response:
        asked = headers | {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
        return _Response(ydl.urlopen(HttpRequest(url, headers=asked)), url.partition("?")[0])

    return ask


class _Response:
    """`ranged.Response` over yt-dlp's: gives what has come instead of waiting until a piece is full.

    Raises:
        ClipError: A page of text came instead of a video.
    """

    def __init__(self, response: Any, address: str) -> None:
        self._response = response
        self.status: int = response.status
        # Below yt-dlp's `read`, which waits until all bytes asked for are there: a trickle would look like a stall.
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
