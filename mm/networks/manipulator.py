"""The manipulator: adds a multiple of the difference between two shapes to one of them.

Neither kind has biases, so both are homogeneous: a difference of zero, or a gain of zero, adds exactly
zero, and what does not move is not touched at any factor.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mm.networks.blocks import PaddedConv, ResidualBlock
from mm.networks.config import NetworkConfig


def scale(x: Tensor, gain: Tensor | float) -> Tensor:
    """Multiply in the gain's precision and return in that of ``x``: in bfloat16 a gain is up to 0.2 % off."""
    return (gain * x).to(x.dtype)


class LinearManipulator(nn.Module):
    """gain · difference. Oh et al. 2018, equation 2."""

    def forward(self, difference: Tensor, gain: Tensor | float) -> Tensor:
        """Return what to add to the anchoring shape.

        Args:
            difference: (B, channels, h, w), a difference of shapes or a temporal band of one.
            gain: a number, or a tensor that broadcasts, (B, 1, 1, 1).

        Returns:
            (B, channels, h, w).
        """
        return scale(difference, gain)


class NonlinearManipulator(nn.Module):
    """h(gain · g(difference)): g is a convolution and ReLU, h a convolution and a residual block.

    Oh et al. 2018, equation 3. As g's output is at least 0, a negative gain (attenuation, or a temporal
    band's negative half) reaches h as negative values; h's first convolution is linear and passes them on.

    Args:
        config: the architecture.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, padding = config.channels, config.padding
        self.g = PaddedConv(channels, channels, config.manipulator_kernel, padding=padding, bias=False)
        self.h_conv = PaddedConv(channels, channels, 3, padding=padding, bias=False)
        self.h_block = ResidualBlock(channels, padding=padding, bias=False)

    def forward(self, difference: Tensor, gain: Tensor | float) -> Tensor:
        """As :meth:`LinearManipulator.forward`."""
        return self.h_block(self.h_conv(scale(F.relu(self.g(difference)), gain)))
