"""Is this machine to blame that a file cannot be used, and neither the file nor its disk? Then it is tried again."""

import errno

# Files or memory that this process or the system has run out of, and processes that it cannot start.
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}


def explains(error: OSError) -> bool:
    """Whether an error only tells of what is short for now."""
    return error.errno in _SHORT
