"""Grid of pixels that a clip is worked on: its frames resized, and a region of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.video.info import ClipInfo

MOST_SIDE = 2**15
"""The longest side of a frame that is resized, px."""
Region = tuple[int, int, int, int]
"""x, y, width and height, px."""


def scaled_size(info: ClipInfo, scale: float) -> tuple[int, int]:
    """Return the (height, width) of a clip's frames once resized.

    Raises:
        InputError: for a scale that is no number above 0, or frames that are larger than :data:`MOST_SIDE`.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"scale must be a number above 0, got {scale:g}")
    height, width = max(1, round(info.height * scale)), max(1, round(info.width * scale))
    if max(height, width) > MOST_SIDE:
        raise InputError(
            f"scale {scale:g} makes frames of {width}×{height} px, and a side has {MOST_SIDE} px at most; "
            "lower it"
        )
    return height, width


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


@dataclass(frozen=True)
class View:
    """A clip's frames as they are worked on: resized, then cut to a region.

    Attributes:
        clip: (height, width) of the clip's frames, px.
        size: (height, width) after resizing.
        region: the part of the resized frame that is worked on; None for all of it.
    """

    clip: tuple[int, int]
    size: tuple[int, int]
    region: Region | None

    @property
    def seen(self) -> tuple[int, int]:
        """(height, width) of the frames that are worked on."""
        return self.size if self.region is None else (self.region[3], self.region[2])

    def resize(self, frames: Tensor) -> Tensor:
        """Resize the clip's frames (n, C, H, W)."""
        return resize(frames, self.size)

    def cut(self, frames: Tensor) -> Tensor:
        """Cut the region out of resized frames."""
        if self.region is None:
            return frames
        x, y, width, height = self.region
        return frames[:, :, y : y + height, x : x + width].contiguous()

    def point(self, point: tuple[float, float]) -> tuple[float, float]:
        """Return the place of a clip's point (x, y), px; 0 is the centre of the first pixel.

        Raises:
            InputError: for a point outside the frame or the region.
        """
        (x, y), (height, width) = point, self.clip
        if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            raise InputError(f"the point {x:g},{y:g} lies outside of the frame of {width}×{height} px")
        left, top, wide, high = self.region or (0, 0, self.size[1], self.size[0])
        place = (x + 0.5) * self.size[1] / width - 0.5 - left, (y + 0.5) * self.size[0] / height - 0.5 - top
        if not (-0.5 <= place[0] < wide - 0.5 and -0.5 <= place[1] < high - 0.5):
            raise InputError(f"the point {x:g},{y:g} does not lie within --roi; change one of them")
        return place

    def box(self, box: Region) -> Region:
        """Return the place of a clip's rectangle.

        Raises:
            InputError: for a rectangle that is not within the frame and the region.
        """
        (x, y, wide, high), (height, width) = box, self.clip
        called = f"region {x},{y},{wide},{high} (x,y,width,height, px of the input)"
        if not (0 <= x < x + wide <= width and 0 <= y < y + high <= height):
            raise InputError(f"{called} does not lie within the frame of {width}×{height} px; change it")
        left, right = (round(edge * self.size[1] / width) for edge in (x, x + wide))
        top, bottom = (round(edge * self.size[0] / height) for edge in (y, y + high))
        x, y, wide, high = self.region or (0, 0, self.size[1], self.size[0])
        if not (x <= left and right <= x + wide and y <= top and bottom <= y + high):
            raise InputError(f"{called} does not lie within --roi; change one of them")
        return left - x, top - y, right - left, bottom - top
