import ctypes
import subprocess
import sys

import pytest

COUNT = """
import ctypes, sys, threading
from worker import heaps

if sys.argv[2] == "shared":
    heaps.share()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
barrier = threading.Barrier(7)
threads = [threading.Thread(target=lambda: (libc.malloc(1000), barrier.wait())) for _ in range(6)]
for thread in threads:
    thread.start()
barrier.wait()
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
print(open(sys.argv[1]).read().count("<heap nr="))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="only glibc has heaps for threads")
@pytest.mark.parametrize(("how", "few"), [("shared", True), ("own", False)])
def test_threads_share_two_heaps(tmp_path, how, few):
    told = subprocess.run(
        [sys.executable, "-c", COUNT, str(tmp_path / "heaps"), how],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (int(told.stdout) <= 2) == few
