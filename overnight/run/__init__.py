"""One `run`: the night itself, its sandbox if it has one, who watches it, and what may keep it from finishing."""
