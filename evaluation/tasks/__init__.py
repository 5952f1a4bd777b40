"""The benchmark as a task for existing evaluation harnesses: lmms-eval and inspect-ai."""
