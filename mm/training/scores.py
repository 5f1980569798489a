"""Validation scores of one subset: quality, quality of doing nothing, and the gain of the motion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from mm.motion.metric import MotionGain


class SubsetScores(nn.Module):
    """Accumulates the scores of one validation subset, over batches and over the ranks of a distributed run.

    Args:
        gain_samples: how many samples a subset have their motion measured, which costs far more than the
            other scores; 0 measures none.
    """

    def __init__(self, gain_samples: int = 32) -> None:
        super().__init__()
        self.gain_samples = gain_samples
        self.psnr = PeakSignalNoiseRatio(data_range=1.0, dim=(1, 2, 3))
        self.ssim = StructuralSimilarityIndexMeasure(data_range=1.0)
        self.l1 = MeanMetric()
        self.copy_ssim = StructuralSimilarityIndexMeasure(data_range=1.0)
        self.copy_l1 = MeanMetric()
        self.gain = MotionGain(gain_samples)

    @torch.no_grad()
    def update(self, reference: Tensor, moved: Tensor, prediction: Tensor, target: Tensor) -> None:
        """Add a batch; all frames (B, 3, H, W) float32 in [0, 1].

        Args:
            reference: xa, against which motion is measured.
            moved: xb, the network's second input; as an answer it is the baseline "nothing was magnified".
            prediction: the network's magnified frame, clamped.
            target: the true magnified frame.
        """
        self.psnr.update(prediction, target)
        self.ssim.update(prediction, target)
        self.copy_ssim.update(moved, target)
        count = prediction.shape[0]
        self.l1.update((prediction - target).abs().mean(), weight=count)
        self.copy_l1.update((moved - target).abs().mean(), weight=count)
        self.gain.update(reference, prediction, target)

    def compute(self) -> dict[str, Tensor]:
        """Return the scores by name, as scalars.

        ``psnr`` (dB, mean over images), ``ssim``, ``l1``: output against truth. ``copy_ssim``, ``copy_l1``:
        the unmagnified input against truth, which a network must beat to be of use. ``gain``: displacement
        of the output over that of the truth, the median over samples; absent where no sample had motion
        to measure (a static scene).
        """
        scores = {
            name: getattr(self, name).compute() for name in ("psnr", "ssim", "l1", "copy_ssim", "copy_l1")
        }
        if self.gain_samples > 0 and not (gain := self.gain.compute()).isnan():
            scores["gain"] = gain
        return scores

    def reset(self) -> None:
        """Forget everything added."""
        for metric in (self.psnr, self.ssim, self.l1, self.copy_ssim, self.copy_l1, self.gain):
            metric.reset()
        self._measured = 0


COLUMNS = {
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "l1": "L1",
    "copy_ssim": "SSIM of xb",
    "copy_l1": "L1 of xb",
    "gain": "motion gain",
}


def table(metrics: Mapping[str, Any], stage: str) -> str:
    """Lay the metrics that a run logged (``val/sharp/psnr``, …) out as text, a row a subset.

    Args:
        metrics: the trainer's ``callback_metrics``.
        stage: ``val`` or ``test``.
    """
    subsets: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        parts = key.split("/")
        if len(parts) == 3 and parts[0] == stage:
            subsets.setdefault(parts[1], {})[parts[2]] = float(value)
    lines = [f"{'subset':<12}" + "".join(f"{title:>13}" for title in COLUMNS.values())]
    for name, scores in subsets.items():
        cells = (f"{scores[key]:13.4f}" if key in scores else f"{'–':>13}" for key in COLUMNS)
        lines.append(f"{name:<12}" + "".join(cells))
    if f"{stage}/score" in metrics:
        lines.append(f"mean SSIM {float(metrics[f'{stage}/score']):.4f}")
    return "\n".join(lines)
