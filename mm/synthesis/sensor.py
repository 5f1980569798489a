"""What the camera adds: photon noise and quantisation (Oh et al. 2018, section 3.3)."""

from __future__ import annotations

from torch import Tensor

# The noise's strength is given for a mid-grey pixel.
_MID_GREY = 0.5


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
