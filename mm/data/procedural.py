"""Procedural images: dead leaves with the statistics of photographs, smooth textures, textured objects.

Dead leaves are opaque shapes that cover one another, their radii r distributed as r⁻³. Lee, Mumford and
Huang, "Occlusion models for natural images" (IJCV 2001), show that this alone gives the statistics that
photographs of every place have in common: edges and occlusions at all scales, flat regions beside busy ones,
and a power spectrum that falls about as 1/f². On top of it come what surfaces have: texture, shading, and few
colours to a picture.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mm.data.decoding import crop_to_visible
from mm.data.sources import ImageSource
from mm.errors import InputError
from mm.registry import image_sources

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_LEAST_RADIUS = 2.0
# Leaves smaller than this are painted flat: their texture would hardly be seen, and there are many.
_TEXTURED_FROM = 9.0
_OUTLINE_POINTS = 28
_TILE = 512
# OpenCV's drawing takes coordinates in 1/16 px, and so draws outlines with sub-pixel precision.
_SHIFT = 4
_LEAST_SIZE = 16


class _Procedural(ImageSource):
    """Images by number; image i is a function of (seed, i, size)."""

    def __init__(self, count: int, size: int, seed: int) -> None:
        if count < 1 or size < _LEAST_SIZE or seed < 0:
            raise InputError(
                f"a procedural source needs count ≥ 1, size ≥ {_LEAST_SIZE} px and seed ≥ 0, "
                f"got {count}, {size}, {seed}"
            )
        self.count, self.size, self.seed = count, size, seed

    def __len__(self) -> int:
        return self.count

    def identity(self, index: int) -> str:
        """Return a name made of the seed and the number."""
        return f"procedural-{self.seed}-{index}"


@image_sources.register("procedural-photographs")
class ProceduralPhotographs(_Procedural):
    """Dead-leaves pictures with textures, shading and a palette of their own.

    Args:
        count: how many there are.
        size: their side in px.
        seed: of the whole collection.

    Raises:
        InputError: if a number is out of range.
    """

    def __init__(self, count: int = 4000, size: int = 384, seed: int = 0) -> None:
        super().__init__(count, size, seed)

    def load(self, index: int) -> Pixels:
        """Return a picture, uint8 RGB (size, size, 3)."""
        generator = np.random.default_rng([self.seed, index, 0])
        return _leaves(self.size, self.size, generator, density=float(generator.uniform(0.15, 0.9)))


@image_sources.register("procedural-textures")
class ProceduralTextures(_Procedural):
    """Smooth pictures without an edge: noise of a band of periods, what photographs have least of.

    A network that has seen photographs alone moves such pictures too little where the motion is small: the
    change of their pixels is a fraction of a grey level. Each is a Gaussian random field with a band of its
    own, from periods of 6–24 px to 2–6 times as much, in which the amplitude falls as f⁻ᵃ with a in 0.3–1.6;
    its deviation is at most 0.2 of the range, less where pixels would be clipped: 0.04–0.13 of most pictures.

    Args:
        count: how many there are.
        size: their side in px.
        seed: of the whole collection.

    Raises:
        InputError: if a number is out of range.
    """

    def __init__(self, count: int = 260, size: int = 384, seed: int = 0) -> None:
        super().__init__(count, size, seed)

    def load(self, index: int) -> Pixels:
        """Return a picture, uint8 RGB (size, size, 3)."""
        generator = np.random.default_rng([self.seed, index, 2])
        least = generator.uniform(6, 24)
        amplitude = _band(self.size, least, least * generator.uniform(2, 6))
        frequency = _frequency(self.size)
        amplitude = amplitude * frequency ** -generator.uniform(0.3, 1.6)
        amplitude[0, 0] = 0

        def texture() -> np.ndarray:
            spectrum = np.fft.rfft2(generator.normal(size=(self.size, self.size))) * amplitude
            return _standardised(np.fft.irfft2(spectrum, s=(self.size, self.size)))

        luminance = texture()
        saturation = generator.uniform(0.05, 0.4)
        channels = [luminance * (1 + generator.uniform(-0.3, 0.3)) + saturation * texture() for _ in range(3)]
        picture = np.stack(channels, axis=-1)
        picture *= generator.uniform(0.04, 0.2) / picture.std()
        mean = np.clip(generator.uniform(0.3, 0.7) + generator.normal(0, 0.06, 3), 0.1, 0.9)
        # Hardly a pixel may be clipped: a clipped field has edges.
        room = 0.9 * min(mean.min(), 1 - mean.max()) / np.quantile(np.abs(picture), 0.999)
        picture = (picture * min(1, room) + mean) * 255
        # Dithered: rounded alone, fields of few grey levels would have contour lines.
        return np.clip(picture + generator.random(picture.shape), 0, 255).astype(np.uint8)


@image_sources.register("procedural-cutouts")
class ProceduralCutouts(_Procedural):
    """Objects of random outline (smooth, angular, of several parts, with holes), textured and shaded.

    Args:
        count: how many there are.
        size: their longest side in px, at most.
        seed: of the whole collection.

    Raises:
        InputError: if a number is out of range.
    """

    def __init__(self, count: int = 4000, size: int = 192, seed: int = 0) -> None:
        super().__init__(count, size, seed)

    def load(self, index: int) -> Pixels:
        """Return an object, uint8 straight-alpha RGBA, cropped to what is visible."""
        generator = np.random.default_rng([self.seed, index, 1])
        aspect = generator.uniform(0.45, 1.0)
        height, width = self.size, max(_LEAST_SIZE, round(self.size * aspect))
        alpha = _outline_mask(height, width, generator)
        if generator.random() < 0.4:
            leaves = _leaves(height, width, generator, density=0.5)
            surface: Floats = (leaves / 255).astype(np.float32)
        else:
            surface = _surface(height, width, generator)
        shaded = surface * _relief(alpha, generator)[..., None]
        colour = np.clip(shaded * 255, 0, 255).astype(np.uint8)
        cropped = crop_to_visible(np.dstack((colour, alpha)))
        assert cropped is not None, "the first part of an outline is never empty"
        return cropped


def _frequency(size: int) -> np.ndarray:
    """Return the radial frequency (size, size // 2 + 1) in cycles per px, with 1 in place of 0."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1
    return np.asarray(frequency)


def _band(size: int, least: float, greatest: float) -> np.ndarray:
    """Return 1 in the band between two periods in px, falling smoothly (0.12 in log f) on both sides."""
    octave = np.log(_frequency(size))
    outside = np.maximum(0, np.maximum(octave + np.log(least), -np.log(greatest) - octave))
    return np.asarray(np.exp(-0.5 * (outside / 0.12) ** 2))


def _leaves(height: int, width: int, generator: np.random.Generator, density: float) -> Pixels:
    """Return a dead-leaves picture, uint8 RGB.

    Args:
        height: in px.
        width: in px.
        generator: decides everything.
        density: leaves per 100 px².
    """
    palette = _palette(generator, int(generator.integers(4, 9)))
    first, second = palette[generator.integers(len(palette), size=2)]
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    ground = (first * (1 - ramp) + second * ramp) * (1 + 0.15 * _tile(generator, height, width)[..., None])
    canvas = np.clip(np.broadcast_to(ground, (height, width, 3)) * 255, 0, 255).astype(np.uint8)

    greatest = 0.6 * max(height, width)
    # A first layer of large leaves hides the ground nearly everywhere; what follows lies on top of them.
    large = int(generator.integers(15, 50))
    count = max(8, round(density * height * width / 100))
    radii = np.concatenate(
        (
            _radii(large, 0.12 * greatest, greatest, generator),
            _radii(count, _LEAST_RADIUS, greatest, generator),
        )
    )
    count += large
    centres = _centres(count, height, width, generator)
    outlines = _outlines(radii, generator) + centres[:, None, :]
    jitter = generator.normal(0, 0.05, (count, 3)).astype(np.float32)
    colours = np.clip(palette[generator.integers(len(palette), size=count)] * (1 + jitter), 0, 1)
    flat = (colours * 255).astype(np.uint8).tolist()
    fixed = np.round(outlines * (1 << _SHIFT)).astype(np.int32)
    for leaf in range(count):
        if radii[leaf] < _TEXTURED_FROM:
            cv2.fillPoly(canvas, [fixed[leaf]], flat[leaf], cv2.LINE_AA, _SHIFT)
        else:
            _paint_textured(canvas, outlines[leaf], colours[leaf], generator)

    # Uneven light over everything, and the fine grain that flat leaves lack.
    light = 1 + generator.uniform(0, 0.2) * _tile(generator, height, width, kind=0, zoom=4)
    grain = generator.uniform(0.0, 0.06) * _tile(generator, height, width)
    lit = canvas.astype(np.float32) * (light + grain)[..., None]
    image = cv2.GaussianBlur(lit, (5, 5), float(generator.uniform(0.25, 0.6)))
    result: Pixels = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    return result


def _radii(count: int, least: float, greatest: float, generator: np.random.Generator) -> np.ndarray:
    """Return (count,) radii in px, distributed as r⁻³ between the two."""
    u = generator.random(count)
    return (least**-2 - u * (least**-2 - greatest**-2)) ** -0.5


def _centres(count: int, height: int, width: int, generator: np.random.Generator) -> Floats:
    """Return (count, 2) positions (x, y): half of them anywhere, half in clusters, as busy regions are."""
    size = np.array([width, height], np.float32)
    anywhere = generator.uniform(-0.05, 1.05, (count, 2)) * size
    middles = generator.random((4, 2)) * size
    spread = generator.uniform(0.05, 0.25, (4, 1)) * size
    cluster = generator.integers(4, size=count)
    clustered = middles[cluster] + generator.normal(size=(count, 2)) * spread[cluster]
    result: Floats = np.where(generator.random((count, 1)) < 0.5, anywhere, clustered).astype(np.float32)
    return result


def _outlines(radii: np.ndarray, generator: np.random.Generator) -> Floats:
    """Return (N, P, 2) closed outlines about the origin: ellipses, blobs and polygons, equally often."""
    count = len(radii)
    turn = np.linspace(0, 2 * np.pi, _OUTLINE_POINTS, endpoint=False)
    kind = generator.integers(3, size=(count, 1))
    harmonics = np.arange(2, 6)
    # Smaller for higher harmonics, so that blobs are smooth.
    strength = generator.normal(size=(count, 4)) * 0.35 / harmonics
    phase = generator.uniform(0, 2 * np.pi, (count, 4))
    waves = np.cos(harmonics[None, :, None] * turn + phase[..., None])
    blob = np.clip(1 + (strength[..., None] * waves).sum(axis=1), 0.25, 1.8)
    # A regular polygon's radius as a function of the angle.
    corners = generator.integers(3, 7, size=(count, 1))
    sector = 2 * np.pi / corners
    polygon = np.cos(sector / 2) / np.cos(np.mod(turn, sector) - sector / 2)
    radius = np.where(kind == 0, 1.0, np.where(kind == 1, blob, polygon)) * radii[:, None]
    stretch = np.exp(generator.normal(0, 0.35, (count, 1)))
    x, y = radius * np.cos(turn) * stretch, radius * np.sin(turn) / stretch
    angle = generator.uniform(0, 2 * np.pi, (count, 1))
    return np.stack(
        (x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)), axis=-1
    ).astype(np.float32)


