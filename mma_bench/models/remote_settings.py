"""Settings common to server-backed engines, and what they say: the address and the API key."""

import os
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pydantic import Field, field_validator

from mma_bench.config import Count, Namespace, Positive
from mma_bench.errors import ConfigError


class RemoteSettings(Namespace):
    """Settings common to server-backed engines. The API key itself is not a setting, only its variable's name."""

    model: str  # the server's name for the model
    revision: str | None = None  # for the record; None uses the model's name, all that a server guarantees
    base_url: str | None = None  # None uses the service's default
    api_key_env: str | None  # environment variable with the key; None if not required
    concurrency: Count = 8  # concurrent requests, whatever the batch
    timeout_s: Positive = 120.0  # per attempt
    max_retries: Annotated[int, Field(ge=0)] = 5  # after 429, 5xx, timeouts and broken connections
    max_requests: Count | None = None  # requests per run; retries are not counted
    max_tokens: Count | None = None  # input and output tokens per run; requests in flight may exceed it
    max_failures: Count = 20  # consecutive failures that stop the run
    max_new_tokens: Count | None = None  # in place of each prompt's own limit, for models whose thoughts count

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a server; write it as, e.g., http://localhost:8000/v1")
        if "@" in parts.netloc:
            raise ValueError("a URL with a user or password is not sent; put the key into the variable of api_key_env")
        return url


def address_of(settings: RemoteSettings) -> tuple[str | None, dict[str, str]]:
    """The base URL without its query, and the query by parameter, e.g. a gateway's version or key."""
    if settings.base_url is None:
        return None, {}
    parts = urlsplit(settings.base_url)
    return urlunsplit(parts._replace(query="", fragment="")), dict(parse_qsl(parts.query))


def api_key(settings: RemoteSettings) -> str | None:
    """The API key from the environment; None if not required.

    Raises:
        ConfigError: The variable is not set; names it.
    """
    if settings.api_key_env is None:
        return None
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key:
        raise ConfigError(
            f"{settings.model} needs an API key, but {settings.api_key_env} is not set",
            hint=f"export {settings.api_key_env}=…",
        )
    return key
