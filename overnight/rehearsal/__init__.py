"""A night that costs nothing: the sandbox as its API, and time that runs faster."""
