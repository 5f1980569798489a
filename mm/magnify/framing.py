"""A frame around a method: resized, cut to a region, blended back, put beside the input."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mm.video.grid import Region, View, scaled_region, scaled_size
from mm.video.info import ClipInfo

# The soft border of a region is this part of its shorter side wide, and no wider than so many px.
_BORDER_PART, _BORDER_MOST = 0.125, 16


@dataclass(frozen=True)
class Framing(View):
    """A view of a clip, and the way back into the frames that are written.

    Attributes:
        side_by_side: whether the input is put left of the output.
        mask: (height, width) of the region: the part of the magnified pixels, from 0 to 1; None without one.
    """

    side_by_side: bool = False
    mask: Tensor | None = None

    @classmethod
    def of(cls, info: ClipInfo, scale: float, roi: Region | None, side_by_side: bool) -> Framing:
        """Plan for a clip.

        Raises:
            InputError: for a scale that is no number above 0, or a region that is not within the frame.
        """
        size = scaled_size(info, scale)
        region = None if roi is None else scaled_region(info, roi, scale)
        mask = None if region is None else _soft_mask(region, size)
        return cls((info.height, info.width), size, region, side_by_side, mask)

    @property
    def output(self) -> tuple[int, int]:
        """(height, width) of the frames that are written."""
        return self.size[0], self.size[1] * (2 if self.side_by_side else 1)

    @property
    def needs_input(self) -> bool:
        """True if the input frames are needed once the output is there."""
        return self.side_by_side or self.region is not None

    def compose(self, output: Tensor, originals: Tensor | None) -> Tensor:
        """Put the method's frames back into the resized ones, where :attr:`needs_input` asks for these."""
        output = output.clamp(0, 1)
        if originals is None:
            return output
        if self.region is not None and self.mask is not None:
            x, y, width, height = self.region
            whole = originals.clone()
            whole[:, :, y : y + height, x : x + width].lerp_(output, self.mask)
            output = whole
        return torch.cat([originals, output], dim=-1) if self.side_by_side else output


def _soft_mask(region: Region, size: tuple[int, int]) -> Tensor:
    """A mask of 1 inside the region, falling to 0 towards those of its borders that are not the frame's."""
    x, y, width, height = region
    border = max(1.0, min(_BORDER_MOST, _BORDER_PART * min(width, height)))

    def profile(begin: int, length: int, limit: int) -> Tensor:
        place = torch.arange(length) + 0.5
        before = torch.full((length,), border) if begin == 0 else place
        after = torch.full((length,), border) if begin + length == limit else length - place
        return 0.5 - 0.5 * torch.cos(torch.pi * (torch.minimum(before, after) / border).clamp(0, 1))

    return profile(y, height, size[0]).unsqueeze(1) * profile(x, width, size[1])
