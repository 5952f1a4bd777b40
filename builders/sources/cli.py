"""`mma-bench acquire …`: monitor and control a download that runs for weeks.

`status` reads the ledger without its lock, so it answers while the build runs.
"""

from pathlib import Path

import click

from mma_bench.commands import needs

_PARAMS = click.option(
    "--params", "params_path", type=click.Path(path_type=Path), default=Path("params.yaml"), show_default=True
)


@click.group()
def acquire() -> None:
    """Monitor and control the acquisition of clips; `mma-bench build acquire` runs it."""


@acquire.command()
@_PARAMS
def status(params_path: Path) -> None:
    """Show the progress so far: counts, rate, remaining time, reasons, and the current pause, if any."""
    from mma_bench.builders.sources.status import main
    from mma_bench.config import load_params

    main(load_params(params_path))


@acquire.command()
@click.argument("clip_or_video")
@click.option("--reason", required=True, help="The reason, in one line; it is published with the list.")
@_PARAMS
def remove(clip_or_video: str, reason: str, params_path: Path) -> None:
    """Remove a clip, or all clips of a video, permanently: its files now, and from every later download and release.

    An id that begins with "-" is written after "--": `mma-bench acquire remove --reason "…" -- -aBcDeFgHiJ`.
    """
    from datetime import UTC, datetime

    from mma_bench.builders.sources.tombstones import main
    from mma_bench.config import load_params

    rule = load_params(params_path).acquire
    done = main(Path(rule.tombstones), clip_or_video, reason, datetime.now(UTC).date())
    told = f"{'is now' if done.new else 'was already'} in {rule.tombstones}; {len(done.removed)} files removed"
    click.echo(f"{clip_or_video}: {told}")
    if not done.is_known:
        click.echo(f"no clip or video here is {clip_or_video}: this is right only if an earlier version had it")
        if done.near:
            click.echo(f"  did you mean {' or '.join(done.near)}? Remove that one, and the line from {rule.tombstones}")
    if rule.licences is not None and Path(rule.licences).is_file():
        from mma_bench.builders.sources.licences import forget

        if forget(Path(rule.licences), clip_or_video):
            click.echo(f"its row is removed from {rule.licences}")
    click.echo(
        "next: commit the list, run `dvc repro`, and publish the result as a new version; "
        "`dvc gc --workspace` removes unused files from DVC's cache"
    )


@acquire.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("licences.csv"),
    show_default=True,
    help="The list, for acquire.licences in params.yaml.",
)
@click.option("--retry", "reason", metavar="REASON", help="Ask again for the videos that ended with this reason.")
@_PARAMS
@needs("build")
def licences(out: Path, reason: str | None, params_path: Path) -> None:
    """Look up the licence, author, title and date of every candidate's video, without its media.

    Prints how large the edition under CC BY would be, the one whose media may be passed on. If interrupted or blocked,
    the same command goes on. A row that is in the list stays as it is and is not looked up again.
    """
    from mma_bench import layout
    from mma_bench.builders.sources.licences import LEDGER, main
    from mma_bench.config import load_params
    from mma_bench.executor import reopen

    params = load_params(params_path)
    if reason is not None:
        reopen(layout.ledger(LEDGER), reason)
    found = main(params, out)
    for line in found.lines({str(split): count for split, count in params.pair.donors.items()}):
        click.echo(line)
    click.echo(
        f"wrote {out}; for that edition, set acquire.licences: {out} and package.licences: [cc-by] in params.yaml"
    )
    if found.stopped is not None:
        raise found.stopped


@acquire.command()
@click.argument("reason")
def retry(reason: str) -> None:
    """Make the next build retry the clips that ended with REASON, e.g. after setting cookies or changing the proxy."""
    from mma_bench.builders.sources import status

    count = status.retry(reason)
    click.echo(f"{count} clips will be retried by `dvc repro`, or `mma-bench build acquire`")


@acquire.command()
@_PARAMS
def freeze(params_path: Path) -> None:
    """Write the manifest of the version in params.yaml: the clips that it holds, by split."""
    from mma_bench import layout
    from mma_bench.config import load_params
    from mma_bench.frozen import MANIFESTS, freeze
    from mma_bench.schema import ALIGNED
    from mma_bench.tables import read_table

    path = MANIFESTS / f"{load_params(params_path).package.version}.csv"
    clips = read_table(layout.ALIGNED, ALIGNED)
    new = freeze(clips, path)
    click.echo(f"{path}: {'written' if new else 'unchanged'}, {clips.height} clips")


COMMANDS = (acquire,)
