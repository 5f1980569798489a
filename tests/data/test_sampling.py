"""The training stream: shared out over ranks, and gone on with after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import Dataset

from mm.data.sampling import FixedSampler, StreamLoader, StreamPosition, StreamSampler

# What Lightning says about a run as small and bare as these.
QUIET = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*logging interval",
    "ignore:.*val_dataloader",
    "ignore:.*ModelCheckpoint",
    "ignore:.*Checkpoint directory",
    "ignore:.*treespec",
)


class Numbers(Dataset[int]):
    def __getitem__(self, index: int) -> int:
        return index

    def __len__(self) -> int:
        return 20


def sampler(start: int = 0, rank: int = 0, ranks: int = 1, **options: Any) -> StreamSampler:
    options = {"length": 20, "batch_size": 2} | options
    return StreamSampler(Numbers(), StreamPosition(start), rank=rank, ranks=ranks, **options)


def test_fresh_samples_go_on_for_ever() -> None:
    assert list(sampler()) == list(range(20))
    assert list(sampler(start=20)) == list(range(20, 40))


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_stream_without_overlap_or_gap(ranks: int) -> None:
    parts = [list(sampler(start=100, rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    together = sorted([index for part in parts for index in part])
    assert together == list(range(100, 100 + len(together)))
    assert len(together) == 20 // (2 * ranks) * 2 * ranks
    # Global batch by global batch, so that the position alone says what was used.
    assert sorted(index for part in parts for index in part[:2]) == list(range(100, 100 + 2 * ranks))


def test_repeating_goes_over_the_same_samples_in_other_orders() -> None:
    first, second = list(sampler(repeat=True)), list(sampler(start=20, repeat=True))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert list(sampler(start=6, repeat=True)) == first[6:] + second[:6]


def test_a_fixed_set_is_shared_out_whole_and_without_repeats() -> None:
    for length, ranks in ((7, 1), (7, 2), (8, 3)):
        parts = [list(FixedSampler(Numbers(), length, rank, ranks)) for rank in range(ranks)]
        assert sorted(index for part in parts for index in part) == list(range(length))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


class Stream(LightningDataModule):
    def __init__(self, workers: int, repeat: bool = False) -> None:
        super().__init__()
        self.workers, self.repeat = workers, repeat

    def train_dataloader(self) -> StreamLoader:
        return StreamLoader(
            Numbers(), batch_size=2, sampler=sampler(repeat=self.repeat), num_workers=self.workers
        )


class Recorder(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[int] = []

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.seen += batch.tolist()
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(
    folder: Path, steps: int, resume: Path | None, workers: int, **options: Any
) -> tuple[list[int], Path]:
    """Train up to ``steps``, saving every 3; return the samples seen and the last checkpoint."""
    module = Recorder()
    callback = ModelCheckpoint(folder, every_n_train_steps=3, save_top_k=-1, filename="{step}")
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, datamodule=Stream(workers, **options), ckpt_path=resume)
    return module.seen, folder / f"step={steps // 3 * 3}.ckpt"


@QUIET
@pytest.mark.parametrize(("stop", "workers"), [(4, 0), (7, 0), (7, 1), (13, 0), (30, 0), (30, 1)])
def test_a_resumed_run_has_no_repeat_and_no_gap(tmp_path: Path, workers: int, stop: int) -> None:
    # 10 batches of 2 an epoch: the checkpoint is in the middle of one, past its end, or (30) at its end.
    before, checkpoint = train(tmp_path, stop, None, workers)
    done = stop // 3 * 3
    after, _ = train(tmp_path, done + 24, checkpoint, workers)
    assert before == list(range(2 * stop))
    # What was done after the last checkpoint is lost with its weights, and done again.
    assert before[: 2 * done] + after == list(range(2 * done + 48))


@QUIET
def test_a_resumed_run_that_repeats_goes_on_in_the_same_order(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole", 33, None, 0, repeat=True)
    before, checkpoint = train(tmp_path / "parts", 12, None, 0, repeat=True)
    after, _ = train(tmp_path / "parts", 33, checkpoint, 0, repeat=True)
    assert before + after == whole
