"""The grid of cells on which motion is kept: one in 4×4 pixels, as fields of motion are smooth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 4  # px


def cells_of(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of cells that cover a frame of this size in px."""
    return -(-height // CELL), -(-width // CELL)


def centres(height: int, width: int) -> Tensor:
    """The cells' centres in px, (2, h, w), order (x, y), float32; the first pixel's centre is 0."""
    rows, columns = cells_of(height, width)
    offset = (CELL - 1) / 2
    y, x = torch.meshgrid(
        torch.arange(rows) * CELL + offset, torch.arange(columns) * CELL + offset, indexing="ij"
    )
    return torch.stack([x, y])


def pixels(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """The pixels' own places in px, (2, H, W), order (x, y), float32."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=device),
        torch.arange(width, dtype=torch.float32, device=device),
        indexing="ij",
    )
    return torch.stack([x, y])


def to_pixels(field: Tensor, height: int, width: int) -> Tensor:
    """A field on cells (n, C, h, w) at every pixel (n, C, H, W), bilinearly."""
    fine = F.interpolate(field, scale_factor=CELL, mode="bilinear", align_corners=False)
    return fine[..., :height, :width]


def to_cells(image: Tensor) -> Tensor:
    """The mean over each cell: (n, C, H, W) → (n, C, h, w)."""
    height, width = image.shape[-2:]
    rows, columns = cells_of(height, width)
    padded = F.pad(image, (0, columns * CELL - width, 0, rows * CELL - height), mode="replicate")
    return F.avg_pool2d(padded, CELL)


def at(field: Tensor, places: Tensor) -> Tensor:
    """A field on cells (C, h, w) at places (2, H, W) in px, bilinearly, continued beyond its rim.

    Returns:
        (C, H, W).
    """
    rows, columns = field.shape[-2:]
    # Place → cell → [-1, 1] of grid_sample, whose ends are the outer cells' centres.
    scale = places.new_tensor([2 / (CELL * max(columns - 1, 1)), 2 / (CELL * max(rows - 1, 1))])
    grid = (places - (CELL - 1) / 2) * scale.view(2, 1, 1) - 1
    return F.grid_sample(
        field[None], grid.permute(1, 2, 0)[None], "bilinear", padding_mode="border", align_corners=True
    )[0]
