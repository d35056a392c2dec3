import io

import pytest
from PIL import ExifTags, Image, ImageChops, ImageStat

from sandbox import model, schema

INPUTS = {name: default for name, default in schema.DEFAULTS.items() if name != "image"} | {"seed": 1}


def source(text="hills", size=(256, 192)):
    return model.draw(text, cap=1024).resize(size)


def painted(picture=None, *, index=0, cap=1024, **inputs):
    content = model.paint(picture or source(), INPUTS | inputs, index=index, cap=cap)
    image = Image.open(io.BytesIO(content))
    image.load()
    assert image.format == "PNG"
    return image


def difference(one, other):
    """The mean difference of two pictures, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def test_the_same_inputs_paint_the_same_bytes():
    assert model.paint(source(), INPUTS, index=0, cap=1024) == model.paint(
        source(), INPUTS, index=0, cap=1024
    )


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"prompt": "a lake"},
        {"negative_prompt": "fog"},
        {"scheduler": "DDIM"},
        {"guidance_scale": 9},
        {"num_inference_steps": 50},
        {"index": 1},
    ],
)
def test_every_input_makes_another_picture(change):
    assert difference(painted(), painted(**change)) > 2


def test_another_source_makes_another_picture():
    assert difference(painted(), painted(source("a lake"))) > 2


def test_the_stronger_the_prompt_the_further_from_the_source():
    original = source()
    distances = [difference(original, painted(prompt_strength=strength)) for strength in (0, 0.3, 0.8, 1)]
    assert distances == sorted(distances)
    assert distances[0] == 0
    assert distances[1] > 1


@pytest.mark.parametrize(
    ("size", "cap", "expected"),
    [
        ((100, 100), 1024, (96, 96)),
        ((10, 40), 1024, (64, 64)),
        ((2048, 1024), 1024, (1024, 512)),
        ((3000, 10), 1024, (1024, 64)),
        ((500, 300), 64, (64, 64)),
        ((500, 300), 100, (96, 64)),
    ],
)
def test_sides_are_floored_to_32_at_least_64_at_most_the_cap(size, cap, expected):
    assert painted(source(size=size), cap=cap).size == expected


@pytest.mark.parametrize(("orientation", "expected"), [(1, (192, 576)), (3, (192, 576)), (6, (576, 192))])
def test_a_photograph_is_painted_the_way_up_that_it_was_taken(orientation, expected):
    taken, file = Image.Exif(), io.BytesIO()
    taken[ExifTags.Base.Orientation] = orientation
    source(size=(200, 600)).save(file, "JPEG", exif=taken)
    assert painted(Image.open(file)).size == expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_a_source_of_any_mode_can_be_painted(mode):
    assert painted(Image.new("L", (80, 80), 90).convert(mode)).mode == "RGB"


def test_a_picture_is_drawn_from_a_text_the_same_each_time_and_another_for_another():
    one, again, two = (model.draw(text, cap=1024) for text in ("one", "one", "two"))
    assert one.tobytes() == again.tobytes()
    assert difference(one, two) > 2


def test_a_picture_is_drawn_no_larger_than_what_is_painted_from_it():
    assert model.draw("one", cap=64).size == (64, 64)
    assert max(model.draw("one", cap=4096).size) == 512
