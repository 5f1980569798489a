"""Callbacks that report on a training."""

from __future__ import annotations

import pytest

from mm.training import MagnificationModule, Throughput

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*GPU available.*")


def test_a_run_that_logs_no_step(data, trainer, tiny):
    run = trainer(
        max_steps=3,
        log_every_n_steps=0,
        limit_val_batches=0,
        callbacks=[Throughput()],
    )
    run.fit(MagnificationModule(tiny), data())
    assert run.global_step == 3
    assert "train/samples_per_second" not in run.callback_metrics
