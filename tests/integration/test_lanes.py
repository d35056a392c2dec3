"""The worker threads of an embedded run: what each must find ready."""

from tests.integration.evening import Evening

WATCH = """
import atexit, sys, threading

found = []

class Watch:
    def find_spec(self, name, path=None, target=None):
        found.append(f"{threading.current_thread().name} {name}")

sys.meta_path.insert(0, Watch())
atexit.register(lambda: open("imports.txt", "w").write("\\n".join(found)))
"""


def test_no_lane_imports_anything(tmp_path, start_sandbox):
    # Two threads that import parts of one package at once can each hold what the other waits for.
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    night = Evening(tmp_path, start_sandbox())
    assert night.run_again(PYTHONPATH=str(tmp_path / "watch")).returncode == 0
    imports = (night.folder / "imports.txt").read_text().splitlines()
    assert "MainThread worker.lanes" in imports
    assert [found for found in imports if found.startswith("lane-")] == []
