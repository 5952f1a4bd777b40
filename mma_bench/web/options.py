"""Options and steps that the commands of the apps with accounts share."""

import ipaddress
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mma_bench.numbers import FiniteRange

if TYPE_CHECKING:
    from mma_bench.web.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])


def database(default: str, variable: str) -> Callable[[Command], Command]:
    """The option --database.

    Args:
        default: A URL.
        variable: The environment variable that is read instead.
    """
    return click.option(
        "--database",
        envvar=variable,
        default=default,
        show_default=True,
        metavar="URL",
        help="An SQLAlchemy URL, e.g. postgresql+psycopg://USER@HOST/NAME; one with a password belongs in the "
        f"environment variable {variable}.",
    )


def _networks(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ipaddress.ip_network(value)
        except ValueError as error:
            raise click.BadParameter(f"{error}; write it as 10.0.0.7 or 10.0.0.0/24", ctx, param) from None
    return values


_PROXIES = (
    click.option(
        "--public-host",
        "public_hosts",
        multiple=True,
        metavar="NAME",
        help="A name under which people reach the server, e.g. through a proxy; may be repeated. Others are refused.",
    ),
    click.option(
        "--trusted-proxy",
        "proxies",
        multiple=True,
        metavar="ADDRESS",
        callback=_networks,
        help="A proxy, or a network of them, whose X-Forwarded-For is believed; may be repeated.",
    ),
    click.option(
        "--session-hours",
        type=FiniteRange(0, 720, min_open=True),
        default=12,
        show_default=True,
        help="How long a login lasts.",
    ),
)


def address(port: int) -> Callable[[Command], Command]:
    """The options --host and --port, with the default of the latter."""
    at = click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve on.")
    ports = click.IntRange(0, 65535)
    through = click.option("--port", type=ports, default=port, show_default=True, help="0 takes a free one.")
    return lambda command: at(through(command))


def proxies(command: Command) -> Command:
    """The options --public-host, --trusted-proxy and --session-hours."""
    for option in reversed(_PROXIES):
        command = option(command)
    return command


def password(from_stdin: bool) -> str:
    """A new password, from the first line of standard input or asked for twice."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


RESET = click.option("--reset", is_flag=True, help="Set a new password for an existing annotator.")
PASSWORD_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


def make_account(
    store: "Store", name: str, secret: str, *, reset: bool, adjudicator: bool = False, organiser: bool = False
) -> None:
    """Make an account or set its password, and say so."""
    from mma_bench.web import accounts

    if reset:
        accounts.reset_password(store, name, secret)
        click.echo(f"{name} has a new password and is logged out everywhere")
        return
    made = accounts.add_annotator(store, name, secret, adjudicator=adjudicator, organiser=organiser)
    what = "sees the organiser's page" if organiser else f"in exported tables they are {made.code}"
    click.echo(f"{made.name} can log in; {what}")
