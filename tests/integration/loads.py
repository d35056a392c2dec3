"""The commands about manifests, typed in a folder of the test's own."""

import os

from tests import programs
from tests.manifests import WEB

HEADER = "key,image,prompt\n"


def table(*keys, prompt="a fox"):
    return HEADER + "".join(f"{key},{WEB},{prompt}\n" for key in keys)


def overnight(folder, *words, stdin="", **given):
    """Type `overnight …` in a folder; return the process that ended."""
    words = map(str, words)
    return programs.run("overnight", *words, cwd=folder, env=os.environ | given, fed=stdin)


def listing(folder):
    """Return every file below a folder with its content."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
