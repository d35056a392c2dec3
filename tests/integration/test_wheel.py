"""The wheel is the product: built from the tree, installed elsewhere, it runs the example."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the wheel's packages, and nothing of the checkout; built from what a container's build is given."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in given_to_a_container():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    install = ["-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    return site


def given_to_a_container():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines, "all but what is named is left out"
    return [line[1:] for line in lines if line.startswith("!")]


def run(site, folder, *command):
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_installed_wheel_runs_the_example_to_images(installed, tmp_path):
    where = run(installed, tmp_path, "-c", "import overnight, jobs, worker; print(overnight.__file__)")
    assert where.stdout.startswith(str(installed)), "the checkout is not what is tested"

    assert run(installed, tmp_path, "-m", "overnight", "example", "new").returncode == 0
    night = run(installed, tmp_path, "-m", "overnight", "run", "new/sketch-mountains.csv", "--api", "sandbox")

    assert night.returncode == 0, night.stderr
    assert "8 succeeded" in night.stdout
    assert len(list(tmp_path.glob("outputs-sandbox/sketch-mountains/**/*.png"))) == 9


def test_the_wheel_has_its_licence(installed):
    assert [path.name for path in installed.glob("overnight-*.dist-info/licenses/*")] == ["LICENSE"]
