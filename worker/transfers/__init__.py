"""How images travel: to the API, and from its hosts onto the disk."""
