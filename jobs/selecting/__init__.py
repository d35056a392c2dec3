"""Which batch, and which of its jobs, a person means by what they type."""
