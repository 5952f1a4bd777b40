"""The parts of `mma_bench.evaluation.parse`: plain text, names of classes, clauses, claims and final answers."""
