"""The `transformers` engine: Qwen-Omni checkpoints in this process."""