def _paint_textured(canvas: Pixels, outline: Floats, colour: Floats, generator: np.random.Generator) -> None:
    """Paint one leaf with texture and shading onto ``canvas``, where it is inside."""
    left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 2, canvas.shape[1::-1])
    # Drawn before anything is left out, so that the generator's state does not depend on it.
    strength, slope_x, slope_y = generator.uniform((0.03, -0.25, -0.25), (0.3, 0.25, 0.25))
    kind, row, column = generator.integers((len(_tiles()), _TILE, _TILE))
    if right <= left or bottom <= top:
        return
    height, width = int(bottom - top), int(right - left)
    mask = np.zeros((height, width), np.uint8)
    fixed = np.round((outline - (left, top)) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SHIFT)
    x = np.linspace(-slope_x, slope_x, width, dtype=np.float32)
    y = np.linspace(-slope_y, slope_y, height, dtype=np.float32)
    value = 1 + strength * _crop(_tiles()[kind], row, column, height, width) + x + y[:, None]
    paint = np.clip(value[..., None] * (colour * 255), 0, 255)
    below = canvas[top:bottom, left:right]
    weight = (mask.astype(np.float32) / 255)[..., None]
    below[:] = (below + weight * (paint - below) + 0.5).astype(np.uint8)


def _palette(generator: np.random.Generator, count: int) -> Floats:
    """Return (count, 3) RGB colours in [0, 1] that go together as those of one picture do.

    Photographs are darker than mid-grey on average, vary most in luminance, then from blue to yellow, least
    from green to red (Ruderman, Cronin and Chiao, "Statistics of cone responses to natural images", JOSA A
    1998), with one tint over all and now and then one strong colour.
    """
    luminance = (
        0.06 + 0.88 * generator.permutation((np.arange(count) + generator.random(count)) / count) ** 1.3
    )
    tint = generator.normal((0.01, 0.02), (0.02, 0.06))
    opponent = tint + generator.normal(0, (0.035, 0.07), (count, 2))
    accents = generator.random(count) < 0.12
    opponent[accents] *= 2.5
    red_green, yellow_blue = (opponent * (0.35 + luminance[:, None])).T
    rgb = np.stack(
        (
            luminance + red_green + yellow_blue / 2,
            luminance - red_green + yellow_blue / 2,
            luminance - yellow_blue,
        ),
        axis=1,
    )
    return np.clip(rgb, 0.02, 0.98).astype(np.float32)


