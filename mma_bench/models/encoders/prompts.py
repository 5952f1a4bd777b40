"""The prompts: what a class looks like and sounds like, in sentences that the text encoders can embed.

`prompts.csv` has the columns class, modality and prompt. A class with several prompts is present if any of them
describes the clip: a Bowed_string_instrument is a violin or a cello. The sentences begin as in the models' own
examples ("this is a photo of …", "this is a sound of …"), in lower case, as SigLIP 2 was trained.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

from pydantic import Field

from mma_bench.csv_rows import CsvRow, Filled, read_rows
from mma_bench.errors import ConfigError
from mma_bench.schema import MODALITIES, Modality

# Modality → class → its prompts, in the order of the table.
Prompts: TypeAlias = Mapping[Modality, Mapping[str, tuple[str, ...]]]


class _Row(CsvRow):
    class_name: Filled = Field(validation_alias="class")
    modality: Modality
    prompt: Filled


def read_prompts(path: Path | None) -> Prompts:
    """The prompts of a table, or those of all 61 classes that come with the package (None).

    Raises:
        DataError: The table cannot be read, or has a prompt twice for a class; names file and line.
        ConfigError: A modality has fewer than two classes.
    """
    table = files(__package__) / "prompts.csv" if path is None else path
    rows = read_rows(table, _Row, unique=["class_name", "modality", "prompt"], hint="correct judge.prompts")
    prompts: dict[Modality, dict[str, tuple[str, ...]]] = {modality: {} for modality in MODALITIES}
    for row in rows:
        of_modality = prompts[row.modality]
        of_modality[row.class_name] = (*of_modality.get(row.class_name, ()), row.prompt)
    for modality in MODALITIES:
        if len(prompts[modality]) < 2:
            raise ConfigError(
                f"{table}: {len(prompts[modality])} classes have a prompt for {modality}, and a class is only found by "
                "comparison with others",
                hint="add prompts for at least two classes",
            )
    return prompts
