"""Beyond a frame's border: it goes on with the border's pixels and fades into its mean."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

#: px beyond the border over which a frame fades out
MARGIN = 8


def reach(side: int) -> int:
    """Return the extension of a frame at either end, px; at most half of a short side."""
    return min(MARGIN, side // 2)


class Border:
    """A frame in the middle of a larger image, on which waves are told and turned, and back again.

    A mirrored frame moves against the frame, and what moves along its border meets itself there. What stands
    still beyond the border, and is faint, disturbs less.

    Args:
        frame: height and width, px.
        image: height and width of the larger image, px.
        device: where the images are.
    """

    def __init__(self, frame: tuple[int, int], image: tuple[int, int], device: torch.device) -> None:
        (height, width), (tall, wide) = frame, image
        left, top = (wide - width) // 2, (tall - height) // 2
        self._pads = (left, wide - width - left, top, tall - height - top)
        self._inside = (slice(top, top + height), slice(left, left + width))
        across, down = _fade(width, *self._pads[:2]), _fade(height, *self._pads[2:])
        self.taper = (down[:, None] * across).to(device)

    def extend(self, frames: Tensor) -> Tensor:
        """The images (n, C, …) of frames (n, C, H, W), without each frame's mean, which 0 stands for."""
        centred = frames - frames.mean((-2, -1), keepdim=True)
        return F.pad(centred, self._pads, mode="replicate").mul_(self.taper)

    def crop(self, images: Tensor) -> Tensor:
        """The frames' part (n, C, H, W) of images."""
        return images[..., self._inside[0], self._inside[1]]


def _fade(side: int, before: int, after: int) -> Tensor:
    """1 along ``side``, and half a cosine from it down to 0 over what is added at either end."""
    place = torch.arange(-before, side + after, dtype=torch.float64) + 0.5
    away = torch.maximum(-place / max(before, 1), (place - side) / max(after, 1)).clamp(0, 1)
    return (0.5 + 0.5 * torch.cos(math.pi * away)).float()
