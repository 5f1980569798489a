"""Stages of a step: times by a clock whose readings are known, counts by arithmetic."""

from __future__ import annotations

import pytest
import torch

from mm.training import MagnificationModule, WarmupCosine
from mm.training.stages import STAGES, OperatorCounter, Stages

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*GPU available.*")


class Clock:
    """A clock that stands still until ``now`` is changed."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def one_step(profiler: Stages, clock: Clock, slowness: float = 1.0) -> None:
    """A step as Lightning announces it: 1 s of waiting, 2 of transfer, 3 of synthesis, …"""

    def spend(seconds: float) -> None:
        clock.now += slowness * seconds

    profiler.start("[_TrainingEpochLoop].train_dataloader_next")
    spend(1)
    profiler.stop("[_TrainingEpochLoop].train_dataloader_next")
    profiler.start("[Strategy]SingleDeviceStrategy.batch_to_device")
    spend(1.5)
    profiler.start("[LightningDataModule]MixedDataModule.on_after_batch_transfer")
    spend(3)
    profiler.stop("[LightningDataModule]MixedDataModule.on_after_batch_transfer")
    spend(0.5)
    profiler.stop("[Strategy]SingleDeviceStrategy.batch_to_device")
    profiler.start("run_training_batch")
    spend(0.25)
    profiler.start("[LightningModule]MagnificationModule.optimizer_step")
    spend(2)
    profiler.start("[Strategy]SingleDeviceStrategy.training_step")
    spend(4)
    profiler.start("[LightningModule]MagnificationModule.something_else")
    spend(0.125)
    profiler.stop("[LightningModule]MagnificationModule.something_else")
    profiler.stop("[Strategy]SingleDeviceStrategy.training_step")
    profiler.start("[Strategy]SingleDeviceStrategy.backward")
    spend(5)
    profiler.stop("[Strategy]SingleDeviceStrategy.backward")
    spend(1)
    profiler.stop("[LightningModule]MagnificationModule.optimizer_step")
    profiler.stop("run_training_batch")
    profiler.start("[Callback]Throughput.on_train_batch_end")
    spend(0.5)
    profiler.stop("[Callback]Throughput.on_train_batch_end")


def test_each_stage_has_its_own_time_without_the_nested_ones() -> None:
    clock = Clock()
    profiler = Stages(steps=2, warmup=3, clock=clock)
    # Warm-up, undisturbed, by stage: a step takes 18.875 s times this.
    for slowness in (9.0, 9.0, 9.0, 2.0, 2.0, 2.0, 4.0):
        one_step(profiler, clock, slowness)
    # The counted step, and the one that ends it.
    one_step(profiler, clock, 7.0)
    one_step(profiler, clock, 7.0)
    expected = {
        "waiting for data": 1.0,
        "transfer": 2.0,
        "synthesis": 3.0,
        "forward": 4.125,
        "backward": 5.0,
        "optimiser": 3.0,
        "other": 0.75,
    }
    assert tuple(profiler.seconds) == STAGES
    assert profiler.seconds == pytest.approx({stage: 3 * seconds for stage, seconds in expected.items()})
    assert profiler.step == pytest.approx(2 * 18.875)
    assert profiler.begun == profiler.trainer_steps


class Stamps:
    """A clock that counts its readings: a stage's seconds are the number of its readings."""

    def __init__(self) -> None:
        self.readings = 0

    def __call__(self) -> float:
        self.readings += 1
        return float(self.readings)


def test_lightning_announces_every_stage(data, trainer, tiny) -> None:
    """The names are Lightning's: if a version changes one, its stage would silently be empty."""

    class Rendering(type(data())):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch

    profiler = Stages(steps=2, warmup=1, clock=Stamps())
    run = trainer(max_steps=profiler.trainer_steps, limit_val_batches=0, max_epochs=-1, profiler=profiler)
    run.fit(MagnificationModule(tiny, lr_scheduler=WarmupCosine), Rendering(count=8))
    assert all(seconds > 0 for seconds in profiler.seconds.values()), profiler.seconds
    # Nothing is read while a step is timed as a whole.
    assert profiler.step == 1 / 2
    counts = profiler.counts
    # A convolution's gradients take two products of its own size, but the first layers' inputs need none.
    assert 1.2 < counts["backward"]["flops"] / counts["forward"]["flops"] <= 2
    assert counts["optimiser"]["flops"] == 0
    assert counts["optimiser"]["launches"] > 0
    assert counts["waiting for data"]["flops"] == 0


def test_the_counts_of_products_sums_and_views() -> None:
    counts = {"launches": 0, "bytes": 0, "flops": 0}
    left, right, image = torch.ones(3, 5), torch.ones(5, 7), torch.ones(2, 3, 8, 8)
    weight = torch.ones(4, 3, 3, 3)

    def spent(function) -> tuple[int, int, int]:
        counts.update(launches=0, bytes=0, flops=0)
        with OperatorCounter(lambda: counts):
            function()
        return counts["launches"], counts["bytes"], counts["flops"]

    assert spent(lambda: left @ right) == (1, 4 * (15 + 35 + 21), 2 * 3 * 5 * 7)
    assert spent(lambda: left + left) == (1, 4 * (15 + 15), 0)
    assert spent(lambda: left.half()) == (1, 4 * 15 + 2 * 15, 0)
    assert spent(lambda: left.add_(1)) == (1, 4 * 15, 0)
    assert spent(lambda: left.T.reshape(-1, 1)[:2]) == (1, 4 * (15 + 15), 0)
    assert spent(lambda: left[1:].view(-1).unsqueeze(0)) == (0, 0, 0)
    assert spent(lambda: torch.empty(4)) == (0, 0, 0)
    convolved = 2 * 4 * 6 * 6
    launches, moved, flops = spent(lambda: torch.nn.functional.conv2d(image, weight))
    assert (launches, moved, flops) == (1, 4 * (2 * 3 * 64 + 4 * 27 + convolved), 2 * convolved * 27)
