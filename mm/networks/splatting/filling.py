"""Drawing of a frame from moved pixels: what was uncovered is filled, what was torn is repaired."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm.networks.splatting.config import SplattingConfig
from mm.networks.splatting.field import Field
from mm.networks.splatting.forward import splat
from mm.networks.splatting.layers import Residual, conv, up, zero

#: Levels of the pyramid from which holes are filled: the coarsest cell is 64 px wide.
LEVELS = 6

_TINY = 1e-6


def draw(frame: Tensor, field: Field) -> tuple[Tensor, Tensor]:
    """Carry a frame's pixels along a field, and fill holes from the pixels around them.

    Where several pixels land, they are averaged by the weights of their depth order. Holes take the average
    of their surroundings by the weights of the background, from the finest level of a pyramid that has any
    (pull and push: Gortler et al., "The Lumigraph", 1996).

    Args:
        frame: (B, 3, H, W) in [0, 1]; H and W multiples of 16.
        field: of the same size.

    Returns:
        the frame (B, 3, H, W), and the coverage (B, 1, H, W) in [0, 1], 0 in holes.
    """
    order, background = field.order.exp(), field.background.exp()
    ones = torch.ones_like(order)
    landed = splat(torch.cat((frame * order, order, ones, background), 1), field.displacement)
    colour, weight, count, background = landed.split((3, 1, 1, 1), 1)
    colour = colour / (weight + _TINY)
    coverage = count.clamp_max(1)
    share = coverage * (background / (count + _TINY))
    return colour * coverage + _surroundings(colour * share, share) * (1 - coverage), coverage


def _surroundings(colour: Tensor, weight: Tensor, levels: int = LEVELS) -> Tensor:
    """Return the weighted mean colour about each pixel, from larger squares where there is no weight."""
    # Each side by itself: a comparison of both would bind an exported graph to one orientation.
    if not levels or colour.shape[-2] < 2 or colour.shape[-1] < 2:
        total = weight.sum((-2, -1), keepdim=True)
        return (colour.sum((-2, -1), keepdim=True) / (total + _TINY)).expand_as(colour)
    pooled = [F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in (colour, weight)]
    # A smooth way up: squares would show.
    behind = up(_surroundings(pooled[0], pooled[1], levels - 1), colour, "bilinear")
    known = weight / (weight + 0.05)
    return colour / (weight + _TINY) * known + behind * (1 - known)


class FillingNetwork(nn.Module):
    """Repairs a drawn frame: filled holes, torn edges, noise. It begins as the identity.

    Args:
        config: the sizes.
    """

    def __init__(self, config: SplattingConfig) -> None:
        super().__init__()
        half, quarter, eighth = config.filling
        count, deep = config.filling_blocks
        self.entry = conv(16, half)
        self.down = conv(half, quarter, 2)
        self.down_again = conv(quarter, eighth, 2)
        self.deep = nn.Sequential(*(Residual(eighth) for _ in range(deep)))
        self.up_again = conv(eighth, quarter)
        self.blocks = nn.Sequential(*(Residual(quarter) for _ in range(count)))
        self.up = conv(quarter, half)
        self.block = Residual(half)
        self.exit = zero(conv(half, 12))

    def forward(self, frame: Tensor, coverage: Tensor) -> Tensor:
        """(B, 3, H, W) and (B, 1, H, W) → what is to be added to the frame, (B, 3, H, W)."""
        x = F.relu(self.entry(F.pixel_unshuffle(torch.cat((frame * 2 - 1, coverage), 1), 2)))
        y = F.relu(self.down(x))
        y = y + up(self.up_again(self.deep(F.relu(self.down_again(y)))), y)
        x = x + up(self.up(self.blocks(y)), x)
        return F.pixel_shuffle(self.exit(self.block(x)), 2)
