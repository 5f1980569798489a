"""The pieces that every part of the network is made of: a padded convolution, a residual block, 2× up."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm.networks.padding import pad

ConvPadding = Literal["reflect", "replicate", "zeros", "same"]


class PaddedConv(nn.Conv2d):
    """A square 2-D convolution that keeps the size (divided by the stride).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the kernel in px, odd.
        stride: step in px.
        padding: "reflect", "replicate" or "zeros" pad kernel // 2 px on every side; "same" pads zeros by
            TensorFlow's rule on sizes that the stride divides: kernel − stride px in all, the smaller half
            above and on the left.
        bias: whether there is one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        padding: ConvPadding = "reflect",
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, bias=bias)
        total = kernel - stride if padding == "same" else 2 * (kernel // 2)
        before = total // 2
        after = total - before
        self.margins = (before, after, before, after)
        self.pad_mode = {"same": "constant", "zeros": "constant"}.get(padding, padding)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, out_channels, H / stride, W / stride)."""
        if not any(self.margins):
            return super().forward(x)
        if x.is_cpu and torch.is_autocast_enabled("cpu"):
            # Autocast on the CPU pads by reflection in float32, which costs two conversions a convolution and
            # gives nothing: padding only copies values.
            with torch.autocast("cpu", enabled=False):
                x = pad(x, self.margins, self.pad_mode)
        else:
            x = pad(x, self.margins, self.pad_mode)
        return super().forward(x)


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution, added to the input; no activation after the sum.

    Args:
        channels: channels in and out.
        padding: of both convolutions, see :class:`PaddedConv`.
        bias: whether both convolutions have biases.
    """

    def __init__(self, channels: int, *, padding: ConvPadding = "reflect", bias: bool = True) -> None:
        super().__init__()
        self.conv1 = PaddedConv(channels, channels, 3, padding=padding, bias=bias)
        self.conv2 = PaddedConv(channels, channels, 3, padding=padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) → the same shape."""
        return x + self.conv2(F.relu(self.conv1(x)))


def residual_blocks(count: int, channels: int, *, padding: ConvPadding, bias: bool) -> nn.Sequential:
    """Return ``count`` residual blocks in a row."""
    return nn.Sequential(*(ResidualBlock(channels, padding=padding, bias=bias) for _ in range(count)))


def upsample2(x: Tensor) -> Tensor:
    """Double the size by repeating every pixel: (B, C, H, W) → (B, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")
