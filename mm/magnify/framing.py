"""What happens to a frame around a method: resize, cut a region, blend it back, put the input beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mm.errors import InputError
from mm.video.grid import Region, resize, scaled_region, scaled_size
from mm.video.info import ClipInfo

# The soft border of a region is this part of its shorter side wide, and no wider than so many px.
_BORDER_PART, _BORDER_MOST = 0.125, 16


@dataclass(frozen=True)
class Framing:
    """The sizes, region and blending of one clip.

    Attributes:
        size: (height, width) after resizing.
        resized: whether that differs from the input's.
        region: (x, y, width, height) to magnify in the resized frame, None for all of it.
        side_by_side: whether the input is put left of the output.
        mask: (height, width) of the region: how much of the magnified one shows.
    """

    size: tuple[int, int]
    resized: bool
    region: Region | None
    side_by_side: bool
    mask: Tensor | None

    @classmethod
    def of(cls, info: ClipInfo, scale: float, roi: Region | None, side_by_side: bool) -> Framing:
        """Plan for a clip.

        Raises:
            InputError: for a scale that is no number above 0, or a region that is not within the frame.
        """
        size = scaled_size(info, scale)
        region, mask = None, None
        if roi is not None:
            region = scaled_region(info, roi, scale)
            mask = _soft_mask(region, size)
        return cls(size, size != (info.height, info.width), region, side_by_side, mask)

    @property
    def output(self) -> tuple[int, int]:
        """(height, width) of what is written."""
        return self.size[0], self.size[1] * (2 if self.side_by_side else 1)

    @property
    def magnified(self) -> tuple[int, int]:
        """(height, width) of what the method sees."""
        return self.size if self.region is None else (self.region[3], self.region[2])

    @property
    def needs_input(self) -> bool:
        """Whether the input frames are needed once the output is there."""
        return self.side_by_side or self.region is not None

    def resize(self, frames: Tensor) -> Tensor:
        """Input frames (n, 3, H, W) → the size to work in."""
        return resize(frames, self.size)

    def cut(self, frames: Tensor) -> Tensor:
        """Resized frames → what the method sees."""
        if self.region is None:
            return frames
        x, y, width, height = self.region
        return frames[:, :, y : y + height, x : x + width].contiguous()

    def seen(self, point: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
        """Return where the method sees a point of the clip's frames.

        Args:
            point: (x, y) px of the clip's frames; 0 is the centre of the first pixel.
            size: (height, width) of the clip's frames, px.

        Raises:
            InputError: for a point outside of them, or of the region.
        """
        (x, y), (height, width) = point, size
        if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            raise InputError(f"the point {x:g},{y:g} lies outside of the frame of {width}×{height} px")
        place = (x + 0.5) * self.size[1] / width - 0.5, (y + 0.5) * self.size[0] / height - 0.5
        if self.region is None:
            return place
        left, top, wide, high = self.region
        place = place[0] - left, place[1] - top
        if not (-0.5 <= place[0] < wide - 0.5 and -0.5 <= place[1] < high - 0.5):
            raise InputError(f"the point {x:g},{y:g} does not lie within --roi; change one of them")
        return place

    def compose(self, output: Tensor, originals: Tensor | None) -> Tensor:
        """What the method gives, and the resized frames that it is for → what is written."""
        output = output.float().clamp(0, 1)
        if originals is None:
            return output
        if self.region is not None and self.mask is not None:
            x, y, width, height = self.region
            whole = originals.clone()
            whole[:, :, y : y + height, x : x + width].lerp_(output, self.mask)
            output = whole
        return torch.cat([originals, output], dim=-1) if self.side_by_side else output


def _soft_mask(region: Region, size: tuple[int, int]) -> Tensor:
    """1 inside the region, falling to 0 towards its borders; not towards those that are the frame's own."""
    x, y, width, height = region
    border = max(1.0, min(_BORDER_MOST, _BORDER_PART * min(width, height)))

    def profile(begin: int, length: int, limit: int) -> Tensor:
        place = torch.arange(length) + 0.5
        before = torch.full((length,), border) if begin == 0 else place
        after = torch.full((length,), border) if begin + length == limit else length - place
        return 0.5 - 0.5 * torch.cos(torch.pi * (torch.minimum(before, after) / border).clamp(0, 1))

    return profile(y, height, size[0]).unsqueeze(1) * profile(x, width, size[1])
