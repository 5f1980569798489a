"""Motion layers: from points that move together to a layer for every pixel.

Which layer a cell belongs to is told from how it moves; where the border runs to the pixel, from which
layer's motion best explains the brightness there (Liu et al. 2005, section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mm.methods.lagrangian.cells import CELL, pixels, to_cells, to_pixels
from mm.methods.lagrangian.fields import LayerField
from mm.methods.lagrangian.sampling import coefficients, sample

# Cells; the deviation of the Gaussian over which cells agree on their layer, then wider ones for flat places.
_AGREE = ((0.7, 1.0), (3.0, 1e-2), (12.0, 1e-4))
# px; how far from the cells' border the pixels' border is looked for, and over which brightness is compared.
_BAND, _COMPARED = 10, 1.5
# A layer must explain the brightness better by this part of the typical error to move the border.
_MARGIN = 0.5
# px; deviation of the Gaussian that makes a border soft, as a camera's pixels do.
_SOFT = 0.7
# px²; what is smaller is no part of a layer, and no hole in one.
_ISLAND = 48
# px, deviations of what lies around an island.
_AROUND = ((2.0, 1.0), (10.0, 1e-3))
# Moments at which brightness is compared, those of most motion.
MOMENTS = 6


def cell_layers(costs: Tensor, tensor: Tensor) -> Tensor:
    """The layer (h, w) of each cell, int64.

    Args:
        costs: (layers, h, w) see :func:`mm.methods.lagrangian.trajectories.unexplained`.
        tensor: (3, h, w) structure tensors; flat cells take their neighbours' layer.
    """
    weight = (tensor[0] + tensor[2])[None, None]
    # Weights of one size, so that a bright contour does not decide for all around it.
    weight = weight / (weight + weight.median().clamp_min(1e-12))
    both = torch.cat([costs[:, None] * weight, weight.expand(1, -1, -1, -1)])
    total = sum(_blurred(both, sigma) * share for sigma, share in _AGREE)
    assert isinstance(total, Tensor)
    return (total[:-1, 0] / total[-1:, 0].clamp_min(1e-20)).argmin(0)


def pixel_layers(
    cells: Tensor, reference: Tensor, frames: Sequence[Tensor], motions: Sequence[Tensor], tensor: Tensor
) -> Tensor:
    """The layer (H, W) of each pixel, int64.

    Args:
        cells: (h, w) the layer of each cell, int64.
        reference: (H, W) luminance.
        frames: luminance (H, W) at some moments.
        motions: (2, h, w) px, displacement of the cells at these moments.
        tensor: (3, h, w) structure tensors of the cells.
    """
    height, width = reference.shape
    names = [int(name) for name in cells.unique()]
    near = F.interpolate(cells[None, None].float(), scale_factor=CELL, mode="nearest")[0, 0]
    first = near[:height, :width].long()
    if len(names) == 1:
        return first
    fields = {name: LayerField(tensor, _inner(cells == name)) for name in names}
    errors = torch.zeros(len(names), height, width, device=reference.device)
    places = pixels(height, width, reference.device)
    for frame, motion in zip(frames, motions, strict=True):
        made = coefficients(frame[None, None])[0]
        for row, name in enumerate(names):
            moved = places + to_pixels(fields[name](motion)[None], height, width)[0]
            errors[row] += (sample(made, moved)[0] - reference).square()
    errors = _blurred(errors[:, None], _COMPARED)[:, 0] / max(1, len(frames))
    own = torch.stack([first == name for name in names])
    # What no layer explains (noise) is what a difference must stand out from.
    noise = errors.amin(0).median()
    score = errors + _MARGIN * noise * ~own
    reach = 2 * _BAND + 1
    beside = F.max_pool2d(own[:, None].float(), reach, 1, _BAND)[:, 0] > 0
    score = score.masked_fill(~beside, torch.inf)
    best = torch.tensor(names, device=cells.device)[score.argmin(0)]
    return _without_islands(best)


def soft(mask: Tensor) -> Tensor:
    """A layer's alpha (H, W) in [0, 1] from where it is (H, W) bool, its border softened by a Gaussian."""
    return _blurred(mask[None, None].float(), _SOFT)[0, 0]


def share_of_cells(mask: Tensor) -> Tensor:
    """Return the layer's share of each cell (h, w); cells at its border count little.

    A window that lies half on a layer measures half of another's motion.
    """
    return _inner(to_cells(mask[None, None].float())[0, 0] > 0.5)


def _inner(cells: Tensor) -> Tensor:
    """1 deep inside, falling towards the border; never quite 0 inside, for layers that are only thin."""
    wide = _blurred(cells[None, None].float(), 2.0)[0, 0]
    return cells * (wide**8 + 1e-5)


def _without_islands(label: Tensor) -> Tensor:
    """Give small islands to what lies around them."""
    made = label.cpu().numpy().astype(np.uint8)
    unknown = np.zeros(made.shape, bool)
    for name in np.unique(made):
        _, parts, stats, _ = cv2.connectedComponentsWithStats((made == name).astype(np.uint8), connectivity=4)
        small = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] < _ISLAND)
        unknown |= np.isin(parts, small[small > 0])
    if unknown.any() and not unknown.all():
        names = torch.from_numpy(np.unique(made[~unknown]))
        known = torch.from_numpy(np.stack([(made == int(name)) & ~unknown for name in names]))
        around = sum(_blurred(known[:, None].float(), sigma) * share for sigma, share in _AROUND)
        assert isinstance(around, Tensor)
        filled = names[around[:, 0].argmax(0)].numpy()
        made = np.where(unknown, filled, made)
    return torch.from_numpy(made.astype(np.int64)).to(label.device)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (n, 1, H, W), the rim repeated."""
    made = [
        cv2.GaussianBlur(each[0].cpu().numpy(), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        for each in image
    ]
    return torch.from_numpy(np.stack(made))[:, None].to(image.device)
