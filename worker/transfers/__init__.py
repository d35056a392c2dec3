"""How images travel: to the API, and from wherever it keeps them onto the disk."""
