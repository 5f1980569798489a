"""The step profiler: what it gives to which part, held against a clock whose readings are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from mm.errors import InputError
from mm.training import MagnificationModule, WarmupCosine
from mm.training.profile import PARTS, StepProfiler, peak_memory

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*GPU available.*")


class Clock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def one_step(profiler: StepProfiler, clock: Clock, slowness: float = 1.0) -> None:
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


def test_each_part_gets_its_own_time_and_not_what_is_nested_in_it() -> None:
    clock = Clock()
    profiler = StepProfiler(steps=2, warmup=3, clock=clock)
    # Slow while it warms up, undisturbed, then profiled: a step takes 18.875 s, twice and three times that.
    for slowness in (9.0, 9.0, 9.0, 2.0, 2.0, 2.0, 4.0):
        one_step(profiler, clock, slowness)
    # What comes after the last step is not of it: the next batch was asked for.
    one_step(profiler, clock, 7.0)
    one_step(profiler, clock, 7.0)
    times = profiler.result()
    expected = {
        "waiting for data": 1.0,
        "transfer": 2.0,
        "synthesis": 3.0,
        "forward": 4.125,
        "backward": 5.0,
        "optimiser": 3.0,
        "other": 0.75,
    }
    assert tuple(times.parts) == PARTS
    assert times.parts == pytest.approx({part: 3 * seconds for part, seconds in expected.items()})
    assert times.step == pytest.approx(2 * 18.875)
    assert times.profiled_step == pytest.approx(3 * 18.875)
    assert times.share("synthesis") == pytest.approx(3 / 18.875)
    assert sum(times.share(part) for part in PARTS) == pytest.approx(1)


class Stamps:
    """A clock that counts its readings, so that a part's seconds are the readings that fell to it."""

    def __init__(self) -> None:
        self.readings = 0

    def __call__(self) -> float:
        self.readings += 1
        return float(self.readings)


def test_lightning_announces_every_part(data, trainer, tiny) -> None:
    """The names are Lightning's own business: if a version changes one, its part would silently be empty."""

    class Rendering(type(data())):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch

    profiler = StepProfiler(steps=2, warmup=1, clock=Stamps())
    run = trainer(max_steps=profiler.trainer_steps, limit_val_batches=0, max_epochs=-1, profiler=profiler)
    run.fit(MagnificationModule(tiny, lr_scheduler=WarmupCosine), Rendering(count=8))
    times = profiler.result()
    assert all(seconds > 0 for seconds in times.parts.values()), times.parts
    # Nothing is read while a step is timed as a whole.
    assert times.step == 1 / 2


def test_a_training_that_ends_early_gives_no_figures(data, trainer, tiny) -> None:
    profiler = StepProfiler(steps=5, warmup=2)
    trainer(max_steps=4, limit_val_batches=0, profiler=profiler).fit(MagnificationModule(tiny), data())
    with pytest.raises(InputError, match="ended after 4 of the 13 steps"):
        profiler.result()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"steps": 0, "warmup": 1}, "--steps must be at least 1, got 0"),
        ({"steps": 1, "warmup": -1}, "--warmup must be at least 0 steps, got -1"),
    ],
)
def test_numbers_out_of_range(options, match) -> None:
    with pytest.raises(InputError, match=match):
        StepProfiler(**options)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the system's own account is Linux's")
def test_memory_is_what_the_system_says_of_the_process() -> None:
    said = peak_memory(torch.device("cpu"))["process"]
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM")]
    assert said == pytest.approx(int(line.split()[1]) / 1024, rel=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="events and memory of a GPU")
def test_a_gpu_is_waited_for_and_its_memory_told(data, trainer, tiny) -> None:
    profiler = StepProfiler(steps=2, warmup=1, device="cuda")
    run = trainer(
        accelerator="cuda",
        devices=1,
        max_steps=profiler.trainer_steps,
        max_epochs=-1,
        limit_val_batches=0,
        profiler=profiler,
    )
    pl.seed_everything(0)
    run.fit(MagnificationModule(tiny), data())
    assert profiler.result().parts["backward"] > 0
    memory = peak_memory(torch.device("cuda"))
    assert 0 < memory["allocated"] <= memory["reserved"]
