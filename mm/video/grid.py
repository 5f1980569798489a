"""Grid of pixels that a clip is worked on: its frames resized, and a region of them."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.video.info import ClipInfo

Region = tuple[int, int, int, int]
"""x, y, width and height, px."""


def scaled_size(info: ClipInfo, scale: float) -> tuple[int, int]:
    """Return the (height, width) of a clip's frames once resized.

    Raises:
        InputError: for a scale that is no number above 0.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"scale must be a number above 0, got {scale:g}")
    return max(1, round(info.height * scale)), max(1, round(info.width * scale))


def scaled_region(info: ClipInfo, roi: Region, scale: float) -> Region:
    """Return a region of a clip's frames in px of the resized ones.

    Raises:
        InputError: for a region that is not within the frame, or a scale that is no number above 0.
    """
    x, y, width, height = roi
    if not (0 <= x < x + width <= info.width and 0 <= y < y + height <= info.height):
        raise InputError(
            f"roi {x},{y},{width},{height} (x,y,width,height) does not lie within the frame "
            f"of {info.width}×{info.height} px; change it"
        )
    tall, wide = scaled_size(info, scale)
    left, right = (min(wide, round(edge * scale)) for edge in (x, x + width))
    top, bottom = (min(tall, round(edge * scale)) for edge in (y, y + height))
    return left, top, right - left, bottom - top


def resize(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize frames (n, C, H, W) to (height, width); values stay in [0, 1]."""
    if frames.shape[-2:] == size:
        return frames
    # With antialias, torch's bicubic has a = −0.5 in both directions.
    return F.interpolate(frames, size, mode="bicubic", antialias=True).clamp_(0, 1)
