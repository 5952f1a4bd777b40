"""Evaluation: a model answers the benchmark's questions; its answers are scored, tested and shown."""
