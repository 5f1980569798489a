"""Scenes whose motion is known exactly, rendered by Fourier shifts and by nothing that training renders with.

A layer is a band-limited picture on a canvas that repeats. Shifting it by any amount, a thousandth of a
pixel or thirty, is multiplying its spectrum by a phase: exact, with no interpolation kernel. An object is its
colour times its mask, and its mask, shifted together, and laid over what is behind as
``behind · (1 − mask) + colour``. So a frame holds the exact samples of the composed scene, whatever the
displacements.

The canvas is wider than the frame by a margin, in which what leaves one side may come back on the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mm.errors import InputError

CUTOFF = 0.35  # cycles/px, the finest detail of a texture by default; Nyquist is 0.5
EDGE = 0.9  # px, standard deviation of the Gaussian that softens a mask's rim: 2 % is left at Nyquist
MASK_CUTOFF = 0.48  # cycles/px, where a softened mask's spectrum is ended, so that its shift is exact
MID_GREY = 0.5


class Triplet(NamedTuple):
    """A pair of frames and its magnified truth, each (3, H, W) in [0, 1]."""

    reference: Tensor
    moved: Tensor
    magnified: Tensor


@dataclass(frozen=True)
class Layer:
    """One background or one object.

    Attributes:
        name: what reports call it.
        pixels: (4, h, w) float64 on the whole canvas: colour already multiplied by the mask, and the mask.
        bend: if given, the layer bends rather than moves as one: its share of the displacement in each row
            (h,) if it moves along x, in each column (w,) if along y. Every row (column) is then shifted by
            itself, which samples the bent picture exactly.
        along: the one axis that a bending layer moves along.
    """

    name: str
    pixels: Tensor
    bend: Tensor | None = None
    along: Literal["x", "y"] = "x"

    def at(self, displacement: Tensor) -> Tensor:
        """Return the layer moved by ``displacement`` (T, 2) px, order (x, y), as (T, 4, h, w)."""
        height, width = self.pixels.shape[-2:]
        x, y = displacement.to(self.pixels).unbind(-1)
        across, down = _frequencies(width, self.pixels), _frequencies(height, self.pixels)
        if self.bend is None:
            across = across[: width // 2 + 1]
            turn = torch.exp(-2j * math.pi * (y[:, None, None] * down[:, None] + x[:, None, None] * across))
            return torch.fft.irfft2(torch.fft.rfft2(self.pixels) * turn[:, None], s=(height, width))
        share = self.bend.to(self.pixels)
        if self.along == "x":
            turn = torch.exp(-2j * math.pi * x[:, None, None] * share[:, None] * across)
            return torch.fft.ifft(torch.fft.fft(self.pixels, dim=-1) * turn[:, None], dim=-1).real
        turn = torch.exp(-2j * math.pi * y[:, None, None] * down[:, None] * share)
        return torch.fft.ifft(torch.fft.fft(self.pixels, dim=-2) * turn[:, None], dim=-2).real


@dataclass(frozen=True)
class Scene:
    """Layers from back to front; the first covers the canvas.

    Attributes:
        layers: each of the canvas's size.
        margin: px of canvas beyond the frame on each side.
    """

    layers: tuple[Layer, ...]
    margin: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame, px."""
        height, width = self.layers[0].pixels.shape[-2:]
        return height - 2 * self.margin, width - 2 * self.margin

    def frames(self, displacements: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Render the scene at each of T moments.

        Args:
            displacements: (T, layers, 2) px from where each layer was made, order (x, y).
            dtype: of the result; the rendering itself is in float64.

        Returns:
            (T, 3, H, W) in [0, 1].
        """
        moments = self._checked(displacements)
        return torch.stack([self._compose(moment)[0].clamp(0, 1).to(dtype) for moment in moments])

    def visible(self, displacements: Tensor) -> Tensor:
        """Return (T, layers, H, W): how much of each pixel is each layer's, in [0, 1]; they sum to 1."""
        return torch.stack([self._compose(moment)[1].clamp(0, 1) for moment in self._checked(displacements)])

    def triplet(self, displacements: Tensor, factor: float, dtype: torch.dtype = torch.float32) -> Triplet:
        """Render rest, each layer moved by ``displacements`` (layers, 2) px, and ``factor`` times that."""
        steps = torch.tensor([0.0, 1.0, factor], dtype=torch.float64)
        return Triplet(*self.frames(steps[:, None, None] * displacements.to(torch.float64), dtype))

    def _checked(self, displacements: Tensor) -> Tensor:
        if displacements.ndim != 3 or displacements.shape[1:] != (len(self.layers), 2):
            raise InputError(
                f"displacements must be (moments, {len(self.layers)} layers, 2), "
                f"got {tuple(displacements.shape)}"
            )
        return displacements.to(torch.float64)

    def _compose(self, moment: Tensor) -> tuple[Tensor, Tensor]:
        height, width = self.size
        rows, columns = slice(self.margin, self.margin + height), slice(self.margin, self.margin + width)
        colour = torch.zeros((), dtype=torch.float64)
        shares: list[Tensor] = []
        for layer, displacement in zip(self.layers, moment, strict=True):
            still = not bool(displacement.any())
            pixels = (layer.pixels if still else layer.at(displacement[None])[0])[:, rows, columns]
            behind = 1 - pixels[3]
            colour = colour * behind + pixels[:3]
            shares = [share * behind for share in shares] + [pixels[3]]
        return colour, torch.stack(shares)


# --- making layers ---------------------------------------------------------------------------------------


def random_texture(
    height: int,
    width: int,
    generator: torch.Generator,
    *,
    colour: Sequence[float] = (0.5, 0.5, 0.5),
    contrast: float = 0.12,
    slope: float = 1.0,
    cutoff: float = CUTOFF,
    stretch: tuple[float, float] = (1.0, 1.0),
    tint: float = 0.35,
) -> Tensor:
    """Return a random texture (3, height, width), float64, that repeats and ends at ``cutoff``.

    Args:
        height, width: px.
        generator: of the random phases and amplitudes.
        colour: its mean.
        contrast: standard deviation of its luminance; lowered where the extremes would leave [0.02, 0.98].
        slope: amplitude falls as frequency to this power: about 1 in photographs, 0 is fine grain.
        cutoff: cycles/px.
        stretch: of the grain along (x, y): (8, 1) looks like wood.
        tint: of the variation, how much is in colour rather than in luminance.
    """
    like = torch.zeros((), dtype=torch.float64)
    across, down = _frequencies(width, like), _frequencies(height, like)[:, None]
    fineness = torch.hypot(across * stretch[0], down * stretch[1])
    amplitude = (fineness**2 + (1 / max(height, width)) ** 2) ** (-slope / 2)
    amplitude = amplitude * (torch.hypot(across, down) < cutoff) * (fineness > 0)
    noise = torch.randn(4, height, width, generator=generator, dtype=torch.float64)
    grain = torch.fft.ifft2(torch.fft.fft2(noise) * amplitude).real
    grain = grain / grain.std((-2, -1), keepdim=True).clamp_min(1e-12)
    grain = grain[:1] + tint * grain[1:]
    mean = torch.tensor(list(colour), dtype=torch.float64)[:, None, None]
    room = torch.minimum(0.98 - mean, mean - 0.02).clamp_min(0)
    fits = (room / grain.abs().amax((-2, -1), keepdim=True)).amin()
    return mean + grain * torch.minimum(fits, torch.tensor(contrast, dtype=torch.float64))


def texture_from_image(image: Tensor, height: int, width: int, *, cutoff: float = CUTOFF) -> Tensor:
    """Return the middle of a photograph as a periodic texture (3, height, width), float64.

    What makes its opposite sides differ is taken out as a smooth addition (the periodic component of L.
    Moisan, "Periodic plus smooth image decomposition", 2011), then everything finer than ``cutoff``
    cycles/px.

    Args:
        image: (3, h, w) in [0, 1].
        height, width: px.
        cutoff: cycles/px.

    Raises:
        InputError: if the photograph is smaller than that.
    """
    tall, wide = image.shape[-2:]
    if tall < height or wide < width:
        raise InputError(
            f"an image of {wide}×{tall} px cannot fill a canvas of {width}×{height} px; give a larger one"
        )
    top, left = (tall - height) // 2, (wide - width) // 2
    crop = image[:, top : top + height, left : left + width].to(torch.float64)
    jump = torch.zeros_like(crop)
    rows, columns = crop[:, -1] - crop[:, 0], crop[:, :, -1] - crop[:, :, 0]
    jump[:, 0] += rows
    jump[:, -1] -= rows
    jump[:, :, 0] += columns
    jump[:, :, -1] -= columns
    across, down = _frequencies(width, crop), _frequencies(height, crop)[:, None]
    laplacian = 2 * torch.cos(2 * math.pi * across) + 2 * torch.cos(2 * math.pi * down) - 4
    laplacian[0, 0] = 1
    smooth = torch.fft.fft2(jump) / laplacian
    smooth[:, 0, 0] = 0
    spectrum = (torch.fft.fft2(crop) - smooth) * (torch.hypot(across, down) < cutoff)
    return torch.fft.ifft2(spectrum).real


def soft_mask(distance: Tensor, edge: float = EDGE) -> Tensor:
    """Return the mask (h, w) of a shape given by its signed distance (h, w) px, negative inside.

    The rim is a step blurred by a Gaussian of ``edge`` px, in closed form, and then ended at a frequency,
    so that its Fourier shift is exact.
    """
    return _end_spectrum(0.5 * torch.special.erfc(distance.to(torch.float64) / (edge * math.sqrt(2))))


def layer(
    name: str,
    texture: Tensor,
    mask: Tensor | None = None,
    *,
    bend: Tensor | None = None,
    along: Literal["x", "y"] = "x",
) -> Layer:
    """Return ``texture`` (3, h, w) cut out by ``mask`` (h, w) as a layer; without a mask all of it."""
    if mask is None:
        return Layer(name, torch.cat([texture, torch.ones_like(texture[:1])]).to(torch.float64))
    colour = _end_spectrum(texture.to(torch.float64) * mask)
    return Layer(name, torch.cat([colour, mask[None].to(torch.float64)]), bend, along)


def random_scene(
    height: int,
    width: int,
    seed: int,
    *,
    objects: tuple[int, int] = (3, 6),
    margin: int = 32,
    cutoff: float = CUTOFF,
    photograph: Tensor | None = None,
) -> Scene:
    """Return a scene of textured, rounded objects that overlap on a textured background.

    Args:
        height, width: of a frame, px.
        seed: of everything random.
        objects: least and most objects, both included; (0, 0) for a background alone.
        margin: px; at least the largest displacement that will be asked for.
        cutoff: cycles/px, the finest detail.
        photograph: (3, h, w) in [0, 1], at least the canvas's size, for the background; random if None.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))

    def texture() -> Tensor:
        return random_texture(
            tall,
            wide,
            generator,
            colour=[uniform(0.2, 0.8) for _ in range(3)],
            contrast=uniform(0.06, 0.2),
            slope=uniform(0.5, 1.6),
            cutoff=cutoff,
            tint=uniform(0, 0.6),
        )

    tall, wide = height + 2 * margin, width + 2 * margin
    behind = texture() if photograph is None else texture_from_image(photograph, tall, wide, cutoff=cutoff)
    layers = [layer("background", behind)]
    count = int(torch.randint(objects[0], objects[1] + 1, (), generator=generator))
    rows, columns = torch.meshgrid(
        torch.arange(tall, dtype=torch.float64), torch.arange(wide, dtype=torch.float64), indexing="ij"
    )
    for number in range(count):
        x, y = margin + uniform(0.1, 0.9) * width, margin + uniform(0.1, 0.9) * height
        radius = uniform(0.12, 0.28) * min(height, width)
        angle = torch.atan2(rows - y, columns - x)
        outline = torch.full_like(angle, radius)
        for wave in (2, 3, 5):
            outline = outline + radius * uniform(0, 0.25) / wave * torch.cos(
                wave * angle + uniform(0, 2 * math.pi)
            )
        distance = torch.hypot(columns - x, rows - y) - outline
        layers.append(layer(f"object {number + 1}", texture(), soft_mask(distance)))
    return Scene(tuple(layers), margin)


def random_displacements(count: int, length: float, generator: torch.Generator) -> Tensor:
    """Return (count, 2) displacements, float64, each of ``length`` px in a direction of its own."""
    angle = 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)
    return length * torch.stack([angle.cos(), angle.sin()], -1)


def record(frames: Tensor, *, noise: float = 0.0, bits: int | None = 8, seed: int = 0) -> Tensor:
    """Return what a camera would record of ``frames`` (…, H, W) in [0, 1]: photon noise, then rounding.

    Args:
        frames: the true scene.
        noise: standard deviation at mid-grey, in 1/255; the variance is proportional to the value.
        bits: of the recording; None leaves it unrounded.
        seed: of the noise.
    """
    if noise > 0:
        generator = torch.Generator().manual_seed(seed)
        grain = torch.randn(frames.shape, generator=generator, dtype=torch.float32).to(frames)
        frames = frames + grain * (noise / 255) * (frames / MID_GREY).clamp_min(0).sqrt()
    if bits is not None:
        levels = 2**bits - 1
        frames = (frames * levels).round() / levels
    return frames.clamp(0, 1)


def _end_spectrum(picture: Tensor) -> Tensor:
    height, width = picture.shape[-2:]
    across, down = _frequencies(width, picture), _frequencies(height, picture)[:, None]
    return torch.fft.ifft2(torch.fft.fft2(picture) * (torch.hypot(across, down) < MASK_CUTOFF)).real


def _frequencies(count: int, like: Tensor) -> Tensor:
    return torch.fft.fftfreq(count, dtype=like.dtype, device=like.device)
