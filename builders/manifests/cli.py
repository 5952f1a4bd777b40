"""`mma-bench candidates …` and `mma-bench authors …`: clips that a list names, before a build."""

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


@click.group()
def authors() -> None:
    """Build the benchmark from the clip lists of the paper's authors."""


@authors.command("import")
@click.argument("source", metavar="PATH|ORG/NAME")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("manifests/authors"),
    show_default=True,
    help="The folder of the files that profiles/authors.yaml names.",
)
@click.option("--revision", help="The version, if the list is on the Hub.")
@click.option("--split", type=click.Choice(["test", "train"]), help="The split of entries that state none.")
@needs("build")
def import_list(source: str, out: Path, revision: str | None, split: str | None) -> None:
    """Turn a published clip list into the inputs of a build, and report how it differs from this project's clips.

    PATH is a JSON file, or a folder of such files or of the clips themselves; ORG/NAME is a dataset on the Hub, of
    which only the JSON files are fetched.
    """
    from mma_bench.builders.manifests.authors_import import import_list as run
    from mma_bench.builders.manifests.authors_report import lines

    report = run(source, out, revision=revision, split=split)
    click.echo("\n".join(lines(report)))
    click.echo(f"wrote {out}; to build these clips: cp profiles/authors.yaml params.yaml && dvc repro")


COMMANDS = (candidates, authors)