def _surface(height: int, width: int, generator: np.random.Generator) -> Floats:
    """Return a surface (height, width, 3) in [0, 1]: two colours mixed by a pattern, under fine texture."""
    first, second = _palette(generator, 2)
    pattern = _tile(generator, height, width, zoom=float(generator.uniform(0.6, 2.0)))
    # From soft shades to hard markings.
    mix = 1 / (1 + np.exp(-pattern * generator.uniform(0.5, 8.0)))
    colour = first * (1 - mix[..., None]) + second * mix[..., None]
    strength = generator.uniform(0.03, 0.25)
    result: Floats = colour * (1 + strength * _tile(generator, height, width)[..., None])
    return result


def _relief(alpha: Pixels, generator: np.random.Generator) -> Floats:
    """Return a factor (H, W) that shades an object as if it bulged and were lit from one side."""
    sigma = 0.08 * max(alpha.shape)
    height = cv2.GaussianBlur(alpha.astype(np.float32) / 255, (0, 0), sigma)
    slope_x, slope_y = cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)
    angle = generator.uniform(0, 2 * np.pi)
    lit = (np.cos(angle) * slope_x + np.sin(angle) * slope_y) * sigma
    strength = generator.uniform(0.0, 0.5)
    result: Floats = np.clip(1 + strength * lit - 0.3 * strength * (1 - height), 0.3, 1.6)
    return result


