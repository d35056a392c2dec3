"""Make the names of new files outlast a power cut: the files' own fsync does not."""

import errno
import os
from pathlib import Path

_CANNOT = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS}


def sync(folder: Path) -> None:
    """Write a folder to disk; some disks, of networks and virtual machines, sync only files and keep names as they do.

    A refusal of theirs would come after the first purchase, and stop everything.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(descriptor)
