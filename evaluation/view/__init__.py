"""A browser for the rows of a dataset and the answers of runs: served on this machine, or written as a folder."""
