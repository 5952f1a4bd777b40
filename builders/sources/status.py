"""Status from the ledger of `acquire`, in less than a second for 200,000 rows and while the stage writes to it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Final

import click
import polars as pl

from mma_bench import layout
from mma_bench.config import Params
from mma_bench.errors import DataError
from mma_bench.executor import reopen
from mma_bench.executor.ledger import parse_entry
from mma_bench.executor.task import SETTLED
from mma_bench.schema import CANDIDATES
from mma_bench.tables import escaped, read_table

_RATE_OVER: Final = timedelta(hours=1)
_COLUMNS: Final = {name: pl.String() for name in ("key", "status", "reason", "at")}


@dataclass(frozen=True)
class Status:
    """The progress of the acquisition.

    Attributes:
        wanted: Clips.
        settled: Those that no later run retries.
        attempts: Ledger rows.
        outcomes: status, reason, clips; unavailable clips last, else most frequent first. Each clip counts by its last
            attempt.
        per_hour: Clips settled per hour, over the last hour with attempts; None with fewer than two.
        last: The last attempt.
    """

    wanted: int
    settled: int
    attempts: int
    outcomes: pl.DataFrame
    per_hour: float | None
    last: datetime | None

    @property
    def remaining(self) -> timedelta | None:
        """Remaining time at the current rate."""
        return timedelta(hours=(self.wanted - self.settled) / self.per_hour) if self.per_hour else None


def read_attempts(path: Path) -> pl.DataFrame:
    """All complete rows of a ledger: `key`, `status`, `reason`, `at`, in chronological order.

    Raises:
        DataError: A row is not a JSON object.
    """
    if not path.is_file():
        return pl.DataFrame(schema=_COLUMNS)
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]  # excludes a row that is still being written
    if not whole:
        return pl.DataFrame(schema=_COLUMNS)
    try:
        return pl.read_ndjson(BytesIO(whole), schema=_COLUMNS)
    except pl.exceptions.PolarsError:
        pass  # perhaps only because of a string that is not Unicode
    try:
        rows = [parse_entry(line) for line in whole.splitlines()]
        columns = {name: [str(row.get(name, "")) for row in rows] for name in _COLUMNS}
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a ledger ({error})", hint="see `mma-bench build acquire`") from None
    return pl.DataFrame({name: [escaped(text) for text in texts] for name, texts in columns.items()}, schema=_COLUMNS)


def status_of(attempts: pl.DataFrame, wanted: pl.Series) -> Status:
    """Compute the status (a pure function).

    Args:
        attempts: From `read_attempts`.
        wanted: The ids of the clips selected by the parameters.
    """
    latest = attempts.unique("key", keep="last").filter(pl.col("key").is_in(wanted.to_list()))
    settled = pl.col("status").is_in(list(SETTLED))
    outcomes = latest.group_by("status", "reason").agg(clips=pl.len())
    times = latest.filter(settled)["at"].drop_nulls().str.to_datetime(time_zone="UTC", strict=False).drop_nulls().sort()
    last, per_hour = (times[-1], None) if len(times) else (None, None)
    if last is not None:
        recent = times.filter(times > last - _RATE_OVER)
        hours = (last - recent[0]).total_seconds() / 3600
        per_hour = (len(recent) - 1) / hours if hours > 0 else None
    return Status(
        wanted=len(wanted),
        settled=latest.filter(settled).height,
        attempts=attempts.height,
        outcomes=outcomes.sort(
            [pl.col("status") == "unavailable", "clips", "status", "reason"], descending=[False, True, False, False]
        ),
        per_hour=per_hour,
        last=last,
    )


def format_status(status: Status, pause: str) -> str:
    """The status as readable text."""
    rate = "" if status.per_hour is None else f", {status.per_hour:,.0f} clips per hour"
    left = status.remaining
    lines = [f"{status.settled:,} of {status.wanted:,} clips are settled after {status.attempts:,} attempts{rate}"]
    if left is not None and status.settled < status.wanted:
        lines.append(f"at this rate the rest takes {str(left).partition('.')[0]} h")
    if status.last is not None:
        lines.append(f"last attempt: {status.last:%Y-%m-%d %H:%M:%S} UTC")
    if pause:
        lines.append(pause)
    lines += [f"{row['clips']:>9,}  {row['status']:<12} {row['reason']}".rstrip() for row in status.outcomes.to_dicts()]
    return "\n".join(lines)


def main(params: Params) -> None:
    """Print the status of this project's acquisition."""
    from mma_bench.builders.sources.selection import chosen

    wanted = chosen(params, read_table(layout.CANDIDATES, CANDIDATES))["clip_id"]
    status = status_of(read_attempts(layout.ledger("acquire")), wanted)
    pause = ""
    if params.acquire.youtube is not None and "youtube" in params.acquire.sources:
        from mma_bench.builders.sources.youtube import PACE, pacer

        if (found := pacer(params.acquire.youtube).pause()) is not None:
            pause = f"paused until {found.until:%Y-%m-%d %H:%M:%S} UTC, {found.reason}: {found.detail} ({PACE})"
    click.echo(format_status(status, pause))


def retry(reason: str) -> int:
    """Make the next build retry the clips that ended with `reason`; returns their number.

    Raises:
        ConfigError: No clip ended with it.
        StageError: The stage is running.
    """
    count = reopen(layout.ledger("acquire"), reason)
    layout.ACQUIRED.unlink(missing_ok=True)  # otherwise `dvc repro` sees nothing to do
    return count
