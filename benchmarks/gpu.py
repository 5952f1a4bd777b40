"""The local engine, `attend` and `train` on a GPU at the models' true size, in at most 8 minutes.

    python benchmarks/gpu.py --out results/gpu           # one GPU of 80 GB
    python benchmarks/gpu.py --small --out results/gpu   # everything at tiny shapes on the CPU: does it run?

Thinkers of the published shapes get random weights on the device; nothing is downloaded but Qwen's vocabulary, 2.6 MB,
which is looked for in the cache first (MMA_BENCH_CACHE). Every part runs in a process of its own, with its own time:
one that fails, runs out of memory or out of time leaves a row that says so and does not end the others. Out: a table on
the screen, and with --out the files gpu.json and gpu.md.
"""

import argparse
import importlib
import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).parents[1]
BOX_S: Final = 480.0  # for everything
NEEDS: Final = (  # distributions, as pip names them
    *("torch", "torchvision", "transformers", "accelerate", "peft", "av", "numpy", "polars", "pydantic", "pyyaml"),
    *("scipy", "jinja2", "click", "platformdirs", "safetensors", "tokenizers", "huggingface-hub", "datasets"),
)
OPTIONAL: Final = ("flash-attn",)


@dataclass(frozen=True)
class Part:
    """A step of its own: a module of `gpu_parts`, the model, and its seconds."""

    name: str
    family: str
    seconds: float


PARTS: Final = (
    Part("asking", "qwen2_5_omni", 100),
    Part("scoring", "qwen2_5_omni", 75),
    Part("attending", "qwen2_5_omni", 60),
    Part("tuning", "qwen2_5_omni", 100),
    Part("decoding", "qwen2_5_omni", 45),
    Part("scoring", "qwen3_omni", 90),
)


def facts(small: bool) -> dict[str, Any]:
    """The card and the versions; read by a process of its own, since a process that used CUDA cannot be forked."""
    import torch

    found: dict[str, Any] = {"card": None, "torch": torch.__version__, "cuda": torch.version.cuda}
    if not small and torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found |= {"card": card.name, "memory_gib": round(card.total_memory / 2**30, 1)}
    return found


def work(part: Part | None, small: bool, sender: Connection) -> None:
    """Runs in the part's process; sends its rows one by one. Without a part it sends `facts`."""
    sys.path.insert(0, str(PROJECT))
    try:
        if part is None:
            sender.send(facts(small))
            return
        models: Any = importlib.import_module("benchmarks.gpu_parts.models")
        module: Any = importlib.import_module(f"benchmarks.gpu_parts.{part.name}")
        for row in module.measure(models.Setting(part.family, small, part.seconds)):
            sender.send(asdict(row))
    except Exception as error:  # noqa: BLE001 (whatever it is becomes a row)
        lines = (str(error).strip() or type(error).__name__).splitlines()
        sender.send(_row("failed", note=f"{type(error).__name__}: {lines[0][:300]}"))


def _row(measure: str, value: float | None = None, unit: str = "", note: str = "") -> dict[str, Any]:
    return {"measure": measure, "value": value, "unit": unit, "note": note}


def rows_of(part: Part | None, small: bool, limit: float) -> Iterator[dict[str, Any]]:
    """What a part sends within `limit` seconds; the last row tells why it did not finish, if so."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "transformers", "peft"])  # imported once; CUDA starts in each process
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(part, small, sender))
    process.start()
    sender.close()
    until, failed = time.monotonic() + limit, False
    try:
        while receiver.poll(max(0.0, until - time.monotonic())):
            row = receiver.recv()
            failed |= row.get("measure") == "failed"
            yield row
        yield _row("out of time", note=f"ended after {limit:.0f} s")
    except EOFError:
        process.join(10)
        if process.exitcode and not failed:
            yield _row("failed", note=f"its process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()


def missing(names: Sequence[str]) -> list[str]:
    """Those that are not installed."""
    absent = []
    for name in names:
        try:
            version(name)
        except PackageNotFoundError:
            absent.append(name)
    return absent


def markdown(run: dict[str, Any]) -> str:
    """The table, and what it was measured on."""
    lines = [
        f"{run['machine'].get('card') or 'CPU, tiny shapes: the figures say only that everything runs'}; "
        + ", ".join(f"{name} {number}" for name, number in run["versions"].items()),
        "",
        "| Part | Model | Measure | Value | Note |",
        "|---|---|---|---:|---|",
    ]
    for row in run["rows"]:
        value = "–" if row["value"] is None else f"{row['value']:.4g} {row['unit']}"
        cells = (row["part"], row["model"], row["measure"], value, row["note"].replace("|", "\\|"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Check what is there, run the parts that fit into the time, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--out", type=Path, help="folder for gpu.json and gpu.md")
    parser.add_argument("--only", nargs="+", choices=sorted({part.name for part in PARTS}), help="some parts")
    parser.add_argument("--seconds", type=float, default=BOX_S, help="for everything")
    given = parser.parse_args(arguments)
    begin = time.monotonic()
    print(f"needs {', '.join(NEEDS)}; uses if present {', '.join(OPTIONAL)}")
    if absent := missing(OPTIONAL):
        print(f"without {', '.join(absent)}: its row says so")
    if absent := missing(NEEDS):
        raise SystemExit(f"missing: {', '.join(absent)}; install them, e.g. with `make setup-all`")
    machine = next(rows_of(None, given.small, 120.0))
    if not given.small and not machine.get("card"):
        raise SystemExit(f"no GPU is usable here ({machine}); --small runs everything at tiny shapes on the CPU")
    versions = {name: version(name) for name in ("torch", "transformers", "peft")}
    run: dict[str, Any] = {"machine": machine, "python": platform.python_version(), "versions": versions, "rows": []}
    for part in PARTS:
        if given.only and part.name not in given.only:
            continue
        left = given.seconds - (time.monotonic() - begin)
        limit = left if given.small else min(part.seconds, left)
        if limit < 1:
            rows: Iterator[dict[str, Any]] = iter([_row("not run", note=f"the {given.seconds:.0f} s are over")])
        else:
            rows = rows_of(part, given.small, limit)
        for row in rows:
            run["rows"].append({"part": part.name, "model": part.family, **row})
            print(markdown({**run, "rows": run["rows"][-1:]}).splitlines()[-1], flush=True)
    run["seconds"] = round(time.monotonic() - begin, 1)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "gpu.json").write_text(json.dumps(run, indent=2) + "\n")
        (given.out / "gpu.md").write_text(markdown(run))
    print(f"{run['seconds']:.0f} s")


if __name__ == "__main__":
    main()
