"""A measurement's scene: a picture, objects before it, and the direction in which each moves.

The content is the same whichever renderer shows it and at every level, so that renderers, methods and levels
are compared on the same scenes. It is a function of (seed, index) and of the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.protocol import MAX_MOTION, seeded

OBJECTS = (3, 6)  # least and most; large ones, which cover much of one another
OBJECT_SIZE = (0.35, 0.6)  # longest side of an object, of the frame's shorter side
LONE_SIZE = 0.7  # longest side of an object that is alone, of the frame's shorter side
PLACE = 0.15  # of the frame, how near its rim an object's centre may lie
ENLARGED = 2.0  # at most: a small cut-out is not blown up further (Oh et al. 2018, section 3.3)
RIM = 3  # px, transparent, round an object in its patch
REACH = 3  # px beyond the largest motion that a renderer's kernel sees
PERIODS = (12.0, 48.0)  # px, of a smooth pattern
WAVES = 8  # in a smooth pattern
PATTERN_CONTRAST = 0.1  # standard deviation of a smooth pattern's luminance
MIN_SIDE, MAX_SIDE = 64, 2048  # px of a frame


@dataclass(frozen=True)
class Pictures:
    """The sources of the pictures.

    Attributes:
        photograph: (seed, index) -> (3, h, w) in [0, 1]: the background of scene ``index``.
        cutout: (seed, index, number) -> (4, h, w) in [0, 1], straight RGBA: its object ``number``.
    """

    photograph: Callable[[int, int], Tensor]
    cutout: Callable[[int, int, int], Tensor]


@dataclass(frozen=True)
class SceneSpec:
    """The content of one scene. Sizes are px of the frame, and one px of a picture is one px of the frame.

    Attributes:
        index: of the scene.
        background: (3, H + 2·margin, W + 2·margin) in [0, 1].
        objects: (4, P, P) each, premultiplied RGBA in [0, 1], the front one first.
        centres: (K, 2) of the objects' centres, px (x, y), 0 the centre of the frame's first pixel.
        phase: (2,) px (x, y), by how much the project's renderer shifts the background in all frames, so that
            its interpolation is never idle.
        directions: (1 + K, 2) unit vectors (x, y), the background's first.
        margin: px of background beyond the frame on each side.
    """

    index: int
    background: Tensor
    objects: tuple[Tensor, ...]
    centres: Tensor
    phase: Tensor
    directions: Tensor
    margin: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame, px."""
        height, width = self.background.shape[-2:]
        return height - 2 * self.margin, width - 2 * self.margin


def check_size(height: int, width: int) -> None:
    """Raise InputError unless frames of this size can be measured."""
    if not (min(height, width) >= MIN_SIDE and max(height, width) <= MAX_SIDE):
        raise InputError(
            f"frames must be between {MIN_SIDE} and {MAX_SIDE} px wide and high, got {width}×{height} px"
        )


def crowded(pictures: Pictures, height: int, width: int, seed: int, index: int, reach: float) -> SceneSpec:
    """Return a photograph with 3 to 6 large objects before it that cover one another.

    Args:
        pictures: where they come from.
        height, width: of the frame, px.
        seed, index: of the scene.
        reach: px, the farthest that anything will move.

    Raises:
        InputError: for a size or reach that cannot be built.
    """
    margin = _margin(height, width, reach) + math.ceil(PLACE * max(height, width))
    generator = seeded(seed, index, 1)
    background = _filling(
        pictures.photograph(seed, index), height + 2 * margin, width + 2 * margin, generator
    )
    count = int(torch.randint(OBJECTS[0], OBJECTS[1] + 1, (), generator=generator))
    shorter = min(height, width)
    patch = math.ceil(OBJECT_SIZE[1] * shorter) + 2 * RIM
    sizes = _between(*OBJECT_SIZE, count, generator) * shorter
    objects = tuple(
        _patch(pictures.cutout(seed, index, number), float(size), patch) for number, size in enumerate(sizes)
    )
    sides = torch.tensor([width - 1.0, height - 1.0], dtype=torch.float64)
    centres = _between(PLACE, 1 - PLACE, (count, 2), generator) * sides
    return SceneSpec(
        index,
        background,
        objects,
        centres,
        _between(-0.5, 0.5, 2, generator),
        _directions(count + 1, generator),
        margin,
    )


def lone_object(
    pictures: Pictures, height: int, width: int, seed: int, index: int, reach: float
) -> SceneSpec:
    """Return a photograph with one large object in the middle before it; arguments as of :func:`crowded`."""
    margin = _margin(height, width, reach)
    generator = seeded(seed, index, 4)
    photograph = pictures.photograph(seed, index)
    background = _filling(photograph, height + 2 * margin, width + 2 * margin, generator)
    longest = LONE_SIZE * min(height, width)
    patch = _patch(pictures.cutout(seed, index, 0), longest, math.ceil(longest) + 2 * RIM)
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64)
    return SceneSpec(
        index,
        background,
        (patch,),
        (middle + _between(-2, 2, 2, generator))[None],
        _between(-0.5, 0.5, 2, generator),
        _directions(2, generator),
        margin,
    )


