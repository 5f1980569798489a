"""The decoder: texture and (magnified) shape become a frame again."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm.networks.blocks import PaddedConv, residual_blocks, upsample2
from mm.networks.config import NetworkConfig


class Decoder(nn.Module):
    """Joins texture and shape at half resolution, and ends with a frame at full resolution.

    Oh et al. 2018, section 3.1 and appendix: texture up 2× and conv 32, joined to shape, 9 residual blocks of
    64, up 2× and conv 32, conv 3 k7.

    Args:
        config: the architecture.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        padding, bias, channels = config.padding, config.bias, config.channels
        self.texture_conv = PaddedConv(channels, channels, 3, padding=padding, bias=bias)
        self.blocks = residual_blocks(config.decoder_blocks, 2 * channels, padding=padding, bias=bias)
        self.conv1 = PaddedConv(2 * channels, channels, 3, padding=padding, bias=bias)
        self.conv2 = PaddedConv(channels, 3, 7, padding=padding, bias=bias)

    def forward(self, texture: Tensor, shape: Tensor) -> Tensor:
        """Decode into the network's own range.

        Args:
            texture: (B, channels, H/4, W/4).
            shape: (B, channels, H/2, W/2).

        Returns:
            (B, 3, H, W), unclamped.
        """
        texture = F.relu(self.texture_conv(upsample2(texture)))
        x = self.blocks(torch.cat((texture, shape), dim=1))
        return self.conv2(F.relu(self.conv1(upsample2(x))))
