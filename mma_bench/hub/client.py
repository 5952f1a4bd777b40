"""The Hub as this project uses it: one client, errors that say what to do, and patience where patience helps.

The token comes from the environment (HF_TOKEN) or from `hf auth login`; it is handed to the client and to nothing
else, and whatever a server or a library says is cleared of it before it is shown.
"""

import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mma_bench.errors import ConfigError, MmaBenchError

if TYPE_CHECKING:
    pass

Result = TypeVar("Result")

TRIES: Final = 5
_LONGEST_WAIT_S: Final = 300.0  # a server that asks for more is obeyed by the next run
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_MENDS: Final = {
    401: "log in anew: `hf auth login`, or set HF_TOKEN to a token that is still valid",
    403: "use a token with write access to this repository (a fine-grained token must name it)",
    404: "check ORG/NAME; a private repository needs a token that may read it",
    409: "somebody else changes this repository just now; run the same command again when they are done",
    412: "somebody else has committed meanwhile; look at the repository, then run the same command again",
    413: "the server refuses a request of this size; lower package.max_shard_mb in params.yaml and run `dvc repro`",
    429: "the server asks for patience; run the same command later, what was sent stays",
}
_LATER: Final = "the server cannot be reached or errs; run the same command again later, what was sent stays"


class HubError(MmaBenchError):
    """The Hub refused a request or cannot be reached; what was sent before stays, so the same command goes on."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message, hint=_MENDS.get(status or 0, _LATER))
        self.status = status


def repo_name(name: str) -> str:
    """Check `ORG/NAME`.

    Raises:
        ConfigError: It has another form.
    """
    if not _REPO.fullmatch(name) or ".." in name or "--" in name:
        raise ConfigError(f"{name!r} is not a repository", hint="give the organisation or user and the name: ORG/NAME")
    return name


class Hub:
    """Calls a client with patience.

    Args:
        token: None to read what is public.
        sleep: Takes seconds.
    """

    def __init__(self, token: str | None, *, sleep: Callable[[float], None] = time.sleep) -> None:
        from huggingface_hub import HfApi

        self.api: HfApi = HfApi(token=token or False, library_name="mma-bench")
        self._token, self._sleep = token, sleep

    def ask(self, what: str, call: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        """Return `call(...)`; a passing fault is waited for, with back-off, or as long as the server asks.

        Args:
            what: For messages, e.g. `tag 1.2.0`.

        Raises:
            HubError: Refused, or still failing after TRIES tries.
        """
        from httpx2 import HTTPError

        for number in range(1, TRIES + 1):
            try:
                return call(*args, **kwargs)
            except (HTTPError, OSError, RuntimeError, ValueError) as error:  # uploads wrap what went wrong
                response = _response(error)
                if response is None and not _is_of_network(error):
                    raise
                status = None if response is None else int(response.status_code)
                wait = _wait(response, number)
                passing = status is None or status in _PASSING
                if not passing or number == TRIES or wait > _LONGEST_WAIT_S:
                    raise HubError(f"{what}: {self._said(error)}", status=status) from None
                shown = f"status {status}" if status else "no connection"
                print(f"{what}: {shown}, again in {wait:.0f} s ({number} of {TRIES})", file=sys.stderr, flush=True)
                self._sleep(wait)
        raise AssertionError("the last try returns or raises")

    def exists(self, call: Callable[..., Result], what: str, *args: Any, **kwargs: Any) -> Result | None:
        """As `ask`, but None if there is no such repository, revision or file."""
        try:
            return self.ask(what, call, *args, **kwargs)
        except HubError as error:
            # Without a token the Hub says of a repository that it does not know that one may not see it.
            if error.status == 404 or (error.status == 401 and self._token is None):
                return None
            raise

    def _said(self, error: BaseException) -> str:
        """What the server said, on one line, without the token."""
        text = " ".join(" ".join(str(link) for link in _chain(error)).split())[:600]
        return text.replace(self._token, "***") if self._token else text


def token_or_refuse() -> str:
    """The user's token.

    Raises:
        ConfigError: There is none.
    """
    from huggingface_hub import get_token

    if (token := get_token()) is None:
        raise ConfigError("no token for the Hub", hint="run `hf auth login`, or set HF_TOKEN")
    return token


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _response(error: BaseException) -> Any:
    """The server's answer behind an error, or None."""
    return next((r for link in _chain(error) if (r := getattr(link, "response", None)) is not None), None)


def _is_of_network(error: BaseException) -> bool:
    from httpx2 import TransportError

    return any(isinstance(link, (TransportError, ConnectionError, TimeoutError)) for link in _chain(error))


def _wait(response: Any, number: int) -> float:
    """Seconds to wait after the `number`-th failure: what the server asks, else doubling from 1 s with jitter."""
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    if asked.isdigit():
        return float(asked)
    return float(2 ** (number - 1)) * (1 + random.random() / 4)  # noqa: S311
