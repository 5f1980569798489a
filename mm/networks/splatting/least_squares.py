"""Normal equations of a least-squares shift between two frames, at several scales.

Small motion is read as Lucas and Kanade do (1981): a shift d changes a frame by t = −∇I · d, and the d that
explains a place best solves ``Σ ∇I ∇Iᵀ d = −Σ ∇I t``. The left side depends on the frames' mean alone,
and the right side is linear in their difference. So is the shift: a temporal filter may act on the frames
first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Channels of an equation: the entries xx, xy, yy of the matrix, x and y of the right side, and the squared
#: change.
CHANNELS = 6

#: Eigenvalue of the matrix below which a neighbourhood says nothing: the square of a gradient of a third of
#: a grey level #: a px.
FLOOR = 2e-6

#: Part of the trace that is added to the matrix, against neighbourhoods with one direction only.
RIDGE = 2e-3

#: Taps at 0, 1 and 2 px of a smoothing kernel and of the derivative that belongs to it: Farid and Simoncelli,
#: "Differentiation of Discrete Multidimensional Signals" (2004), table of 5 taps.
SMOOTH = (0.426375, 0.249153, 0.037659)
SLOPE = (0.0, 0.276691, 0.109604)

#: Levels of the image pyramid, each half the size of the one before.
LEVELS = 5


class Equations(NamedTuple):
    """Normal equations (B, 6, h, w) at 1/4, 1/8 and 1/16 of the resolution.

    Their units are those of values in [0, 1] and full-resolution px.
    ``fine`` holds those of the two finest levels of the image pyramid, for small motion; ``coarse`` those of
    the level that has the grid's own resolution, for motion of several px.
    """

    fine: Tensor
    coarse: tuple[Tensor, Tensor, Tensor]
    pixels: Tensor
    """(B, 6, h/2, w/2), those of the finest level, for the course of borders."""
    change: Tensor
    """(B, 1, h/4, w/4), largest absolute change in each square of 4 px, [0, 1] units."""

    def times(self, gain: Tensor) -> Equations:
        """Return the equations whose solutions are ``gain`` (B, 1, 1, 1) times as long."""
        scale = torch.cat((torch.ones_like(gain).expand(-1, 3, 1, 1), gain, gain, gain * gain), 1)
        coarse = (self.coarse[0] * scale, self.coarse[1] * scale, self.coarse[2] * scale)
        return Equations(self.fine * scale, coarse, self.pixels * scale, self.change * gain.abs())


def equations(a: Tensor, b: Tensor) -> Equations:
    """Return the normal equations of the shift from ``a`` to ``b``.

    Args:
        a: (B, 3, H, W) in [0, 1], the reference; H and W multiples of 16.
        b: (B, 3, H, W) in [0, 1], the moved frame.
    """
    difference = b - a
    change = F.max_pool2d(difference.abs().amax(1, keepdim=True), 4)
    mean = (a + b) / 2
    found = []
    for level in range(LEVELS):
        if level:
            mean, difference = F.avg_pool2d(mean, 2), F.avg_pool2d(difference, 2)
        products, mean, difference = _products(mean, difference, 2.0**level)
        found.append(products)
    pixels = F.avg_pool2d(found[0], 2)
    fine = F.avg_pool2d(pixels + found[1], 2)
    return Equations(fine, (found[2], found[3], found[4]), pixels, change)


def solve(equation: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shift that solves each equation, and what is known of it.

    Args:
        equation: (B, 6, h, w).

    Returns:
        the shift (B, 2, h, w), px (x, y); and four logarithms (B, 4, h, w), each about 1 in size: of the
        gradient's power, of its power across the weaker direction, of the change against the gradient, and
        of the change that the shift leaves unexplained.
    """
    xx, xy, yy, x, y, square = equation.unbind(1)
    trace = xx + yy
    added = FLOOR + RIDGE * trace
    determinant = (xx + added) * (yy + added) - xy * xy
    shift = torch.stack(((yy + added) * x - xy * y, (xx + added) * y - xy * x), 1) / determinant[:, None]
    known = torch.stack(
        (
            (trace + 1e-7).log() / 5 + 2,
            (determinant / (trace + added) + 1e-7).log() / 5 + 2,
            ((square + 1e-9) / (trace + 1e-7)).log() / 5,
            residual(equation, shift[:, None])[:, 0],
        ),
        1,
    )
    return shift, known


def residual(equation: Tensor, shifts: Tensor) -> Tensor:
    """Return how much of the change each shift leaves unexplained, as a logarithm of about 1 in size.

    Args:
        equation: (B, 6, h, w).
        shifts: (B, K, 2, h, w), px (x, y).

    Returns:
        (B, K, h, w).
    """
    xx, xy, yy, x, y, square = (entry[:, None] for entry in equation.unbind(1))
    across, down = shifts.unbind(2)
    left = square + across * (xx * across - 2 * x) + down * (yy * down - 2 * y + 2 * xy * across)
    return (left.clamp_min(0) + 1e-9).log() / 5 + 3


def _products(mean: Tensor, change: Tensor, spacing: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the equations of single pixels, and mean and change smoothed for the next level of the pyramid.

    ``spacing`` is the distance of the pixels in full-resolution px.
    """
    rows, smooth_change = _along(mean, SMOOTH, 2), _along(_along(change, SMOOTH, 2), SMOOTH, 3)
    x = _along(rows, SLOPE, 3) / spacing
    columns = _along(mean, SMOOTH, 3)
    y = _along(columns, SLOPE, 2) / spacing
    pairs = ((x, x), (x, y), (y, y), (x, -smooth_change), (y, -smooth_change), (smooth_change, smooth_change))
    products = torch.stack([(one * other).sum(1) for one, other in pairs], 1)
    return products, _along(columns, SMOOTH, 2), smooth_change


def _along(x: Tensor, taps: tuple[float, float, float], dim: int) -> Tensor:
    """Return x (B, C, H, W) filtered along rows or columns.

    The taps are those at 0, 1 and 2 px; a kernel whose first tap is 0 is odd.
    """
    length = x.shape[dim]
    x = F.pad(x, (2, 2, 0, 0) if dim == 3 else (0, 0, 2, 2), mode="replicate")
    far_left, left, middle, right, far_right = (x.narrow(dim, start, length) for start in range(5))
    if taps[0] == 0:
        return (right - left) * taps[1] + (far_right - far_left) * taps[2]
    return middle * taps[0] + (left + right) * taps[1] + (far_left + far_right) * taps[2]
