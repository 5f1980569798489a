"""A region of a frame as a layer: how much of each pixel is its own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods.stabilisation import inner_distance
from mm.video.grid import Region

# px; a smaller region cannot be followed.
_LEAST = 8


def rectangle(region: Region, height: int, width: int) -> Tensor:
    """The mask (H, W) of a rectangle (x, y, width, height), px.

    Raises:
        InputError: if it does not lie within the frame, or is under 8 px wide or high.
    """
    x, y, wide, high = region
    if not (0 <= x < x + wide <= width and 0 <= y < y + high <= height):
        raise InputError(
            f"region {x},{y},{wide},{high} (x,y,width,height) does not lie within the frame of "
            f"{width}×{height} px; change it"
        )
    if min(wide, high) < _LEAST:
        raise InputError(
            f"a region of {wide}×{high} px is too small to be followed; it must be at least {_LEAST} px "
            "wide and high"
        )
    mask = torch.zeros(height, width)
    mask[y : y + high, x : x + wide] = 1
    return mask


def read_mask(mask: str | Path | Tensor) -> Tensor:
    """A mask (H, W) in [0, 1], float32, from a tensor or an image file, in which white is the region.

    Raises:
        InputError: for a file that is missing or no image, a tensor that is not (H, W) in [0, 1], or a mask
            without a pixel of at least 0.5.
    """
    if isinstance(mask, Tensor):
        name, values = "the mask", mask.detach().cpu().to(torch.float32)
        if values.ndim != 2:
            raise InputError(f"the mask must be of shape (H, W), got {tuple(mask.shape)}")
        # NaN fails both comparisons.
        if values.numel() and not bool(((values >= 0) & (values <= 1)).all()):
            raise InputError(
                f"the mask must be in [0, 1], got values from {values.min():g} to {values.max():g}; "
                "divide 8-bit values by 255"
            )
    else:
        name, path = f"the mask {mask}", Path(mask)
        if not path.is_file():
            raise InputError(f"there is no mask file {mask}; check the path")
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
        if pixels is None or not np.issubdtype(pixels.dtype, np.integer):
            raise InputError(
                f"{mask} cannot be read as a mask; give an image of 8 or 16 bits, white where the region is"
            )
        values = torch.from_numpy(pixels.astype(np.float32) / np.iinfo(str(pixels.dtype)).max)
    if not bool((values >= 0.5).any()):
        raise InputError(f"{name} is empty: no pixel reaches 0.5; make the region white")
    return values


def check_mask(mask: Tensor, height: int, width: int) -> None:
    """Raise InputError unless a mask (H, W) fits frames of this size and is large enough to be followed."""
    if mask.shape != (height, width):
        raise InputError(
            f"the mask is of {mask.shape[1]}×{mask.shape[0]} px, the frames are of {width}×{height} px; "
            "make them one size"
        )
    rows, columns = ((mask >= 0.5).any(dim).nonzero()[:, 0] for dim in (1, 0))
    tall, wide = (int(side[-1] - side[0]) + 1 for side in (rows, columns))
    if min(tall, wide) < _LEAST:
        raise InputError(
            f"the mask's region of {wide}×{tall} px is too small to be followed; it must be at least "
            f"{_LEAST} px wide and high"
        )


def feathered(mask: Tensor, feather: float) -> Tensor:
    """The matte (H, W): the mask, rising from 0 at its rim to itself ``feather`` px inside.

    Inside, so that nothing shows that is not the region's. A region too thin for it rises over half its
    depth, and the frame's border is no rim.
    """
    if not feather:
        return mask
    depth = inner_distance(mask >= 0.5)
    finite = depth[depth.isfinite()]
    border = min(feather, float(finite.max()) / 2) if len(finite) else feather
    rise = ((depth - 0.5) / max(border, 0.5)).clamp(0, 1)
    return mask * (0.5 - 0.5 * torch.cos(torch.pi * rise))
