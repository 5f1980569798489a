"""What a run shows while it trains must not hold it up."""

from __future__ import annotations

import pytest
from pytorch_lightning.callbacks import RichProgressBar

from mm.training import MagnificationModule, SparingProgressBar, Throughput

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*GPU available.*")


def test_the_bar_reads_metrics_at_logging_steps_only(data, trainer, tiny, monkeypatch):
    read, shown = [], []
    real = RichProgressBar.get_metrics

    def count(self, trainer, pl_module):
        read.append(trainer.global_step)
        return real(self, trainer, pl_module)

    class Bar(SparingProgressBar):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            shown.append(
                (self.train_progress_bar.completed, self._metric_component._metrics.get("train/loss"))
            )

    monkeypatch.setattr(RichProgressBar, "get_metrics", count)
    run = trainer(
        max_steps=8,
        log_every_n_steps=3,
        limit_val_batches=0,
        enable_progress_bar=True,
        callbacks=[Bar()],
    )
    run.fit(MagnificationModule(tiny), data(count=32))
    # The last one is the epoch's.
    assert read == [3, 6, 8]
    assert [completed for completed, _ in shown] == list(range(1, 9))
    losses = [loss for _, loss in shown]
    assert losses[:2] == [None, None]
    assert losses[2] is not None
    assert losses[2] == losses[4] != losses[5] == losses[7]


def test_a_run_that_logs_no_step(data, trainer, tiny):
    run = trainer(
        max_steps=3,
        log_every_n_steps=0,
        limit_val_batches=0,
        enable_progress_bar=True,
        callbacks=[SparingProgressBar(), Throughput()],
    )
    run.fit(MagnificationModule(tiny), data())
    assert run.global_step == 3
    assert "train/samples_per_second" not in run.callback_metrics
