"""The encoder: a frame becomes texture, which carries intensity, and shape, which carries motion."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mm.networks.blocks import ConvPadding, PaddedConv, residual_blocks
from mm.networks.config import NetworkConfig


class Encoder(nn.Module):
    """A shared trunk at half resolution, then a texture branch at a quarter and a shape branch at half.

    Oh et al. 2018, section 3.1 and appendix: conv 16 k7, conv 32 k3 stride 2, 3 residual blocks; texture:
    conv 32 k3 stride 2, 2 residual blocks; shape: conv 32 k3, 2 residual blocks.

    Args:
        config: the architecture.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        padding, bias, channels = config.padding, config.bias, config.channels
        strided: ConvPadding = "same" if config.strided_padding == "same" else padding
        self.conv1 = PaddedConv(3, config.stem_channels, 7, padding=padding, bias=bias)
        self.conv2 = PaddedConv(config.stem_channels, channels, 3, 2, padding=strided, bias=bias)
        self.blocks = residual_blocks(config.encoder_blocks, channels, padding=padding, bias=bias)
        self.texture_conv = PaddedConv(channels, channels, 3, 2, padding=strided, bias=bias)
        self.texture_blocks = residual_blocks(config.texture_blocks, channels, padding=padding, bias=bias)
        self.shape_conv = (
            PaddedConv(channels, channels, 3, padding=padding, bias=bias) if config.shape_conv else None
        )
        self.shape_blocks = residual_blocks(config.shape_blocks, channels, padding=padding, bias=bias)

    def forward(self, x: Tensor, shapes: int | None = None) -> tuple[Tensor, Tensor]:
        """Encode frames in the network's own range.

        Args:
            x: (B, 3, H, W), H and W multiples of 4.
            shapes: of how many frames at most, from the first on, the shape is wanted; None for all.

        Returns:
            texture (B, channels, H/4, W/4) and shape (B or ``shapes``, channels, H/2, W/2).
        """
        trunk = self.blocks(F.relu(self.conv2(F.relu(self.conv1(x)))))
        texture = self.texture_blocks(F.relu(self.texture_conv(trunk)))
        trunk = trunk[:shapes]
        shape = trunk if self.shape_conv is None else F.relu(self.shape_conv(trunk))
        return texture, self.shape_blocks(shape)
