"""Padding before a convolution, by reflection on a GPU too: same layout, and the same gradient every time.

PyTorch's own reflection pads channels-last frames on a CPU as they are. On a GPU it makes them contiguous
first, so that every convolution of a channels-last network converts its input there and back, and its
gradient is summed by atomic additions, whose order differs from run to run: ``trainer.deterministic`` refuses
it. Here both are copies and additions of whole rows and columns.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Margins = tuple[int, int, int, int]


def pad(x: Tensor, margins: Margins, mode: str) -> Tensor:
    """Pad frames on all four sides.

    Args:
        x: (B, C, H, W).
        margins: px on the left, on the right, above and below; of a reflection less than the side.
        mode: "reflect", "replicate" or "constant" (zeros), as of :func:`torch.nn.functional.pad`.

    Returns:
        (B, C, H + above + below, W + left + right), in the layout of ``x``.
    """
    if mode == "reflect" and _on_a_gpu(x):
        padded: Tensor = Reflection.apply(x, margins)
        return padded
    return F.pad(x, margins, mode=mode)


class Reflection(torch.autograd.Function):
    """``F.pad(x, margins, mode="reflect")`` of 4-D tensors, in the layout of ``x``, deterministic."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, margins: Margins) -> Tensor:
        """(B, C, H, W) → (B, C, H + above + below, W + left + right)."""
        ctx.margins = margins
        left, right, above, below = margins
        batch, channels, height, width = x.shape
        if max(left, right) >= width or max(above, below) >= height:
            raise RuntimeError(
                f"a reflection by {margins} px needs a larger side than {width}×{height} px have"
            )
        size = (batch, channels, height + above + below, width + left + right)
        padded = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=_layout(x))
        rows = padded.narrow(2, above, height)
        rows.narrow(3, left, width).copy_(x)
        # Columns first, then whole rows, which bring the corners with them.
        rows.narrow(3, 0, left).copy_(_mirrored(x.narrow(3, 1, left), 3))
        rows.narrow(3, left + width, right).copy_(_mirrored(x.narrow(3, width - 1 - right, right), 3))
        padded.narrow(2, 0, above).copy_(_mirrored(padded.narrow(2, above + 1, above), 2))
        last = above + height
        padded.narrow(2, last, below).copy_(_mirrored(padded.narrow(2, last - 1 - below, below), 2))
        return padded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Add what was mirrored to where it came from."""
        left, right, above, below = ctx.margins
        height, width = gradient.shape[2] - above - below, gradient.shape[3] - left - right
        inside = gradient.narrow(2, above, height).narrow(3, left, width)
        total = inside.clone(memory_format=_layout(gradient))
        # (where in the padded frame, where in the frame, how many), along a column and along a row.
        tall = (
            (0, 1, above),
            (above, 0, height),
            (above + height, height - 1 - below, below),
        )
        wide = (
            (0, 1, left),
            (left, 0, width),
            (left + width, width - 1 - right, right),
        )
        for place, (y, to_y, rows) in enumerate(tall):
            for beside, (x, to_x, columns) in enumerate(wide):
                if (place == 1 and beside == 1) or not rows or not columns:
                    continue
                part = gradient.narrow(2, y, rows).narrow(3, x, columns)
                part = part if place == 1 else _mirrored(part, 2)
                part = part if beside == 1 else _mirrored(part, 3)
                total.narrow(2, to_y, rows).narrow(3, to_x, columns).add_(part)
        return total, None


def _on_a_gpu(x: Tensor) -> bool:
    # A compiler makes one kernel of the padding and what is beside it, in the layout that it likes.
    return x.is_cuda and not torch.compiler.is_compiling()


def _mirrored(x: Tensor, dim: int) -> Tensor:
    return x.flip(dim) if x.shape[dim] > 1 else x


def _layout(x: Tensor) -> torch.memory_format:
    # By strides, as PyTorch decides it: a view of some channels or columns keeps its layout too.
    last = x.shape[1] > 1 and x.stride(1) == 1 and x.stride(3) >= x.shape[1]
    return torch.channels_last if last else torch.contiguous_format
