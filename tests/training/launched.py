"""What is started in each process: one run, on the folders and settings given."""

import json
import sys
from pathlib import Path

from tests.training import small

if __name__ == "__main__":
    small.run(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]))
