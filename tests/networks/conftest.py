"""Pictures for the networks' tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


def _picture(height: int, width: int, shift: float = 0.0) -> Tensor:
    """Waves (1, 3, height, width) in [0, 1]; pixel (x, y) has the same value whatever the size."""
    generator = torch.Generator().manual_seed(0)
    fx, fy, phase = torch.rand(3, 3, 8, 1, 1, generator=generator)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = torch.sin(fx * (x - shift) + fy * y + 2 * torch.pi * phase)
    return (0.5 + waves.sum(1) / 16)[None].clamp(0, 1)


@pytest.fixture(scope="session")
def picture() -> Callable[..., Tensor]:
    """Draws ``picture(height, width, shift=0.0)``, moved right by ``shift`` px."""
    return _picture
