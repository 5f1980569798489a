"""Pictures for scenes that need no file and no other room."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mm.evaluation import random_texture, soft_mask
from mm.evaluation.scene_spec import Pictures


def photograph(seed: int, index: int) -> Tensor:
    return random_texture(140, 150, torch.Generator().manual_seed(1000 * seed + index)).float()


def cutout(seed: int, index: int, number: int) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * seed + 10 * index + number + 7)
    colour = torch.rand(3, generator=generator) * 0.6 + 0.2
    texture = random_texture(48, 48, generator, colour=colour.tolist())
    rows, columns = torch.meshgrid(*(torch.arange(48, dtype=torch.float64) - 23.5,) * 2, indexing="ij")
    mask = soft_mask(torch.hypot(rows, columns) - 20).clamp(0, 1)
    return torch.cat([texture, mask[None]]).float()


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    return Pictures(photograph, cutout)
