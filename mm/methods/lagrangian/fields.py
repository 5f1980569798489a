"""The motion of one layer everywhere: smooth where it was measured, continued where it could not be."""

from __future__ import annotations

import torch
from torch import Tensor

from mm.methods.lagrangian.refinement import inverse_of, product

# Standard deviations in cells, and how much each counts: a wider one decides where narrower ones see nothing.
_SCALES = ((1.0, 1.0), (4.0, 1e-3), (16.0, 1e-6))
_EVERYWHERE = 1e-8  # the same for the mean over the whole frame
_DAMPING = 1e-4


class LayerField:
    """Continues motion measured on cells to a field of one layer, by normalised convolution.

    Cells are weighted by the structure tensor, so that an edge tells only of the motion across it, a corner
    of both axes, and a flat cell takes its neighbours' motion. That is Lucas and Kanade's sum over a larger
    window.

    Args:
        tensor: (3, h, w) structure tensor of the cells, xx, xy, yy.
        share: (h, w) in [0, 1], how much of each cell is the layer's.
    """

    def __init__(self, tensor: Tensor, share: Tensor) -> None:
        rows, columns = share.shape
        self.weighted = tensor * share
        self._blurs = [
            (_blur(rows, sigma).to(tensor), _blur(columns, sigma).to(tensor) * weight)
            for sigma, weight in _SCALES
        ]
        self._inverse = inverse_of(self._spread(self.weighted) * _AMPLIFIED, _DAMPING) * _AMPLIFIED

    def __call__(self, motion: Tensor) -> Tensor:
        """Motion (2, h, w) as measured → the layer's motion (2, h, w) in every cell."""
        return product(self._inverse, self._spread(product(self.weighted, motion)))

    def _spread(self, image: Tensor) -> Tensor:
        total = image.mean((-2, -1), keepdim=True) * _EVERYWHERE
        for down, across in self._blurs:
            total = total + down @ image @ across.T
        return total


# Where only the widest scale sees something its sums are tiny: they are brought away from the floor that
# keeps the inverse of nothing from being infinite.
_AMPLIFIED = 1e8


def _blur(side: int, sigma: float) -> Tensor:
    place = torch.arange(side, dtype=torch.float32)
    away = (place[:, None] - place) / sigma
    # A Gaussian of unit sum where the frame does not end it.
    return torch.exp(-away.square() / 2) / (sigma * (2 * torch.pi) ** 0.5)
