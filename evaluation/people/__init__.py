"""People answer the benchmark's own questions about its clips, so that they stand beside models in scores and boards.

`study` says what is asked, `order` in which order each person gets it, `app` serves the pages and `answers` keeps what
people say. `runs` writes their answers as runs, and `agreement` says how far people agree.
"""

from pathlib import Path
from typing import Final

FOLDER: Final = Path("annotations")  # no output of any stage, so no build removes it
DEFAULT_URL: Final = f"sqlite:///{FOLDER / 'people.db'}"
