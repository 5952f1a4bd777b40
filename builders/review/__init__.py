"""Human verification (appendix B.2): a web app in which people judge the clips that the judge passed.

`review_set` selects the clips and adds controls, `store` keeps accounts and votes, `queue` says what each annotator
judges next, `app` serves the pages behind `gate`, and `export` turns votes into the table that `verify` reads.
"""

from pathlib import Path
from typing import Final

FOLDER: Final = Path("annotations")  # what the review keeps; no output of any stage, so no build removes it
DEFAULT_URL: Final = f"sqlite:///{FOLDER / 'review.db'}"
