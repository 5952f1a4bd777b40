"""The engine transformers: Qwen-Omni checkpoints in this process."""
