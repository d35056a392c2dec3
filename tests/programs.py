"""Our commands in real processes, without the second that each would spend on importing other people's libraries.

A process is forked from `tests.prepared`, which has them, and nothing of ours: that each imports for itself. It is the
test's own child, with files, signals, a session and an exit code as any other. `test_cli` starts the interpreter.
"""

import atexit
import ctypes
import functools
import inspect
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_OURS = {"PYTHONPATH": str(_ROOT)}
_ADOPTS_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER


class Program(subprocess.Popen):
    """`python -m MODULE WORD …`, of this tree; the options are Popen's, but for files to be handed down."""

    def __init__(self, module, *words, env=None, **options):
        words = [sys.executable, "-m", module, *words]
        super().__init__(words, env=_OURS | (os.environ if env is None else env), **options)

    def _execute_child(self, *given):
        """Replace fork and exec, which Popen calls between making the pipes and closing their other ends."""
        asked = inspect.signature(super()._execute_child).bind(*given).arguments
        if sys.platform != "linux" or _for_the_interpreter(asked["env"]) != _for_the_interpreter(os.environ):
            super()._execute_child(*given)
            return
        _, _, module, *words = asked["args"]
        order = {"module": module, "words": words, "env": dict(asked["env"])}
        order |= {"folder": os.fspath(asked["cwd"] or "."), "session": asked["start_new_session"]}
        order["file_size"] = resource.getrlimit(resource.RLIMIT_FSIZE)
        files = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        try:
            self.pid = _origin().fork(order, [n if file == -1 else file for n, file in enumerate(files)])
            self._child_created = True
        finally:
            self._close_pipe_fds(*(asked[name] for name in _PIPES))


_PATHS = frozenset(["", str(_ROOT), *sys.path])
_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


def run(*words, fed=None, timeout=60, **options):
    """Run a program to its end, feed it some text, and return what `subprocess.run` does."""
    pipe = subprocess.PIPE
    if fed is not None:
        options["stdin"] = pipe
    with Program(*words, stdout=pipe, stderr=pipe, text=True, **options) as child:
        try:
            out, err = child.communicate(fed, timeout)
        except BaseException:
            child.kill()
            raise
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def _for_the_interpreter(env):
    """Return the variables that are read when it starts, but for a path that leads nowhere else than ours."""
    found = {name: text for name, text in env.items() if name.startswith(("PYTHON", "LC_", "LANG"))}
    if _PATHS.issuperset(found.get("PYTHONPATH", "").split(os.pathsep)):
        found.pop("PYTHONPATH", None)
    return found


class _Origin:
    """The process from which programs are forked."""

    def __init__(self):
        self._turn = threading.Lock()
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.prepared", str(theirs.fileno())],
                cwd=_ROOT,
                env=_OURS | os.environ,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, order, files):
        """Return the id of a new process, which is our child: for this moment, we adopt orphans."""
        with self._turn:
            _adopt_orphans(True)
            try:
                socket.send_fds(self._line, [json.dumps(order).encode()], files)
                told = self._line.recv(32)
            finally:
                _adopt_orphans(False)
        assert told.isdigit(), f"{order} could not be begun"
        return int(told)

    def close(self):
        self._line.close()
        self._process.wait()


def _adopt_orphans(wish):
    assert ctypes.CDLL(None).prctl(_ADOPTS_ORPHANS, int(wish), 0, 0, 0) == 0


@functools.cache
def _origin():
    """Return the one of this process."""
    started = _Origin()
    atexit.register(started.close)
    return started
