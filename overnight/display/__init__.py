"""Output: what a person sees, and what a script reads."""
