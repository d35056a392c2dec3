"""``reaper.py FOLDER COMMAND…``: run a command, and count the CPU time of every process that it ever started.

Orphans become children of this process, so that none ends uncounted. Afterwards ``FOLDER/used`` has the command's
exit status and the CPU seconds of the whole tree, without this process. Linux only.
"""

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def main(folder, *command):
    assert ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    first = subprocess.Popen(command)
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, ended = os.wait()
            if pid == first.pid:
                status = first.returncode = os.waitstatus_to_exitcode(ended)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(folder, "used").write_text(f"{status} {used.ru_utime + used.ru_stime}")


if __name__ == "__main__":
    main(*sys.argv[1:])
