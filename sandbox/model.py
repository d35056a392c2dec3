"""The imitated model: a real picture from a real picture, the same for the same inputs, different for others.

Blocking and costly, so that large pictures are painted in a thread. It knows no prediction and no HTTP.
"""

import colorsys
import hashlib
import io
import json
import math
import random
from collections.abc import Mapping
from typing import Any

from PIL import ExifTags, Image, ImageChops, ImageDraw, ImageFilter, ImageOps

Colour = tuple[int, int, int]

_UNIT = 32
_LEAST = 64
_DRAWN = (512, 384)
_LAST_UPRIGHT = 4  # of the orientations that EXIF numbers; those beyond lie on their sides


def paint(source: Image.Image, inputs: Mapping[str, Any], *, index: int, cap: int) -> bytes:
    """Return the source repainted, as a PNG; the higher ``prompt_strength`` (0 to 1), the more it changes.

    ``inputs`` must hold every input that is to matter, and no image. Sides are floored to multiples of 32, at least
    64 and at most ``cap`` pixels.
    """
    words = json.dumps({**inputs, "index": index}, sort_keys=True)
    chance = random.Random(hashlib.sha256(words.encode()).digest())  # noqa: S311  a picture, not a secret
    base = _fit(source, cap)
    picture = Image.blend(base, _dream(base, chance), float(inputs["prompt_strength"]))
    return _png(picture)


def blacked_out(picture: bytes) -> bytes:
    """Return an all black PNG of a picture's size."""
    with Image.open(io.BytesIO(picture)) as seen:
        return _png(Image.new("RGB", seen.size))


def floored(width: int, height: int, cap: int) -> tuple[int, int]:
    """Return the size of the output for a source of this size.

    >>> floored(1000, 700, 1024), floored(5000, 20, 1024)
    ((992, 672), (1024, 64))
    """
    scale = min(1.0, cap / max(width, height))
    most = cap // _UNIT * _UNIT

    def side(length: int) -> int:
        return min(most, max(_LEAST, int(length * scale) // _UNIT * _UNIT))

    return side(width), side(height)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _fit(source: Image.Image, cap: int) -> Image.Image:
    width, height = floored(*source.size, cap)
    source.draft("RGB", (width, height))
    lies = source.getexif().get(ExifTags.Base.Orientation, 1) > _LAST_UPRIGHT
    turned = ImageOps.exif_transpose(source).convert("RGB")
    return turned.resize((height, width) if lies else (width, height), Image.Resampling.BILINEAR)


def _dream(base: Image.Image, chance: random.Random) -> Image.Image:
    """Repaint: waves, soft blobs of two colours, a light in the sky, ink along the edges."""
    waved = _waves(base, chance)
    dark, middle, light = _palette(chance)
    tones = waved.convert("L")
    inked = ImageOps.invert(tones.filter(ImageFilter.FIND_EDGES)).filter(ImageFilter.SMOOTH)
    painted = _toned(tones, chance.randint(8, 28), dark, middle, light)
    painted = Image.blend(painted, waved.filter(ImageFilter.BoxBlur(2)), 0.25)
    lit = ImageChops.screen(painted, _glow(painted.size, light, chance))
    return ImageChops.multiply(lit, Image.merge("RGB", (inked, inked, inked)))


def _toned(tones: Image.Image, steps: int, *colours: Colour) -> Image.Image:
    """Colour a grey picture in a few steps from its first colour (black) to its last (white)."""
    ramp = Image.new("RGB", (len(colours), 1))
    ramp.putdata(colours)
    ramp = ramp.resize((steps, 1), Image.Resampling.BILINEAR).resize((256, 1), Image.Resampling.NEAREST)
    toned = tones.copy()
    toned.putpalette(ramp.tobytes())
    return toned.convert("RGB")


def _palette(chance: random.Random) -> tuple[Colour, Colour, Colour]:
    """Choose a shadow, a middle and a light that go together."""
    hue = chance.random()
    turn = chance.choice((0.08, 0.33, 0.5))

    def colour(shift: float, saturation: float, value: float) -> Colour:
        red, green, blue = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
        return round(red * 255), round(green * 255), round(blue * 255)

    return colour(0, 0.75, 0.16), colour(turn, 0.65, 0.72), colour(turn / 2, 0.22, 1.0)


def _waves(base: Image.Image, chance: random.Random) -> Image.Image:
    """Bend the picture along a slow sine, on a mesh of cells."""
    width, height = base.size
    cells = min(8, width // _UNIT, height // _UNIT)
    swing = chance.uniform(0.01, 0.04) * min(width, height)
    speed, phase = chance.uniform(1, 3) * math.tau, chance.uniform(0, math.tau)

    def bent(column: int, row: int) -> tuple[float, float]:
        x, y = column * width / cells, row * height / cells
        along, down = math.sin(speed * row / cells + phase), math.cos(speed * column / cells + phase)
        return min(max(x + swing * along, 0), width), min(max(y + swing * down, 0), height)

    mesh = [
        (
            (
                column * width // cells,
                row * height // cells,
                (column + 1) * width // cells,
                (row + 1) * height // cells,
            ),
            (*bent(column, row), *bent(column, row + 1), *bent(column + 1, row + 1), *bent(column + 1, row)),
        )
        for column in range(cells)
        for row in range(cells)
    ]
    return base.transform(base.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _glow(size: tuple[int, int], light: Colour, chance: random.Random) -> Image.Image:
    """Draw a soft sun or moon in the upper part; drawn small, since blurring is costly."""
    small = Image.new("RGB", (32, 32))
    x, y, radius = chance.uniform(4, 28), chance.uniform(2, 12), chance.uniform(2, 6)
    ImageDraw.Draw(small).ellipse((x - radius, y - radius, x + radius, y + radius), fill=light)
    return small.filter(ImageFilter.GaussianBlur(radius / 4)).resize(size, Image.Resampling.BICUBIC)


def draw(text: str, *, cap: int) -> Image.Image:
    """Draw layered hills from a text, the same ones each time: a stand-in for a picture that is out of reach.

    It is no larger than what is painted from it: drawing more and shrinking it would cost more than the painting.
    """
    chance = random.Random(hashlib.sha256(text.encode()).digest())  # noqa: S311  a picture, not a secret
    dark, middle, light = _palette(chance)
    width, height = floored(*_DRAWN, cap)
    hills = _toned(Image.linear_gradient("L").resize((width, height)), 256, middle, light)
    pen = ImageDraw.Draw(hills)
    layers = chance.randint(3, 5)
    for layer in range(layers):
        share = (layer + 1) / layers
        colour = tuple(
            round(near * share + far * (1 - share)) for near, far in zip(dark, middle, strict=True)
        )
        pen.polygon(_ridge(width, height, 0.35 + 0.5 * share, chance), fill=colour)
    return hills


def _ridge(width: int, height: int, level: float, chance: random.Random) -> list[tuple[float, float]]:
    """Return the outline of hills whose tops are around ``level``, a share of the height."""
    waves = [
        (chance.uniform(1, 5), chance.uniform(0, math.tau), chance.uniform(0.01, 0.05)) for _ in range(3)
    ]

    def top(x: int) -> float:
        rises = (rise * math.sin(turns * math.tau * x / width + phase) for turns, phase, rise in waves)
        return height * (level - sum(rises))

    return [(0, height), *((x, top(x)) for x in range(0, width + 1, 8)), (width, height)]
