"""The demonstration's clip: things that vibrate too little to be seen, each in its own way.

A string and a beam bend in their first modes, three discs swing along x, along y and along a diagonal, and
one disc and the wall do nothing. Every displacement is known at every moment, so the magnified clip is too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.evaluation.scenes import Layer, Scene, layer, random_texture, record, soft_mask

Mode = Literal["static", "dynamic", "temporal"]

HEIGHT, WIDTH = 144, 192  # px
MARGIN = 24  # px of canvas beyond the frame
INTERIOR = 3  # px inside an object's rim, from where registration sees the object alone
AWAY = 8  # px that the still region keeps from everything that ever moves
BENT = 0.8  # of a bending layer's full displacement; what moves less is not measured


@dataclass(frozen=True)
class Mover:
    """Something that vibrates: displacement ``amplitude × sin(2π frequency t)`` along ``direction``."""

    name: str
    frequency: float  # Hz
    direction: tuple[float, float]  # unit vector, (x, y)
    thin: bool = False  # without an interior; it stands before something plain


# Whole numbers of cycles in two seconds, so that a fitted sinusoid does not depend on where the clip ends.
MOVERS = (
    Mover("string", 5.0, (1.0, 0.0), thin=True),
    Mover("beam", 2.0, (0.0, 1.0)),
    Mover("disc along x", 3.0, (1.0, 0.0)),
    Mover("disc along y", 3.0, (0.0, 1.0)),
    Mover("disc along a diagonal", 3.0, (math.sqrt(0.5), -math.sqrt(0.5))),
)


@dataclass(frozen=True)
class DemoClip:
    """A recorded clip and everything that is true of it.

    Attributes:
        frames: (T, 3, H, W) float32 in [0, 1], with sensor noise, rounded to 8 bits.
        fps: frames a second.
        amplitude: of every vibration, px.
        noise: standard deviation of the sensor noise at mid-grey, in 1/255.
        scene: renders the clip at any displacement.
        displacements: (T, layers, 2) px, float64.
        regions: (H, W) float32 in [0, 1] for each of :data:`MOVERS` by name: the pixels of the rest frame
            that show it alone.
    """

    frames: Tensor
    fps: float
    amplitude: float
    noise: float
    scene: Scene
    displacements: Tensor
    regions: dict[str, Tensor]

    def magnified(self, factor: float, mode: Mode = "static") -> Tensor:
        """Return the clip as it should look magnified, (T, 3, H, W) float32, without noise or rounding."""
        return self.scene.frames(magnified_motion(self.displacements, factor, mode))

    def still(self, factor: float, mode: Mode = "static") -> Tensor:
        """Return (H, W) bool: pixels that nothing moves over or near, neither in the clip nor magnified."""
        motion = magnified_motion(self.displacements, factor, mode)
        movers = [i for i, part in enumerate(self.scene.layers) if part.name in self.regions]
        farthest = motion.norm(dim=-1).argmax(0)[None, :, None].expand(1, -1, 2)
        peak = motion.gather(0, farthest)
        # Rest, both ends of the travel and half-way to them: AWAY covers what is between.
        travel = torch.cat([share * peak for share in (-1.0, -0.5, 0.0, 0.5, 1.0)])
        reached = (self.scene.visible(travel)[:, movers] > 0.02).any(0).any(0)
        grown = F.max_pool2d(reached[None, None].float(), 2 * AWAY + 1, stride=1, padding=AWAY)[0, 0]
        return grown == 0


def magnified_motion(displacements: Tensor, factor: float, mode: Mode) -> Tensor:
    """Return the displacements (T, …, 2) that an exact method gives a clip with these.

    *static*: motion from the first frame, times ``factor``. *dynamic*: motion from the previous frame, times
    ``factor``, put on that frame. *temporal*: motion about its mean, times ``factor``, for a pass band that
    holds all of it.
    """
    if mode == "static":
        origin = displacements[:1]
    elif mode == "dynamic":
        origin = torch.cat([displacements[:1], displacements[:-1]])
    else:
        origin = displacements.mean(0, keepdim=True)
    return origin + factor * (displacements - origin)


def demo_clip(
    *, amplitude: float = 0.2, frames: int = 60, fps: float = 30.0, noise: float = 0.5, seed: int = 1
) -> DemoClip:
    """Render the clip.

    Args:
        amplitude: of every vibration, px; for the string and the beam, where it is largest.
        frames: how many.
        fps: frames a second.
        noise: standard deviation of the photon noise at mid-grey, in 1/255.
        seed: of the textures and the noise.
    """
    scene = _scene(seed)
    time = torch.arange(frames, dtype=torch.float64) / fps
    displacements = torch.zeros(frames, len(scene.layers), 2, dtype=torch.float64)
    names = [part.name for part in scene.layers]
    for mover in MOVERS:
        swing = amplitude * torch.sin(2 * math.pi * mover.frequency * time)
        displacements[:, names.index(mover.name)] = swing[:, None] * torch.tensor(
            mover.direction, dtype=torch.float64
        )
    rest = scene.visible(torch.zeros_like(displacements[:1]))[0]
    regions = {
        m.name: _region(m, rest[names.index(m.name)], scene.layers[names.index(m.name)]) for m in MOVERS
    }
    recorded = record(scene.frames(displacements), noise=noise, seed=seed)
    return DemoClip(recorded, fps, amplitude, noise, scene, displacements, regions)


def _region(mover: Mover, share: Tensor, part: Layer) -> Tensor:
    """Return the pixels at least INTERIOR px inside a layer; of a bending one, where it moves most."""
    if mover.thin:
        # With its own rims, which against a plain board are nearly all there is to see.
        region = F.max_pool2d((share > 0.5).float()[None, None], 5, stride=1, padding=2)[0, 0]
    else:
        side = 2 * INTERIOR + 1
        region = -F.max_pool2d(-(share > 0.98).float()[None, None], side, stride=1, padding=INTERIOR)[0, 0]
    if part.bend is None:
        return region
    full = (part.bend[MARGIN:-MARGIN] > BENT).float()
    return region * (full[:, None] if part.along == "x" else full[None])


# --- the scene -------------------------------------------------------------------------------------------


def _scene(seed: int) -> Scene:
    generator = torch.Generator().manual_seed(seed)
    tall, wide = HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN
    rows, columns = torch.meshgrid(
        torch.arange(tall, dtype=torch.float64) - MARGIN,
        torch.arange(wide, dtype=torch.float64) - MARGIN,
        indexing="ij",
    )

    def texture(colour: tuple[float, float, float], contrast: float, **more: object) -> Tensor:
        return random_texture(tall, wide, generator, colour=colour, contrast=contrast, **more)  # type: ignore[arg-type]

    def box(left: float, top: float, right: float, bottom: float, corner: float = 3.0) -> Tensor:
        """Return the signed distance of a rectangle with rounded corners."""
        across = (columns - (left + right) / 2).abs() - (right - left) / 2 + corner
        down = (rows - (top + bottom) / 2).abs() - (bottom - top) / 2 + corner
        outside = torch.hypot(across.clamp_min(0), down.clamp_min(0))
        return outside + torch.maximum(across, down).clamp_max(0) - corner

    def disc(name: str, x: float, y: float, radius: float, picture: Tensor) -> Layer:
        away = torch.hypot(columns - x, rows - y)
        # Lit from the upper left, darker toward the rim.
        light = 1 + 0.16 * ((x - columns) + (y - rows)) / radius - 0.22 * (away / radius) ** 4
        return layer(name, (picture * light.clamp(0.3, 1.4)).clamp(0.02, 0.98), soft_mask(away - radius))

    # A wall that is lit from the left, a table, a board for the string, a clamp for the beam: none of it
    # moves.
    shade = 1.08 - 0.22 * torch.sin(math.pi * (columns + MARGIN) / wide) ** 2
    wall = layer("wall", texture((0.76, 0.68, 0.57), 0.045, slope=1.1, tint=0.2) * shade)
    table = layer(
        "table",
        texture((0.42, 0.27, 0.17), 0.07, slope=1.2, stretch=(9.0, 1.0)),
        soft_mask(box(-60, 106, 260, 200)),
    )
    board = layer(
        "board",
        texture((0.2, 0.13, 0.1), 0.03, slope=1.2, stretch=(1.0, 9.0)),
        soft_mask(box(12, 6, 52, 102)),
    )
    block = layer("clamp", texture((0.3, 0.32, 0.36), 0.05, slope=0.8), soft_mask(box(66, 66, 84, 98)))

    # The string: wound, bright, in its first mode between two pegs.
    winding = 0.12 * torch.cos(2 * math.pi * (rows + 0.35 * columns) / 6)
    top, bottom = 12.0, 96.0
    along = ((rows[:, 0] - top) / (bottom - top)).clamp(0, 1)
    string = layer(
        "string",
        texture((0.82, 0.68, 0.36), 0.05, slope=0.7) + winding,
        soft_mask(box(29.5, top, 34.5, bottom, corner=2)),
        bend=torch.sin(math.pi * along),
        along="x",
    )
    pegs = layer(
        "pegs",
        texture((0.7, 0.7, 0.68), 0.05),
        soft_mask(
            torch.minimum(torch.hypot(columns - 32, rows - top), torch.hypot(columns - 32, rows - bottom))
            - 4.5
        ),
    )

    # The beam: a ruler, clamped at its left end, in a cantilever's first mode (free end 1.875 rad along).
    reach = ((columns[0] - 84) / (182 - 84)).clamp(0, 1) * 1.8751
    bend = torch.cosh(reach) - torch.cos(reach) - 0.7341 * (torch.sinh(reach) - torch.sin(reach))
    ticks = 0.5 * (1 + torch.cos(2 * math.pi * columns / 7)) ** 3 / 8 * ((81 - rows) / 1.5).sigmoid()
    beam = layer(
        "beam",
        (texture((0.56, 0.64, 0.72), 0.05, slope=0.8) - 0.8 * ticks).clamp(0.05, 0.95),
        soft_mask(box(76, 73, 182, 91, corner=2)),
        bend=bend / bend.max(),
        along="y",
    )

    discs = [
        disc("disc along x", 86, 34, 17, texture((0.62, 0.24, 0.18), 0.1, slope=1.0)),
        disc("disc along y", 127, 34, 17, texture((0.2, 0.42, 0.36), 0.1, slope=1.0)),
        disc("still disc", 167, 34, 16, texture((0.24, 0.34, 0.56), 0.1, slope=1.0)),
        disc("disc along a diagonal", 118, 121, 16, texture((0.76, 0.56, 0.2), 0.1, slope=1.0)),
    ]
    return Scene((wall, table, board, beam, block, string, pegs, *discs), MARGIN)
