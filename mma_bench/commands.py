"""Shared by the commands: printing user errors, and options with several values."""

import sys
import traceback
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from mma_bench import extras, layout
from mma_bench.errors import ConfigError, InternalError, MmaBenchError
from mma_bench.faults import advice, machine_fault
from mma_bench.redact import redacted

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

MODEL = click.option(
    "--model",
    required=True,
    help="A name from `mma-bench models`, a model's YAML file, or a checkpoint of Qwen2.5-Omni or Qwen3-Omni: a "
    "folder, or ORG/NAME on the Hub.",
)
NAME = click.option(
    "--name", help="The model's name in the run.  [default: the config's, or the checkpoint's folder or ORG/NAME]"
)
UNCHECKED = click.option(
    "--unchecked", is_flag=True, help="Do not compare each clip with the hashes that the dataset declares."
)


class ReportingGroup(click.Group):
    """Prints a user error as one message without a traceback and exits with the error's exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MmaBenchError as error:
            click.echo(redacted(f"error: {error}"), err=True)
            sys.exit(error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort) as error:  # for click itself to show
            if isinstance(error, click.ClickException):
                vars(error)["message"] = redacted(error.message)
            raise
        except KeyboardInterrupt:
            click.echo("interrupted; finished clips are kept, run the same command again to resume", err=True)
            sys.exit(130)
        except RecursionError:
            click.echo("error: the input is nested too deeply: a folder, or a YAML or JSON file", err=True)
            click.echo("  hint: name a folder or file with fewer levels", err=True)
            sys.exit(1)
        except ModuleNotFoundError as error:
            extra = extras.extra_of(error.name or "")
            if extra is None:  # not an optional package: a bug of ours, or a broken installation
                raise
            missing = extras.missing_extra(str(ctx.invoked_subcommand), extra, [str(error.name)])
            click.echo(f"error: {missing}", err=True)
            sys.exit(missing.exit_code)
        except Exception as error:  # noqa: BLE001 - told as a bug if it is not about a user's file
            fault = machine_fault(error)  # also one that a library has wrapped in an error of its own
            if fault is not None:
                click.echo(redacted(f"error: {fault.detail}"), err=True)
                click.echo(f"  hint: {advice(fault.reason, 'run the same command again')}", err=True)
            elif isinstance(error, OSError) and error.filename is not None:
                click.echo(redacted(f"error: {error.filename}: {error.strerror}"), err=True)
                click.echo("  hint: check that the path is right and writable", err=True)
            else:  # not about a user's file
                click.echo(redacted(traceback.format_exc()), err=True, nl=False)
                click.echo("error: this is a bug in mma-bench; nothing that was finished is lost", err=True)
                click.echo("  hint: report it with the traceback above", err=True)
                sys.exit(InternalError.exit_code)
            sys.exit(1)


class TaskGroup(click.Group):
    """A group with the option --task, which says whose commands follow: those of one group, or of another.

    Args:
        tasks: The groups by task; the first is the default, whose name and help are this group's.
    """

    def __init__(self, tasks: Mapping[str, click.Group]) -> None:
        names = list(tasks)
        first = tasks[names[0]]
        told = "; ".join(f"{name}: {group.get_short_help_str(200).rstrip('.')}" for name, group in tasks.items())
        # Eager, so that it is known when --help lists the commands.
        task = click.Option(["--task"], type=click.Choice(names), default=names[0], is_eager=True, help=told)
        task.show_default = True
        super().__init__(first.name, commands=first.commands, params=[task], help=first.help)
        self._tasks = tasks

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._chosen(ctx).list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._chosen(ctx).get_command(ctx, cmd_name)

    def _chosen(self, ctx: click.Context) -> click.Group:
        return self._tasks[ctx.params.get("task") or next(iter(self._tasks))]


def needs(extra: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """A decorator for a command, directly above its function: it refuses to start without the packages of `extra`."""

    def decorate(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(command)
        def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            extras.require(click.get_current_context().command_path.partition(" ")[2], extra)
            return command(*args, **kwargs)

        return checked

    return decorate


def refuse_dataset(ctx: click.Context, param: click.Parameter, path: Path) -> Path:
    """A callback for `--out`: the dataset's folder is refused, which would no longer be what was built."""
    if path.resolve() == layout.PACKAGE.resolve() or (path / "checksums.sha256").is_file():
        raise click.BadParameter(f"{path} is a dataset's folder; name another one", ctx, param)
    return path


def read_overrides(settings: tuple[str, ...]) -> dict[str, Any]:
    """`KEY=VALUE` pairs; values are parsed as YAML, so that numbers are numbers."""
    from mma_bench.settings import parse_yaml

    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting!r} is not KEY=VALUE", hint="write it as, e.g., --set fps=1.0")
        if key.strip() in pairs:
            raise ConfigError(f"--set {key.strip()} is given twice", hint="give each key once")
        pairs[key.strip()] = parse_yaml(value, f"--set {setting!r}")
    return pairs


def listed(text: str) -> list[str]:
    """The names in a comma-separated option."""
    return [name.strip() for name in text.split(",") if name.strip()]
