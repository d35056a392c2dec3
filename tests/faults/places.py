"""What a night needs so that it reaches each of the named places, and how it is struck there."""

import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import Image

from jobs.crashpoints import VARIABLE, Place
from tests.faults import nights

_SIDE = 320  # pixels; as noise, too large for a data URI
# Scaled, these are 1.2, 3.2 and 4 seconds: waiting is most of what these nights cost.
_SETTINGS = {
    "time_scale": 0.02, "post_deadline": "60s", "lease": "160s", "settle": "200s",
    "creates_per_minute": 2400, "price": 0.25,
}  # fmt: skip
_SENDS_IN_DOUBT = {"exec_and_drop": 0.5}


@dataclass(frozen=True)
class Scene:
    """A small night in which one place is reached."""

    jobs: int = 24
    command: str = "run"
    faults: Mapping[str, float] = field(default_factory=dict)
    latency: float = 0
    uploads: bool = False
    cancels: bool = False  # whether a job under way is cancelled
    before: Place | None = None  # where an earlier run was killed

    def typed(self, night):
        """Return the words of the command."""
        return ("db", "upgrade") if self.command == "db" else (self.command, str(night.manifest))


SCENES = {
    Place.AFTER_CHUNK_COMMIT: Scene(jobs=6000, command="load"),
    Place.AFTER_TAKEOVER: Scene(before=Place.DURING_POST),
    Place.AFTER_UPLOAD: Scene(uploads=True),
    Place.AFTER_LIST_PAGE: Scene(faults=_SENDS_IN_DOUBT),
    Place.BEFORE_WALK_COMMIT: Scene(faults=_SENDS_IN_DOUBT),
    Place.AFTER_WALK_COMMIT: Scene(faults=_SENDS_IN_DOUBT),
    Place.AFTER_CANCEL_ANSWER: Scene(jobs=8, cancels=True, latency=6),
    Place.DURING_MIGRATION: Scene(command="db"),
}


def scene(place):
    return SCENES.get(place, Scene())


def stage(scene, folder, begin, start_sandbox):
    """Return the night of a scene, with a sandbox of its own."""
    sandbox = start_sandbox(
        faults=scene.faults,
        latency=scene.latency,
        creates_per_minute=0,
        reads_per_minute=0,
        output_size=64,
        seed=3,
    )
    image = noise(folder) if scene.uploads else nights.IMAGE
    return begin(sandbox, scene.jobs, image=image, **_SETTINGS)


def noise(folder):
    """Make a picture that no compression makes small; return its name."""
    path = folder / "noise.png"
    pixels = random.Random(0).randbytes(_SIDE * _SIDE * 3)
    Image.frombytes("RGB", (_SIDE, _SIDE), pixels).save(path)
    return path.name


def strike(night, scene, place, mode, nth=1):
    """Run the night until it is struck there, or to its end; return the exit code."""
    if scene.before:
        died = night.run(**{VARIABLE: f"{scene.before}:1:kill"})
        assert died == -signal.SIGKILL, night.words()
    child = night.start(*scene.typed(night), **{VARIABLE: f"{place}:{nth}:{mode}"})
    if scene.cancels:
        nights.eventually(lambda: night.bought() == scene.jobs)
        assert night.run("cancel", "night", "--key", night.keys[-1], "--yes") == 0
    return child.wait(timeout=60)
