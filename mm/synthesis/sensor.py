"""Photon noise and quantisation (Oh et al. 2018, section 3.3), and a camera's sharpening."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# The noise's strength is given for a mid-grey pixel.
_MID_GREY = 0.5
# Standard deviation, px, of the Gaussian of the unsharp mask.
_SHARPENING_WIDTH = 1.0


def photon_noise(frames: Tensor, strength: Tensor, normal: Tensor, read: Tensor | None = None) -> Tensor:
    """Return frames with noise whose variance is proportional to the value, as that of counted photons.

    Args:
        frames: (B, …) in [0, 1].
        strength: (B,) standard deviation at mid-grey, in [0, 1] units.
        normal: standard normal numbers of the frames' shape.
        read: (B,) standard deviation of noise that does not depend on the value, in [0, 1] units.
    """
    strength = strength.view(-1, *[1] * (frames.dim() - 1))
    if read is None:
        return frames + normal * strength * (frames.clamp(min=0.0) / _MID_GREY).sqrt()
    variance = frames.clamp(min=0.0) * (strength.square() / _MID_GREY) + read.view_as(strength).square()
    return frames + normal * variance.sqrt()


def quantise(frames: Tensor, uniform: Tensor, levels: int = 255) -> Tensor:
    """Return frames rounded to ``levels`` steps at random, so that 102.3 becomes 103 in 30 % of cases.

    Rounding to the nearest would hide a change of less than half a step in all pixels at once; on average
    over pixels, random rounding keeps it, as a real sensor's noise does.

    Args:
        frames: in [0, 1]; values outside are clamped.
        uniform: uniform numbers in [0, 1) of the frames' shape.
        levels: steps between 0 and 1: 255 for 8 bit.
    """
    # The scaling may land a hair above ``levels``; and adding 1 − 2⁻²⁴ to a large float rounds up to the next
    # step.
    return (frames.clamp(0.0, 1.0) * levels + uniform).floor().clamp(max=levels) / levels


def sharpen(frames: Tensor, amount: Tensor) -> Tensor:
    """Return frames (…, H, W) plus ``amount`` times their difference from a Gaussian blur of 1 px."""
    steps = torch.arange(-3, 4, device=frames.device, dtype=frames.dtype)
    kernel = (-0.5 * (steps / _SHARPENING_WIDTH) ** 2).exp()
    kernel = kernel / kernel.sum()
    planes = frames.flatten(0, -3)[:, None]
    planes = F.conv2d(F.pad(planes, (0, 0, 3, 3), mode="replicate"), kernel[None, None, :, None])
    planes = F.conv2d(F.pad(planes, (3, 3, 0, 0), mode="replicate"), kernel[None, None, None, :])
    return frames + amount * (frames - planes.view_as(frames))
