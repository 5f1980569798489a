"""Callbacks: the average of the weights, sample images, and the rate of the training."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mm.errors import InputError

GAP = 4
"""Pixels between two frames of a montage."""


def montage(columns: list[Tensor]) -> np.ndarray:
    """Lay frames out as a table, on white.

    Args:
        columns: tensors (N, 3, H, W) in [0, 1], one a column; sample n makes row n.

    Returns:
        uint8 (N·(H + gap) − gap, columns·(W + gap) − gap, 3).
    """
    table = torch.stack([column.detach().float().cpu().clamp(0, 1) for column in columns], dim=1)
    rows, count, _, height, width = table.shape
    sheet = np.full((rows * (height + GAP) - GAP, count * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    pixels = (table * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2).numpy()
    for row in range(rows):
        for column in range(count):
            top, left = row * (height + GAP), column * (width + GAP)
            sheet[top : top + height, left : left + width] = pixels[row, column]
    return sheet


class SampleImages(pl.Callback):
    """Writes, at every validation, a picture a subset: a row a sample, columns xa, xb, truth, output.

    The pictures are PNG files in ``samples/`` of the run's log folder, and go to every logger that takes
    images (Weights & Biases).

    Args:
        samples: rows a picture, taken from each subset's first batch; 0 writes none.
    """

    def __init__(self, samples: int = 3) -> None:
        self.samples = samples

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find out where to write: on every rank, for asking is a broadcast."""
        self._folder = Path(trainer.log_dir or trainer.default_root_dir) / "samples"

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch of each subset."""
        if batch_idx > 0 or self.samples <= 0 or trainer.sanity_checking or not trainer.is_global_zero:
            return
        name = pl_module.subset_name(dataloader_idx)  # type: ignore[operator]
        path = self._folder / f"{name}-{trainer.global_step:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = [batch["xa"], batch["xb"], batch["y"], outputs]
        Image.fromarray(montage([column[: self.samples] for column in columns])).save(path)
        factors = ", ".join(f"×{factor:.1f}" for factor in batch["factor"][: self.samples].tolist())
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image(
                    f"samples/{name}",
                    [str(path)],
                    step=trainer.global_step,
                    caption=[f"xa, xb, truth, output ({factors})"],
                )


def _logs(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Say whether the step of this batch is logged; of 0 steps between two, as Lightning has it, none is."""
    between: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return between > 0 and (batch_idx + 1) % between == 0


class WeightAverage(pl.Callback):
    """Keeps an exponential moving average of the weights, which is validated and exported.

    Early weights are far from good ones, so the decay of step n is (1 + n) / (10 + n) until it reaches
    ``decay``. The average is the module's ``ema``, a network beside the trained one: a checkpoint holds both,
    so that a resumed run goes on with the trained weights. Lightning's own callback has no such rise, and
    leaves the average alone in the checkpoint at the end of a run.

    Args:
        decay: in (0, 1); None keeps no average.

    Raises:
        InputError: for a decay out of range.
    """

    def __init__(self, decay: float | None = None) -> None:
        if decay is not None and not 0 < decay < 1:
            raise InputError(f"average.decay must be above 0 and below 1, got {decay}")
        self.decay = decay
        self._step = 0

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Make the average, before a checkpoint is loaded into it."""
        if self.decay is not None and stage == "fit" and pl_module.ema is None:
            pl_module.keep_average()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count from the run's step."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average after an optimiser step, and before a checkpoint of it is written."""
        step, before, self._step = trainer.global_step, self._step, trainer.global_step
        if self.decay is None or step == before:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        average, weights = (list(net.parameters()) for net in (pl_module.ema, pl_module.network))
        get_ema_multi_avg_fn(decay)(average, weights, None)


class Throughput(pl.Callback):
    """Measures samples a second, logs it, and says how the run is going where there is no progress bar.

    The time of validation is left out of the rate, but not out of the time that is left; that of checkpoints
    is in both.

    Args:
        seconds: time between two lines of text; 0 writes none.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self._training = 0.0
        self._samples = 0
        self._resumed = self._said = self._began = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start counting."""
        self._training, self._samples = 0.0, 0
        self._resumed = self._said = self._began = time.monotonic()
        self._first_step = trainer.global_step

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock."""
        self._training += time.monotonic() - self._resumed

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock again, and say the score."""
        self._resumed = time.monotonic()
        score = trainer.callback_metrics.get("val/score")
        if (
            self._speaks(trainer)
            and trainer.state.fn == "fit"
            and not trainer.sanity_checking
            and score is not None
        ):
            rank_zero_info(f"step {trainer.global_step} · validation: mean SSIM {float(score):.4f}")

    def _speaks(self, trainer: pl.Trainer) -> bool:
        return self.seconds > 0 and trainer.progress_bar_callback is None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count; at a logging step, log the rate since the last one and perhaps say it."""
        self._samples += len(batch["y"]) * trainer.world_size
        if not _logs(trainer, batch_idx):
            return
        now = time.monotonic()
        rate = self._samples / max(1e-9, self._training + now - self._resumed)
        pl_module.log("train/samples_per_second", rate, prog_bar=True)
        self._training, self._samples, self._resumed = 0.0, 0, now
        if self._speaks(trainer) and now - self._said >= self.seconds:
            self._said = now
            rank_zero_info(self._line(trainer, rate, now))

    def _line(self, trainer: pl.Trainer, rate: float, now: float) -> str:
        step, last = trainer.global_step, trainer.max_steps
        loss = trainer.callback_metrics.get("train/loss")
        text = f"step {step}" + (f" of {last}" if last > 0 else "") + f" · {rate:.1f} samples/s"
        if loss is not None:
            text += f" · loss {float(loss):.4f}"
        if last > 0 and step > self._first_step:
            left = (last - step) * (now - self._began) / (step - self._first_step)
            text += f" · {left / 3600:.1f} h left" if left >= 3600 else f" · {left / 60:.0f} min left"
        return text
