"""A data module with triplets of known motion that needs neither the renderer nor any image."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

SIZE = 40
TINY = {
    "stem_channels": 4,
    "channels": 8,
    "encoder_blocks": 1,
    "texture_blocks": 1,
    "shape_blocks": 1,
    "decoder_blocks": 1,
}
"""An architecture small enough to train for a few steps in a test."""


def waves(seed: int, shift: tuple[float, float]) -> Tensor:
    """A sum of eight plane waves, moved by ``shift`` = (x, y) px through their phases, so exactly."""
    random = torch.Generator().manual_seed(seed)
    period = 8 + 24 * torch.rand(8, 1, 1, 1, generator=random)
    angle = 6.2832 * torch.rand(8, 1, 1, 1, generator=random)
    phase = 6.2832 * torch.rand(8, 3, 1, 1, generator=random)
    y, x = torch.meshgrid(torch.arange(SIZE) - shift[1], torch.arange(SIZE) - shift[0], indexing="ij")
    along = x * angle.cos() + y * angle.sin()
    return 0.5 + 0.06 * torch.cos(6.2832 * along / period + phase).sum(0)


class Triplets(Dataset):
    def __init__(self, count: int, first: int, motion: float, spoil: int | None = None) -> None:
        self.count, self.first, self.motion, self.spoil = count, first, motion, spoil

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        if item >= self.count:
            raise IndexError(item)  # without it, iteration never ends
        seed = self.first + item
        shift = (self.motion, -0.5 * self.motion)
        still, moved = waves(seed, (0, 0)), waves(seed, shift)
        factor = 3.0
        magnified = waves(seed, (factor * shift[0], factor * shift[1]))
        if item == self.spoil:
            magnified = magnified * float("nan")
        return {
            "xa": still,
            "xb": moved,
            "y": magnified,
            "xb_perturbed": 0.8 * moved + 0.1,
            "y_perturbed": 0.8 * magnified + 0.1,
            "change": magnified - still,
            "factor": torch.tensor(factor),
            "subset": torch.tensor(0),
            "index": torch.tensor(item),
        }


class TripletData(pl.LightningDataModule):
    """Two validation subsets, one moving and one static, named as the real module names them."""

    subset_names = ("moving", "static")

    def __init__(self, count: int = 16, spoil: int | None = None, batch_size: int = 4) -> None:
        super().__init__()
        self.count, self.spoil, self.batch_size = count, spoil, batch_size

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Triplets(self.count, 0, 0.5, self.spoil), batch_size=self.batch_size)

    def val_dataloader(self) -> list[DataLoader]:
        return [DataLoader(Triplets(4, 1000, motion), batch_size=2) for motion in (0.5, 0.0)]

    def test_dataloader(self) -> list[DataLoader]:
        return self.val_dataloader()


@pytest.fixture
def data() -> Callable[..., TripletData]:
    return TripletData


@pytest.fixture
def trainer(tmp_path) -> Callable[..., pl.Trainer]:
    """A trainer that leaves nothing outside the test's folder."""

    def make(**options) -> pl.Trainer:
        defaults = {
            "accelerator": "cpu",
            "max_steps": 4,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "default_root_dir": tmp_path,
            "log_every_n_steps": 1,
        }
        return pl.Trainer(**(defaults | options))

    return make


@pytest.fixture
def tiny() -> dict[str, int]:
    return dict(TINY)
