from importlib import resources

import pytest

from jobs.manifest.pictures import Travel
from tests.manifests import batch_of, labels_of, reading

EXAMPLES = resources.files("jobs").joinpath("examples")


@pytest.mark.parametrize("name", ["sketch-mountains.yaml", "sketch-mountains.csv"])
def test_the_examples_are_good_manifests_of_small_pictures(name):
    with resources.as_file(EXAMPLES) as folder, reading(folder / name) as read:
        ((*jobs,),) = read.rows()

        assert read.problems.lines() == read.warnings.lines() == []
        assert (read.count, read.outputs) == (8, 9)
        assert read.images == {Travel.INLINE: 8}
        assert {labels_of(row)["place"] for row in jobs} >= {"mountains", "lake", "harbour"}
        assert {"cabin/winter", "cabin/summer"} <= {row.stem for row in jobs}


def test_the_yaml_example_names_its_batch():
    with resources.as_file(EXAMPLES) as folder:
        assert batch_of(folder / "sketch-mountains.yaml") == "sketch-mountains"
