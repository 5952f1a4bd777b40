"""`mma-bench candidates …`: look at a manifest of clips before a build."""

from pathlib import Path

import click

from mma_bench.commands import needs


@click.group()
def candidates() -> None:
    """Check manifests of clips that are not AudioSet's; `mma-bench build candidates` runs the label filter."""


@candidates.command()
@click.argument("manifest", type=click.Path(path_type=Path, dir_okay=False))
@needs("build")
def check(manifest: Path) -> None:
    """Show which clips of MANIFEST the label filter will keep, and why it drops the others.

    Exits with 1 if a label is unknown, and shows the nearest labels of AudioSet.
    """
    from mma_bench import layout
    from mma_bench.builders.manifests.check import check as report
    from mma_bench.classes import load_classes
    from mma_bench.errors import DataError

    lines, unknown = report(manifest, load_classes(layout.CLASSES))
    click.echo("\n".join(lines))
    if unknown:
        raise DataError(
            f"{manifest}: {unknown} labels are not in AudioSet's ontology",
            hint="correct them, or map them to AudioSet's labels in labels.csv (label,label_id) beside the manifest",
        )


COMMANDS = (candidates,)
