"""Removes secrets from URLs wherever text is printed or stored: passwords, and parameters that hold keys."""

import re
from typing import Any, Final

_HIDDEN: Final = "***"
# With one slash it is a URL that was taken for a path, where `//` is `/`.
_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]+:/{1,2}[^\s'\"<>]+", re.IGNORECASE)
# A password may hold a slash, against the rules.
_USER: Final = re.compile(r"(?<=:/)(/?)(?:[^/?#]*|[^/?#:]+:(?!\d+/)[^@]*)@")
# The part before the `@` alone, as of an address that was split at it: what follows the colon is no port.
_CUT: Final = re.compile(r"(?<=:/)(/?)[^/?#:@]+:(?!\d*$)[^/?#@]+$")
_QUERY: Final = re.compile(r"(?<=[?#])[^\s'\"<>]+")
_PARAMETER: Final = re.compile(
    r"(?<=[?&;#])([\w.~-]*(?:key|token|secret|passw|credential|signature)[\w.~-]*|sig|sas|pwd|auth|code)=[^&;#\s'\"<>)]*",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """`text` with `***` for the user and password, and for the parameters that hold secrets, of the URLs in it."""
    without_users = _URL.sub(lambda url: _CUT.sub(rf"\1{_HIDDEN}", _USER.sub(rf"\1{_HIDDEN}@", url[0], count=1)), text)
    return _PARAMETER.sub(rf"\1={_HIDDEN}", without_users)  # libraries also print a URL without its host


def redacted_address(text: str) -> str:
    """As `redacted`, and with `***` for the whole query and fragment of every URL.

    For addresses of servers, whose gateways give the parameter with the key any name.
    """
    return _URL.sub(lambda url: _QUERY.sub(_HIDDEN, url[0], count=1), redacted(text))


def redacted_settings(settings: Any) -> Any:
    """A copy of JSON-like settings with `redacted_address` applied to every string in it."""
    if isinstance(settings, str):
        return redacted_address(settings)
    if isinstance(settings, dict):
        return {key: redacted_settings(value) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [redacted_settings(value) for value in settings]
    return settings
