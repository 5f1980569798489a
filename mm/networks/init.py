"""Initial weights of a training.

"he": He et al. 2015 for every convolution, biases at zero, the second convolution of every residual block
scaled down so that each block begins near the identity.

"linear-start": the same, with two paths laid through the network that a method without learning would have.

- The non-linear manipulator begins as a linear one on half of its channels: outputs 2i and 2i+1 of g are the
  positive and the negative part of channel i's difference, which h's first convolution puts together again.
  At random instead, g throws away the sign of half of the differences, and a factor of 50 multiplies noise:
  on crops of photographs such a network was still a constant grey after 300 steps.
- The frame's colours pass through the texture branch, as their positive and negative parts in the first six
  channels, and come out smoothed. On the same crops, after 200 and 300 steps, the error was a quarter below
  that of a network with the first path only.

Noise on both paths lets training leave them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mm.networks.blocks import PaddedConv, ResidualBlock
from mm.networks.decoder import Decoder
from mm.networks.encoder import Encoder
from mm.networks.manipulator import NonlinearManipulator

# All of He's standard deviation.
BLOCK_SCALE = 0.1  # the second convolution of a residual block
MANIPULATOR_NOISE = 0.01  # what the manipulator's linear path is laid in, so that no two channels stay alike
COLOUR_NOISE = 0.02  # what the colours' path is laid in
OUTPUT_SCALE = (
    0.1  # the last convolution, where the colours' path ends: other channels begin in the background
)


def initialise_he(module: nn.Module) -> None:
    """Set every convolution inside ``module`` by He's rule for ReLU, residual blocks near the identity."""
    with torch.no_grad():
        for conv in module.modules():
            if isinstance(conv, PaddedConv):
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                if conv.bias is not None:
                    nn.init.zeros_(conv.bias)
        for block in module.modules():
            if isinstance(block, ResidualBlock):
                block.conv2.weight.mul_(BLOCK_SCALE)


def initialise_linear(manipulator: NonlinearManipulator) -> None:
    """Lay the linear path through a manipulator that has been set by He's rule."""
    with torch.no_grad():
        g, h = manipulator.g.weight, manipulator.h_conv.weight
        for weight in (g, h):
            weight.mul_(MANIPULATOR_NOISE)
        manipulator.h_block.conv2.weight.mul_(MANIPULATOR_NOISE / BLOCK_SCALE)
        centre, channel = g.shape[-1] // 2, torch.arange(g.shape[0] // 2)
        g[2 * channel, channel, centre, centre] += 1
        g[2 * channel + 1, channel, centre, centre] -= 1
        h[channel, 2 * channel, 1, 1] += 1
        h[channel, 2 * channel + 1, 1, 1] -= 1


def initialise_colours(encoder: Encoder, decoder: Decoder) -> None:
    """Lay the colours' path through an encoder and a decoder that have been set by He's rule.

    A network with fewer than six channels, the parts of three colours, has no room for it and stays as it is.
    """
    first, last = encoder.conv1.weight, decoder.conv2.weight
    if min(first.shape[0], last.shape[1]) < 6:
        return
    smooth = _binomial()
    with torch.no_grad():
        positive = torch.arange(3)
        first[:6] *= COLOUR_NOISE
        first[positive, positive, 3, 3] += 1
        first[positive + 3, positive, 3, 3] -= 1
        for conv in (encoder.conv2, encoder.texture_conv, decoder.texture_conv, decoder.conv1):
            conv.weight[:6] *= COLOUR_NOISE
            for channel in range(6):
                conv.weight[channel, channel] += smooth
        last *= OUTPUT_SCALE
        for channel in range(3):
            last[channel, channel, 2:5, 2:5] += smooth
            last[channel, channel + 3, 2:5, 2:5] -= smooth


def _binomial() -> Tensor:
    row = torch.tensor([0.25, 0.5, 0.25])
    return torch.outer(row, row)
