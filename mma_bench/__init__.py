"""mma-bench: builds, checks and packages a benchmark of sight, sound and text in conflict (arXiv 2511.22826).

What stands where: `builders` turn AudioSet into aligned clips and conflict variants, `validation` gates every
table between two stages, and `dvc.yaml` tells the order. This package holds what all of them share.
"""

from importlib.metadata import version

__version__ = version("mma-bench")
