"""The Hugging Face Hub: a client with retries and clear errors, a repository, and its card's metadata."""