def _outline_mask(height: int, width: int, generator: np.random.Generator) -> Pixels:
    """Return the anti-aliased mask of a random outline, uint8 (height, width), clear of the border."""
    fine = 4
    mask = np.zeros((height * fine, width * fine), np.uint8)
    size = np.array([width, height], np.float32) * fine
    parts = int(generator.choice((1, 1, 2, 3)))
    for part in range(parts):
        scale = 1.0 if part == 0 else generator.uniform(0.4, 0.8)
        outline = _outlines(np.array([1.0]), generator)[0]
        outline *= scale / np.abs(outline).max(axis=0)
        middle = 0.5 if part == 0 else generator.uniform(0.3, 0.7, 2)
        # 0.48: the whole outline lies inside, so that no edge is cut straight.
        cv2.fillPoly(mask, [np.round((outline * 0.48 + middle) * size).astype(np.int32)], 255)
    for _ in range(int(generator.choice((0, 0, 0, 1, 2)))):
        outline = _outlines(np.array([generator.uniform(0.06, 0.18)]), generator)[0]
        middle = generator.uniform(0.25, 0.75, 2)
        holed = cv2.fillPoly(mask.copy(), [np.round((outline + middle) * size).astype(np.int32)], 0)
        # A hole, not what is left of an object.
        if np.count_nonzero(holed) > 0.6 * np.count_nonzero(mask):
            mask = np.asarray(holed, np.uint8)
    # No part may touch the border: it would be a straight cut.
    mask[:fine], mask[-fine:], mask[:, :fine], mask[:, -fine:] = 0, 0, 0, 0
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


