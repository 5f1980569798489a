"""Affine transforms of the plane, and pictures seen through them, exact to a thousandth of a pixel.

A transform is a (2, 3) float64 matrix on the CPU that takes a point (x, y, 1), px, to a point (x, y).

Motion that is magnified tenfold must not be moved by the resampling itself. OpenCV's warps round positions to
1/32 px, and torch's bicubic overstates small shifts by half, so neither is used: pictures are continued by
quintic B-splines (Unser 1999, "Splines: a perfect fit for signal and image processing"), which pass through
every pixel.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# The inverse of the spline's samples falls by 0.43 with every px: below 1e-6 past this many.
_RADIUS = 16
# Pixels resampled at once, which bounds the memory for their neighbours.
_PIECE = 2**16
# Rows: the spline's weight of each neighbour −2 … 3, a polynomial in the position between 0 and 1, times 120.
_WEIGHTS = (
    (1.0, -5.0, 10.0, -10.0, 5.0, -1.0),
    (26.0, -50.0, 20.0, 20.0, -20.0, 5.0),
    (66.0, 0.0, -60.0, 0.0, 30.0, -10.0),
    (26.0, 50.0, 20.0, -20.0, -20.0, 10.0),
    (1.0, 5.0, 10.0, 10.0, 5.0, -5.0),
    (0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
)


def identity() -> Tensor:
    """The transform that leaves every point where it is."""
    return torch.eye(2, 3, dtype=torch.float64)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The transform that applies ``inner``, then ``outer``."""
    linear = outer[:, :2] @ inner
    linear[:, 2] += outer[:, 2]
    return linear


def inverse(transform: Tensor) -> Tensor:
    """The transform that undoes this one; it must not be singular."""
    linear = torch.linalg.inv(transform[:, :2])
    return torch.cat([linear, -linear @ transform[:, 2:]], dim=1)


def shifted(transform: Tensor, before: tuple[float, float], after: tuple[float, float]) -> Tensor:
    """The same map for points counted from ``before`` (x, y), to points counted from ``after``, px."""
    moved = transform.clone()
    moved[:, 2] += transform[:, :2] @ torch.tensor(before, dtype=torch.float64)
    moved[:, 2] -= torch.tensor(after, dtype=torch.float64)
    return moved


def apply(transform: Tensor, points: Tensor) -> Tensor:
    """Take points (n, 2), order (x, y), px, through the transform."""
    linear = transform.to(points)
    return points @ linear[:, :2].T + linear[:, 2]


class Spline:
    """A picture continued between its pixels, and beyond its border by its outermost ones.

    Args:
        picture: (C, H, W), float.
        blur: standard deviation, px, of a Gaussian that it is blurred by on the way; 0 for none.
    """

    def __init__(self, picture: Tensor, blur: float = 0.0) -> None:
        channels, self.height, self.width = picture.shape
        # Three px more than the picture on each side, which positions at its rim reach for.
        padded = F.pad(picture[None], (_RADIUS + 3,) * 4, mode="replicate")[0]
        made = _filtered(_filtered(padded, _taps(blur), -1), _taps(blur), -2)
        self._stride = made.shape[-1]
        self._table = made.reshape(channels, -1).T.contiguous()

    def at(self, points: Tensor) -> Tensor:
        """The values (C, n) at ``points`` (n, 2), order (x, y), px from the first pixel's centre."""
        if not len(points):
            return self._table.new_empty(self._table.shape[1], 0)
        return torch.cat([self._some(some) for some in points.split(_PIECE)]).T

    def _some(self, points: Tensor) -> Tensor:
        x, y = points[:, 0].clamp(0, self.width - 1), points[:, 1].clamp(0, self.height - 1)
        left, top = x.floor(), y.floor()
        across, down = (_neighbours(part.to(self._table)) for part in (x - left, y - top))
        # Position 0 is entry 3 of the padded table, and the first of its neighbours is two before it.
        corner = (top.int() + 1) * self._stride + left.int() + 1
        # Six neighbours side by side are fetched as one row, which takes a sixth of the indices. Such rows
        # overlap, so they are laid out for the part of the picture alone that these points lie in.
        first, last = (int(value) for value in torch.aminmax(corner))
        part = self._table[first : last + 5 * self._stride + 6]
        channels = part.shape[1]
        runs = part.as_strided((len(part) - 5, 6 * channels), (channels, 1))
        beginnings = torch.arange(6, device=points.device, dtype=torch.int32) * self._stride - first
        fetched = F.embedding_bag(
            corner[:, None] + beginnings, runs, mode="sum", per_sample_weights=down.contiguous()
        )
        # Not as a product of matrices, which a GPU may be set to round to 10 bits.
        return (fetched.view(-1, 6, channels) * across[:, :, None]).sum(1)


def grid(
    height: int, width: int, origin: tuple[float, float] = (0.0, 0.0), device: torch.device | None = None
) -> Tensor:
    """The centres of a rectangle of pixels, (height · width, 2), order (x, y), float64, from ``origin``."""
    x = torch.arange(width, dtype=torch.float64, device=device) + origin[0]
    y = torch.arange(height, dtype=torch.float64, device=device) + origin[1]
    return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1).reshape(-1, 2)


def _neighbours(fraction: Tensor) -> Tensor:
    """Weights (n, 6) of the neighbours −2 … 3 of positions in [0, 1)."""
    weights = fraction.new_tensor(_WEIGHTS) / 120
    value = weights[:, 5:]
    for power in (4, 3, 2, 1, 0):
        value = value * fraction + weights[:, power, None]
    return value.T


@lru_cache(maxsize=8)
def _taps(blur: float) -> list[float]:
    """Right half of the filter that makes samples into the spline's coefficients, together with the blur."""
    turn = 2 * np.pi * np.fft.rfftfreq(512)
    samples = (66 + 52 * np.cos(turn) + 2 * np.cos(2 * turn)) / 120
    taps = np.fft.irfft(np.exp(-0.5 * (blur * turn) ** 2) / samples)
    half = taps[: _RADIUS + 1]
    return (half / (2 * half.sum() - half[0])).tolist()


def _filtered(x: Tensor, taps: list[float], dim: int) -> Tensor:
    """A symmetric filter along ``dim``, which loses its radius at both ends. On a CPU quicker than conv2d."""
    radius = len(taps) - 1
    length = x.shape[dim] - 2 * radius
    made = x.narrow(dim, radius, length) * taps[0]
    for away, tap in enumerate(taps[1:], start=1):
        made.add_(x.narrow(dim, radius - away, length), alpha=tap)
        made.add_(x.narrow(dim, radius + away, length), alpha=tap)
    return made
