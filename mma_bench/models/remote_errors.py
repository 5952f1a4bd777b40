"""What can go wrong with a request to a server: an answer is missing, or every prompt would be refused."""

from typing import Any, Final

KEY_HINT: Final = "put a valid key into an environment variable, and name it: --set api_key_env=VARIABLE"
REFUSAL_HINTS: Final = {
    402: "pay the account's balance, then run the same command again to resume",
    401: KEY_HINT,
    403: "use a key with access to this model",
    **dict.fromkeys(
        (301, 302, 303, 307, 308),
        "set base_url to the server's own address: a redirect, which would get the key and clips, is not followed",
    ),
}

# What the clients raise themselves on error replies of another form than they expect.
UNREADABLE: Final = (ValueError, TypeError, AttributeError, LookupError, RecursionError)


class Unanswered(Exception):
    """One prompt got no answer, after retries if the error was transient.

    Args:
        message: The reason.
        again: Another attempt may well succeed: a reply came, but without an answer.
        usage: As in `Answer`.
        refused: The server refuses to answer this prompt.
    """

    def __init__(
        self, message: str, *, again: bool = False, usage: dict[str, Any] | None = None, refused: bool = False
    ) -> None:
        super().__init__(message)
        self.again, self.usage, self.refused = again, usage or {}, refused


class Refused(Exception):
    """The server would refuse every prompt (invalid key, no access, unknown model).

    Args:
        message: The server's reply.
        hint: How to fix it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def cleaned(text: str) -> str:
    """`text` with U+FFFD for lone surrogates, which no UTF-8 file can hold, and for NUL."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\x00", "\ufffd")
