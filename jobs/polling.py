"""When is a running prediction, or a download that failed, looked at next? Pure; durations in seconds."""


def next_look(age: float, *, first: float, most: float) -> float:
    """Wait as long again as it has taken so far, between ``first`` and ``most``: looks at 1, 2, 4, 8, … s.

    The age alone decides, so nothing has to be counted and a restart changes nothing.

    >>> [next_look(age, first=1, most=15) for age in (0, 1, 2, 4, 8, 16, 31)]
    [1, 1, 2, 4, 8, 15, 15]
    """
    return min(most, max(first, age))
