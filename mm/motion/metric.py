"""Gain of the motion as a metric of a validation, over batches and over the ranks of a distributed run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from mm.motion.gain import motion_gain

WINDOW = 32  # px


class MotionGain(Metric):
    """Median over samples of :func:`mm.motion.motion_gain`; NaN where no sample has motion to measure.

    Args:
        samples: on each rank at most this many are measured, which costs far more than other metrics do.
    """

    full_state_update = False

    def __init__(self, samples: int = 32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.samples = samples
        self.gains: list[Tensor]
        self.measured: Tensor
        self.add_state("gains", [], dist_reduce_fx="cat")
        self.add_state("measured", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, reference: Tensor, output: Tensor, truth: Tensor) -> None:
        """Add a batch of frames (B, 3, H, W) in [0, 1]; see :func:`mm.motion.motion_gain`."""
        wanted = min(len(output), self.samples - int(self.measured))
        if wanted <= 0:
            return
        self.measured += wanted
        # A frame smaller than the usual window is one window.
        window = min(WINDOW, *reference.shape[-2:])
        gains = motion_gain(reference[:wanted], output[:wanted], truth[:wanted], window=window)
        self.gains.append(gains.float())

    def compute(self) -> Tensor:
        """Return the median of the samples that have motion, a scalar."""
        gains = dim_zero_cat(self.gains) if len(self.gains) else torch.zeros(0)
        moving = gains[gains.isfinite()]
        return moving.median() if moving.numel() else torch.tensor(torch.nan)