@cache
def _tiles() -> list[Floats]:
    """Return square textures (512, 512), periodic, of mean 0 and deviation 1; the first is 1/f² noise.

    They are made once in a process, with a seed of their own: pictures differ by what they cut out of them.
    """
    generator = np.random.default_rng(2018)
    fx, fy = np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)[None, :]
    y, x = np.mgrid[:_TILE, :_TILE] / _TILE

    def noise(exponent: float, stretch: float = 1.0) -> np.ndarray:
        """Return noise whose amplitude falls as f^-exponent, drawn out along x by ``stretch``."""
        frequency = np.hypot(fx, fy * stretch)
        frequency[0, 0] = np.inf
        spectrum = np.fft.rfft2(generator.normal(size=(_TILE, _TILE))) / frequency**exponent
        return _standardised(np.fft.irfft2(spectrum, s=(_TILE, _TILE)))

    waves = 2 * np.pi * 24
    tiles = [
        noise(2.0),
        noise(1.0),
        noise(0.6),
        # Grain of wood, hair, grass.
        noise(0.9, stretch=8.0),
        noise(0.9, stretch=1 / 8.0),
        # Speckles and blotches.
        np.tanh(2 * noise(1.0)),
        np.maximum(noise(0.4), 1.0),
        # Ridges: leaves' veins, cracked ground.
        -np.abs(noise(1.2)),
        # Stripes and a weave, bent a little.
        np.sin(waves * x + 2 * noise(1.5)),
        np.sin(waves * x + noise(1.5)) * np.sin(waves * y + noise(1.5)),
        np.sign(np.sin(waves / 3 * y + 1.5 * noise(1.5))) + 0.5 * noise(0.8),
    ]
    return [np.clip(_standardised(tile), -3, 3).astype(np.float32) for tile in tiles]


def _standardised(values: np.ndarray) -> np.ndarray:
    result: np.ndarray = (values - values.mean()) / values.std()
    return result


def _tile(
    generator: np.random.Generator, height: int, width: int, kind: int | None = None, zoom: float = 1.0
) -> Floats:
    """Return a random piece of a random texture, or of texture ``kind``, enlarged ``zoom`` times."""
    drawn, row, column = generator.integers((len(_tiles()), _TILE, _TILE))
    tile = _tiles()[drawn if kind is None else kind]
    if zoom == 1.0:
        return _crop(tile, row, column, height, width)
    piece = _crop(tile, row, column, int(np.ceil(height / zoom)) + 1, int(np.ceil(width / zoom)) + 1)
    return np.asarray(cv2.resize(piece, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _crop(tile: Floats, row: int, column: int, height: int, width: int) -> Floats:
    """Return a piece of a periodic texture."""
    if row + height <= _TILE and column + width <= _TILE:
        return tile[row : row + height, column : column + width]
    rows, columns = np.arange(row, row + height) % _TILE, np.arange(column, column + width) % _TILE
    return tile[rows[:, None], columns]
