"""Is there something at a path that a person typed? No, if that cannot be checked; using the path then says why.

`Path.exists` and `Path.is_dir` raise for a name that is too long and in a folder that we may not enter.
"""

import os
from pathlib import Path


def found(path: Path) -> bool:
    """Whether there is something of any kind."""
    return os.path.exists(path)  # noqa: PTH110  Path.exists raises, see above


def is_gone(path: Path) -> bool:
    """Whether there is certainly nothing; False if that cannot be checked."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder."""
    return os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises, see above


def nearest(path: Path) -> Path:
    """Return a path, or the deepest of its folders that is there."""
    return next(one for one in (path, *path.parents) if found(one))


def takes_files(path: Path) -> bool:
    """Whether files could be made in a folder, or in the one where it would be made; tells of a read-only disk too."""
    return os.access(nearest(path), os.W_OK | os.X_OK)
