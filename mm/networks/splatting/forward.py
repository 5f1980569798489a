"""Forward splatting: pixels are carried along their displacement and shared among four neighbours."""

from __future__ import annotations

import torch
from torch import Tensor


def splat(values: Tensor, displacement: Tensor) -> Tensor:
    """Move values along a displacement field and add them up where they land, bilinearly.

    The output at integer position q is ``Σ_p k(q − p − d(p)) · v(p)``, k the product of two triangles one
    pixel wide on either side. A channel of ones gives how much lands on each pixel. Averages, such as
    softmax splatting (Niklaus and Liu, "Softmax Splatting for Video Frame Interpolation", CVPR 2020,
    equation 7), are quotients of two channels. Shares that land outside are dropped. Zero displacement
    returns the values exactly.

    On a CPU the order of additions is fixed. On CUDA it is fixed under
    ``torch.use_deterministic_algorithms``.

    Args:
        values: (B, C, H, W), any range.
        displacement: (B, 2, H, W), px, order (x, y), positive right and down.

    Returns:
        (B, C, H, W), in the values' dtype; differentiable in both arguments.
    """
    batch, channels, height, width = values.shape
    device = values.device
    x = displacement[:, 0] + torch.arange(width, device=device, dtype=displacement.dtype)
    y = displacement[:, 1] + torch.arange(height, device=device, dtype=displacement.dtype)[:, None]
    left, top = x.detach().floor(), y.detach().floor()
    right_share, low_share = x - left, y - top
    # One place more than there are pixels takes what lands outside, so that nothing has to be selected.
    size = height * width
    flat = values.flatten(2)
    out = values.new_zeros(batch, channels, size + 1)
    column, row = left.long(), top.long()
    for down in (0, 1):
        share_y = low_share if down else 1 - low_share
        inside_y = (row + down >= 0) & (row + down < height)
        for across in (0, 1):
            share = share_y * (right_share if across else 1 - right_share)
            inside = inside_y & (column + across >= 0) & (column + across < width)
            target = torch.where(inside, (row + down) * width + column + across, size)
            part = flat * share.flatten(1)[:, None].to(flat.dtype)
            out.scatter_add_(2, target.flatten(1)[:, None].expand(-1, channels, -1), part)
    return out[..., :size].view(values.shape)
