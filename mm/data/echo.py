"""Data echoing (Choi et al. 2019): a rendered batch is trained on several times, mirrored each time."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

MIRRORED, TURNED = 4, 8
"""Different echoes of a frame, and those of a square one."""


def echoed(batch: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """Return echo ``number`` of a rendered batch: 0 is the batch itself.

    Bit 0 mirrors left and right, bit 1 mirrors top and bottom, bit 2 exchanges x and y.

    Args:
        batch: frames (B, C, H, W) of any names; ``displacement`` (B, 2, H, W) and ``motion`` (B, K, 2) are
            vectors (x, y). Anything with fewer axes is passed through.
        number: 0 to 7; above 3 for square frames only.
    """
    across, down, exchange = bool(number & 1), bool(number & 2), bool(number & 4)
    axes = [axis for axis, mirror in ((-1, across), (-2, down)) if mirror]
    signs = torch.tensor([1.0 - 2.0 * across, 1.0 - 2.0 * down])
    out = {}
    for name, value in batch.items():
        if value.dim() == 4:
            value = value.flip(axes) if axes else value
            value = value.transpose(-1, -2) if exchange else value
        if name == "displacement":
            value = value * signs.to(value)[:, None, None]
            value = value.flip(1) if exchange else value
        elif name == "motion":
            value = value * signs.to(value)
            value = value.flip(-1) if exchange else value
        out[name] = value.contiguous()
    return out
