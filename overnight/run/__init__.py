"""One `run`: the night itself, who watches it, and what may keep it from finishing."""