def picture(pictures: Pictures, height: int, width: int, seed: int, index: int, reach: float) -> SceneSpec:
    """Return a photograph alone, for motion of the whole frame; arguments as of :func:`crowded`."""
    margin = _margin(height, width, reach)
    generator = seeded(seed, index, 2)
    photograph = pictures.photograph(seed, index)
    background = _filling(photograph, height + 2 * margin, width + 2 * margin, generator)
    return _alone(index, background, margin, generator)


def pattern(height: int, width: int, seed: int, index: int, reach: float) -> SceneSpec:
    """Return a smooth pattern alone: plane waves with periods of 12 to 48 px in random directions.

    The waves repeat on the canvas, so that a Fourier shift moves them exactly.
    """
    margin = _margin(height, width, reach)
    tall, wide = height + 2 * margin, width + 2 * margin
    generator = seeded(seed, index, 3)
    down = torch.arange(tall, dtype=torch.float64)[:, None] / tall
    across = torch.arange(wide, dtype=torch.float64) / wide
    waves = torch.zeros(3, tall, wide, dtype=torch.float64)
    made = 0
    while made < WAVES:
        period = PERIODS[0] * (PERIODS[1] / PERIODS[0]) ** float(_between(0, 1, (), generator))
        direction = _directions(1, generator)[0]
        cycles_x, cycles_y = (
            round(wide * float(direction[0]) / period),
            round(tall * float(direction[1]) / period),
        )
        frequency = math.hypot(cycles_x / wide, cycles_y / tall)
        phase = 2 * math.pi * float(_between(0, 1, (), generator))
        tint = 1 + 0.3 * _between(-1, 1, (3, 1, 1), generator)
        # Whole cycles may lie just outside the periods that were asked for.
        if not 1 / PERIODS[1] <= frequency <= 1 / PERIODS[0]:
            continue
        waves += tint * torch.cos(2 * math.pi * (cycles_x * across + cycles_y * down) + phase)
        made += 1
    waves = waves * (PATTERN_CONTRAST / waves.std())
    # Eight waves may add up: the extremes stay inside [0.02, 0.98].
    waves = waves * min(1.0, 0.48 / float(waves.abs().max()))
    return _alone(index, 0.5 + waves, margin, generator)


# --- parts -----------------------------------------------------------------------------------------------


def _alone(index: int, background: Tensor, margin: int, generator: torch.Generator) -> SceneSpec:
    none = torch.zeros(0, 2, dtype=torch.float64)
    phase = _between(-0.5, 0.5, 2, generator)
    return SceneSpec(index, background, (), none, phase, _directions(1, generator), margin)


def _margin(height: int, width: int, reach: float) -> int:
    check_size(height, width)
    if not 0 <= reach <= MAX_MOTION:
        raise InputError(f"scenes are built for motion of up to {MAX_MOTION:g} px, got {reach:g} px")
    return math.ceil(reach) + REACH


def _filling(photograph: Tensor, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return a piece (3, height, width) of a photograph from anywhere in it; enlarged if it is too small."""
    tall, wide = photograph.shape[-2:]
    scale = max(height / tall, width / wide)
    if scale > 1:
        size = (max(height, round(tall * scale)), max(width, round(wide * scale)))
        photograph = _resized(photograph, size)
        tall, wide = size
    top = int(torch.randint(0, tall - height + 1, (), generator=generator))
    left = int(torch.randint(0, wide - width + 1, (), generator=generator))
    return photograph[:, top : top + height, left : left + width].to(torch.float64)


def _patch(cutout: Tensor, longest: float, side: int) -> Tensor:
    """Return a straight RGBA cut-out, at ``longest`` px, in the middle of a patch (4, side, side)."""
    tall, wide = cutout.shape[-2:]
    scale = min(longest / max(tall, wide), ENLARGED)
    # What lies under alpha 0 means nothing: it is multiplied away before it can be interpolated.
    premultiplied = torch.cat([cutout[:3] * cutout[3:], cutout[3:]])
    small = _resized(premultiplied, (max(1, round(tall * scale)), max(1, round(wide * scale))))
    # Colour may not exceed what the alpha holds.
    small = torch.cat([torch.minimum(small[:3], small[3:]), small[3:]])
    tall, wide = small.shape[-2:]
    top, left = (side - tall) // 2, (side - wide) // 2
    return F.pad(small, (left, side - wide - left, top, side - tall - top)).to(torch.float64)


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    # With antialias, torch's bicubic has a = −0.5 in both directions.
    resized = F.interpolate(image[None].float(), size, mode="bicubic", antialias=True)[0]
    return resized.clamp(0, 1)


def _between(low: float, high: float, shape: int | tuple[int, ...], generator: torch.Generator) -> Tensor:
    size = (shape,) if isinstance(shape, int) else shape
    return low + (high - low) * torch.rand(size, generator=generator, dtype=torch.float64)


def _directions(count: int, generator: torch.Generator) -> Tensor:
    angle = 2 * math.pi * _between(0, 1, count, generator)
    return torch.stack([angle.cos(), angle.sin()], -1)
