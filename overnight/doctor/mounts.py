"""Find the type of the file system that holds a path. Pure: parses the mount table as Linux prints it."""

import re
from pathlib import Path

# File systems on which locks, or memory shared through a file, do not reach beyond one machine.
NETWORK = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "beegfs", "davfs",
        "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.davfs2",
    }
)  # fmt: skip

_ESCAPED = re.compile(r"\\([0-7]{3})")  # blanks and the like


def kind(path: Path, table: str) -> str | None:
    r"""Return the type of the mount that holds an absolute path; of two mounts at one place the later one counts.

    >>> table = "/dev/sda / ext4 rw 0 0\nnas:/home /home nfs4 rw 0 0\n"
    >>> kind(Path("/home/me/overnight.db"), table), kind(Path("/homes/overnight.db"), table)
    ('nfs4', 'ext4')
    """
    deepest, found = -1, None
    for line in table.splitlines():
        place, name = _mount(line)
        depth = len(place.parts)
        if path.is_relative_to(place) and depth >= deepest:
            deepest, found = depth, name
    return found


def _mount(line: str) -> tuple[Path, str]:
    _, place, name, *_ = line.split(" ")
    return Path(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), place)), name
