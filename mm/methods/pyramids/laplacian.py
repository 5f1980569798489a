"""The Laplacian pyramid (Burt and Adelson 1983) with the binomial kernel [1 4 6 4 1] / 16.

Level 0 holds the finest detail. Sizes are halved and rounded up, so any size has a pyramid, and what
``build`` takes apart ``collapse`` puts together to the last bits of rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: px; the shortest side that is reduced again. The kernel's reflection at the border needs 3.
MIN_SIDE = 6


def longest_wavelength(level: int) -> float:
    """Return the longest wavelength, px, half of which is in level ``level``: 7.7, 17, 34 and so on.

    The kernel's response is cos⁴(ω/2), and what a level leaves to the next is reduced and expanded by it,
    at every level so far: Π cos⁸(2ʲω/2), j = 0 … level, which is (sin(n·ω/2) / (n·sin(ω/2)))⁸ with
    n = 2^(level + 1).
    """
    # Here, not above: loading it takes a second, and only one method needs it.
    from scipy.optimize import brentq

    count = 2.0 ** (level + 1)

    def left(angle: float) -> float:
        """Return the share of a wave with n·ω/2 = ``angle`` that the next level gets, less one half."""
        return (math.sin(angle) / (count * math.sin(angle / count))) ** 8 - 0.5

    return math.pi * count / float(brentq(left, 1e-3, math.pi / 2))


def depth(height: int, width: int) -> int:
    """Return the largest number of reductions of an image: no side below 3 px."""
    side, count = min(height, width), 0
    while side >= MIN_SIDE:
        side, count = (side + 1) // 2, count + 1
    return count


def reduce(images: Tensor) -> Tensor:
    """Blur, keep every second pixel: (..., H, W) → (..., ⌈H/2⌉, ⌈W/2⌉); H, W ≥ 3, reflected at the border."""
    *lead, height, width = images.shape
    flat = images.reshape(1, -1, height, width)
    padded = F.pad(flat, (0, 0, 2, 2), mode="reflect")
    rows = _binomial([padded[..., k : k + height : 2, :] for k in range(5)])
    padded = F.pad(rows, (2, 2, 0, 0), mode="reflect")
    both = _binomial([padded[..., k : k + width : 2] for k in range(5)])
    return both.reshape(*lead, *both.shape[-2:])


def expand(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate (..., h, w) to ``size`` = (H, W), with h = ⌈H/2⌉ and w = ⌈W/2⌉."""
    return _interpolate(_interpolate(images, -1, size[1]), -2, size[0])


def build(images: Tensor, levels: int) -> list[Tensor]:
    """Take images (..., H, W) apart into ``levels`` levels, finest first, and the low-pass that is left."""
    parts = []
    for _ in range(levels):
        coarse = reduce(images)
        parts.append(images - expand(coarse, _size(images)))
        images = coarse
    return [*parts, images]


def collapse(parts: Sequence[Tensor]) -> Tensor:
    """Put together what :func:`build` took apart."""
    images = parts[-1]
    for part in reversed(parts[:-1]):
        images = part + expand(images, _size(part))
    return images


def weighted(images: Tensor, weights: Sequence[float]) -> Tensor:
    """Collapse the pyramid of images (..., H, W) with level l multiplied by ``weights[l]``.

    The last weight is that of the low-pass that is left. The levels themselves are never made: with G the
    low-pass images, R(l) = w(l)·G(l) + expand(R(l+1) − w(l)·G(l+1)) takes one expansion a level, and from
    where all further weights are alike, R = w·G takes none.
    """
    own = weights[0]
    if all(weight == own for weight in weights):
        return own * images
    coarse = reduce(images)
    rest = weighted(coarse, weights[1:])
    if own == 0:
        return expand(rest, _size(images))
    return expand(rest.sub_(coarse, alpha=own), _size(images)).add_(images, alpha=own)


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]


def _binomial(taps: Sequence[Tensor]) -> Tensor:
    # Sums of strided views: many times quicker on a CPU than a convolution with one channel.
    outer, inner = taps[0] + taps[4], taps[1] + taps[3]
    return outer.mul_(1 / 16).add_(inner, alpha=4 / 16).add_(taps[2], alpha=6 / 16)


def _interpolate(images: Tensor, dim: int, length: int) -> Tensor:
    """Twice as many samples along ``dim``: [1 6 1] / 8 at the old places, [1 1] / 2 between them."""
    count = images.shape[dim]
    first, last = images.narrow(dim, 0, 1), images.narrow(dim, count - 1, 1)
    before = torch.cat([first, images.narrow(dim, 0, count - 1)], dim)
    after = torch.cat([images.narrow(dim, 1, count - 1), last], dim)
    shape = list(images.shape)
    shape[dim] = length
    out = images.new_empty(shape)
    index: list[slice] = [slice(None)] * images.ndim
    index[dim] = slice(0, None, 2)
    out[tuple(index)] = (before + after).mul_(1 / 8).add_(images, alpha=6 / 8)
    index[dim] = slice(1, None, 2)
    between = (images + after).mul_(1 / 2)
    out[tuple(index)] = between.narrow(dim, 0, length // 2)
    return out
