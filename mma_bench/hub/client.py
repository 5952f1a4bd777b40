"""The project's Hub client: errors that say what to do, and retries where they help.

The token comes from the environment (HF_TOKEN) or from `hf auth login`; only the client gets it, and it is removed from
every server or library message before display.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from mma_bench.errors import ConfigError, MmaBenchError
from mma_bench.retry import TRANSIENT_STATUSES, backoff, parse_retry_after, wait_at_least

Result = TypeVar("Result")

TRIES: Final = 5
_FIRST_WAIT_S: Final = 2.0
_LONGEST_WAIT_S: Final = 300.0  # if a server asks for a longer wait, this is left to the next run
_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_HINTS: Final = {
    401: "log in again with `hf auth login`, or set HF_TOKEN to a token that is still valid",
    403: "use a token with write access to this repository (a fine-grained token must name it)",
    404: "check ORG/NAME; a private repository needs a token that may read it",
    409: "somebody else is changing this repository; run the same command again when they are done",
    412: "somebody else has committed in the meantime; check the repository, then run the same command again",
    413: "the server rejects a request of this size; lower package.max_shard_mb in params.yaml and run `dvc repro`",
    429: "the server limits requests; run the same command later, uploaded files are kept",
}
_LATER: Final = "the server cannot be reached or fails; run the same command again later, uploaded files are kept"


class HubError(MmaBenchError):
    """The Hub refused a request or cannot be reached; uploaded files are kept, so the same command resumes."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message, hint=_HINTS.get(status or 0, _LATER))
        self.status = status


class _TransientHubError(HubError):
    """A transient failure; `retry_after_s` is the wait requested by the server."""

    def __init__(self, message: str, *, status: int | None, retry_after_s: float | None) -> None:
        super().__init__(message, status=status)
        self.retry_after_s = retry_after_s


def repo_name(name: str) -> str:
    """Check `ORG/NAME`.

    Raises:
        ConfigError: It is malformed.
    """
    if not _REPO.fullmatch(name) or ".." in name or "--" in name:
        raise ConfigError(f"{name!r} is not a repository", hint="give the organisation or user and the name: ORG/NAME")
    return name


class Hub:
    """Calls a client and retries transient failures.

    Args:
        token: None for public reads.
        sleep: Waits the given seconds before a retry.
    """

    def __init__(self, token: str | None, *, sleep: Callable[[float], None] = time.sleep) -> None:
        from huggingface_hub import HfApi

        self.api: HfApi = HfApi(token=token or False, library_name="mma-bench")
        self._token, self._sleep = token, sleep

    def ask(self, what: str, call: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        """Return `call(...)`; transient failures are retried with backoff, never earlier than the server's Retry-After.

        Args:
            what: For messages, e.g. `tag 1.2.0`.

        Raises:
            HubError: Refused, or still failing after TRIES attempts.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(_TransientHubError),
            stop=stop_after_attempt(TRIES),
            wait=wait_at_least(
                lambda error: getattr(error, "retry_after_s", None), backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
            ),
            sleep=self._sleep,
            before_sleep=partial(_announce, what),
            reraise=True,
        )
        result: Result = retrying(lambda: self._attempt(what, partial(call, *args, **kwargs)))
        return result

    def _attempt(self, what: str, call: Callable[[], Result]) -> Result:
        from httpx2 import HTTPError

        try:
            return call()
        except (HTTPError, OSError, RuntimeError, ValueError) as error:  # uploads wrap the original error
            response = _response(error)
            if response is None and not _is_network_error(error):
                raise
            message = f"{what}: {self._message(error)}"
            status = None if response is None else int(response.status_code)
            asked_s = None if response is None else parse_retry_after(response.headers.get("Retry-After"))
            transient = status is None or status in TRANSIENT_STATUSES
            if transient and (asked_s or 0) <= _LONGEST_WAIT_S:
                raise _TransientHubError(message, status=status, retry_after_s=asked_s) from None
            raise HubError(message, status=status) from None

    def exists(self, call: Callable[..., Result], what: str, *args: Any, **kwargs: Any) -> Result | None:
        """As `ask`, but None if there is no such repository, revision or file."""
        try:
            return self.ask(what, call, *args, **kwargs)
        except HubError as error:
            # Without a token the Hub answers 401 for a repository that does not exist.
            if error.status == 404 or (error.status == 401 and self._token is None):
                return None
            raise

    def _message(self, error: BaseException) -> str:
        """The error's message on one line, without the token."""
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
    """The server's response that caused an error, or None."""
    return next((r for link in _chain(error) if (r := getattr(link, "response", None)) is not None), None)


def _is_network_error(error: BaseException) -> bool:
    from httpx2 import TransportError

    return any(isinstance(link, (TransportError, ConnectionError, TimeoutError)) for link in _chain(error))


def _announce(what: str, state: RetryCallState) -> None:
    """Report on stderr why and how long a retry waits."""
    error = state.outcome.exception() if state.outcome else None
    status = error.status if isinstance(error, HubError) else None
    reason = f"status {status}" if status else "no connection"
    wait_s = state.upcoming_sleep
    print(f"{what}: {reason}, again in {wait_s:.0f} s ({state.attempt_number} of {TRIES})", file=sys.stderr, flush=True)
