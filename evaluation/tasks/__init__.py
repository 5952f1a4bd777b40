"""The benchmark as a task of evaluation harnesses that people already use: lmms-eval and inspect-ai."""
