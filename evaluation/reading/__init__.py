"""The parts of `mma_bench.evaluation.parse`: text normalisation, class names, clauses, claims and final answers."""
