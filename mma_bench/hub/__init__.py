"""The Hugging Face Hub: a client with retries and plain errors, one repository, and its card's metadata."""
