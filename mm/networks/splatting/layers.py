"""Convolutions of the splatting network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def conv(inside: int, outside: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3×3 convolution that keeps the size, divided by the stride and rounded up."""
    return nn.Conv2d(inside, outside, 3, stride, 1)


class Residual(nn.Module):
    """Convolution, ReLU, convolution, added to the input; the identity at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(channels, channels), conv(channels, channels)
        zero(self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) → the same shape."""
        return x + self.conv2(F.relu(self.conv1(x)))


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    """Set a convolution to zero, and return it."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def up(x: Tensor, like: Tensor, mode: str = "nearest") -> Tensor:
    """Return x enlarged to the height and width of another tensor."""
    return F.interpolate(x, size=like.shape[-2:], mode=mode)
