"""The thresholds of the encoders by modality and class: a CSV, written by `mma-bench judge calibrate`.

Columns: class, modality, threshold and judge, the encoders that the threshold was chosen for. The others say on what it
was chosen; see docs/judges.md.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field

from mma_bench.config import EncoderJudgeParams
from mma_bench.csv_rows import CsvRow, Filled, read_rows
from mma_bench.errors import ConfigError, DataError
from mma_bench.schema import MODALITIES, Modality

Thresholds: TypeAlias = Mapping[Modality, Mapping[str, float]]  # modality → class → lowest score that passes

CALIBRATE = "run `mma-bench judge calibrate` on labelled clips of this build; docs/judges.md says how"


class _Row(CsvRow):
    class_name: Filled = Field(validation_alias="class")
    modality: Modality
    threshold: Annotated[float, Field(ge=0, le=1)]
    judge: Filled


def read_thresholds(params: EncoderJudgeParams) -> tuple[Thresholds, frozenset[str]]:
    """The thresholds of the file in params.yaml, and the encoders that they were chosen for.

    Raises:
        ConfigError: No file is named, or it does not exist; says how to make one.
        DataError: The file cannot be read; names file and line.
    """
    if params.thresholds is None:
        raise ConfigError("judge.thresholds is null: the encoders have no thresholds", hint=CALIBRATE)
    path = Path(params.thresholds)
    if not path.is_file():
        raise ConfigError(f"judge.thresholds: {path} does not exist", hint=CALIBRATE)
    rows = read_rows(path, _Row, unique=["class_name", "modality"])
    if not rows:
        raise DataError(f"{path} has no thresholds", hint=CALIBRATE)
    thresholds = {
        modality: {row.class_name: row.threshold for row in rows if row.modality == modality} for modality in MODALITIES
    }
    return thresholds, frozenset(row.judge for row in rows)
