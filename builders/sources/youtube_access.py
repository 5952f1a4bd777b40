"""Cookies and proxy for YouTube, from the environment; they are never stored in a parameter file, lock file or ledger.

- `MMA_BENCH_COOKIES`: a cookies file in Netscape's format. It is only read, never written.
- `MMA_BENCH_PROXY`: the URL of a proxy, e.g. `socks5://user:password@host:1080`.
"""

import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mma_bench.errors import ConfigError

COOKIES_VARIABLE: Final = "MMA_BENCH_COOKIES"
PROXY_VARIABLE: Final = "MMA_BENCH_PROXY"


@dataclass(frozen=True)
class Access:
    """Cookies and proxy from the environment; never shown."""

    cookies: str  # the text of the file, or ""
    proxy: str

    def __repr__(self) -> str:
        return f"Access(cookies={'***' if self.cookies else 'none'}, proxy={'***' if self.proxy else 'none'})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The strings that no message may contain, longest first."""
        proxy = urllib.parse.urlsplit(self.proxy)
        found = {self.proxy, proxy.password or "", proxy.username or "", proxy.netloc}
        rows = [line.split("\t") for line in self.cookies.splitlines() if line.count("\t") >= 6]
        found |= {row[6].strip() for row in rows}
        return tuple(sorted((text for text in found if len(text) >= 4), key=len, reverse=True))


def access() -> Access:
    """Read the environment.

    Raises:
        ConfigError: The cookies file cannot be read or is invalid, or the proxy is not a URL; reveals no secret.
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
            f"{PROXY_VARIABLE} is not the address of a proxy",
            hint="write it as, e.g., http://host:8080 or socks5://host:1080",
        )
    return Access(cookies, proxy)
