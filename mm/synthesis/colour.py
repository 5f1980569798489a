"""Colour changes of whole frames, with parameters of our own.

Kornia's colour functions check their parameters on the host, which makes the device wait; here a change is
one 3×3 matrix and an offset a sample, applied to the batch at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Shares of R, G and B in the luminance (ITU-R BT.601).
_LUMINANCE = (0.299, 0.587, 0.114)


def random_colour(u: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Return a random change of saturation, contrast, brightness and colour balance.

    Args:
        u: (B, 6) uniform in [0, 1).
        strength: 0 changes nothing; 1 is a strong change (contrast 0.5–1.5, balance ±30 %).

    Returns:
        matrix (B, 3, 3) and offset (B, 3): colour → matrix · colour + offset.
    """
    change = (2.0 * u - 1.0) * strength
    saturation = 1.0 + 0.7 * change[:, 0]
    contrast = 1.0 + 0.5 * change[:, 1]
    brightness = 0.15 * change[:, 2]
    balance = 1.0 + 0.3 * change[:, 3:6]
    # Filled on the device: a tensor made of the three numbers would have to be copied there.
    grey = torch.stack([torch.full_like(saturation, share) for share in _LUMINANCE], dim=-1)[:, None, :]
    eye = torch.eye(3, device=u.device)
    mix = saturation[:, None, None] * eye + (1.0 - saturation)[:, None, None] * grey
    matrix = mix * (contrast[:, None] * balance)[:, :, None]
    offset = (0.5 * (1.0 - contrast) + brightness)[:, None].expand(-1, 3)
    return matrix, offset


def apply_colour(frames: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Return the frames with their colours changed, clamped to [0, 1].

    Args:
        frames: (B, 3, H, W).
        matrix: (B, 3, 3).
        offset: (B, 3).
    """
    b, c, h, w = frames.shape
    return (
        torch.baddbmm(offset[:, :, None], matrix, frames.reshape(b, c, h * w))
        .view(b, c, h, w)
        .clamp(0.0, 1.0)
    )
