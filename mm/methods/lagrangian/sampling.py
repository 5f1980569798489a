"""Images between their pixels: cubic splines, exact enough that a tenth of a pixel stays a tenth.

OpenCV's remap rounds places to 1/32 px and torch's bicubic overstates small shifts by half, so neither is
used. A cubic B-spline through the pixels has four non-negative weights an axis, which a bilinear look-up
takes two at a time: four look-ups a point, which a GPU and a vector unit both do quickly.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.methods.lagrangian.cells import CELL, at, centres

# The spline's samples 1/6, 4/6, 1/6 are undone by a filter that falls by this with every px (Unser 1999).
_POLE = math.sqrt(3) - 2
# Past this many px it is below 1e-5.
_REACH = 9


def coefficients(image: Tensor) -> Tensor:
    """Return the coefficients of the spline through ``image`` (n, C, H, W), mirrored at the rim."""
    gain = 6 / (1 - _POLE**2) * -_POLE
    taps = [gain * _POLE**distance for distance in range(_REACH + 1)]
    for axis in (-2, -1):
        side = image.shape[axis]
        reach = min(_REACH, side - 1)
        pads = (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach)
        padded = F.pad(image, pads, mode="reflect")
        image = image * taps[0]
        for distance in range(1, reach + 1):
            image.add_(padded.narrow(axis, reach - distance, side), alpha=taps[distance])
            image.add_(padded.narrow(axis, reach + distance, side), alpha=taps[distance])
    return image


def sample(made: Tensor, places: Tensor) -> Tensor:
    """The image with the coefficients ``made`` (C, H, W) at ``places`` (2, h, w) px, order (x, y).

    Beyond the rim the outermost pixels continue.

    Returns:
        (C, h, w).
    """
    height, width = made.shape[-2:]
    # One px more all round, mirrored as the coefficients were, is what places at the rim reach for.
    padded = F.pad(made[None], (1, 1, 1, 1), mode="reflect")
    axes = []
    for place, side in ((places[0], width), (places[1], height)):
        place = place.clamp(0, side - 1)
        whole = place.floor().clamp_(max=max(side - 2, 0))
        part = place - whole
        rest = 1 - part
        first, last = rest * rest * rest / 6, part * part * part / 6
        second = 2 / 3 - part * part * (2 - part) / 2
        lower = first + second
        upper = 1 - lower
        # Places among the padded pixels, in [-1, 1].
        step = 2 / (side + 1)
        axes.append(
            (
                ((whole + second / lower) * step - 1, lower),
                ((whole + 2 + last / upper) * step - 1, upper),
            )
        )
    total: Tensor | None = None
    for x, across in axes[0]:
        for y, down in axes[1]:
            part = F.grid_sample(
                padded, torch.stack([x, y], dim=-1)[None], "bilinear", "border", align_corners=True
            )[0].mul_(across * down)
            total = part if total is None else total.add_(part)
    assert total is not None
    return total


def inverse(field: Tensor, *, steps: int = 6) -> Tensor:
    """The way back of a motion, by fixed-point iteration: point p that goes to p + motion(p) = place.

    It settles where the motion's differences between neighbouring pixels are below one pixel; where they are
    not, the picture folds and one of the points is taken.

    Args:
        field: (2, h, w) px on the grid of cells, see :mod:`cells`.
        steps: of the iteration.

    Returns:
        (2, h, w) px from the cells' centres, as places, to their points.
    """
    rows, columns = field.shape[-2:]
    places = centres(rows * CELL, columns * CELL).to(field)
    back = -field
    for _ in range(steps - 1):
        back = -at(field, places + back)
    return back
