"""Mixed precision costs no quality: the same short training in 32 bit and in bf16, on exact triplets."""

from __future__ import annotations

import math
from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from mm.training import MagnificationModule

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*GPU available.*")

STEPS, SEEDS = 60, (0, 1, 2)
PRECISIONS = ("32-true", "bf16-mixed")


class Watch(pl.Callback):
    """Keeps the losses, and whether each gradient was finite."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.norms: list[float] = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        gradients = [parameter.grad for parameter in pl_module.network.parameters()]
        assert all(gradient is not None and gradient.dtype == torch.float32 for gradient in gradients)
        self.norms.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.losses.append(float(trainer.callback_metrics["train/image"]))


_RUNS: dict[tuple[str, int], Watch] = {}


@pytest.fixture
def runs(data, tiny, trainer) -> dict[tuple[str, int], Watch]:
    """One training a precision and seed, made once; the seed is that of the fresh weights."""
    if not _RUNS:
        for precision in PRECISIONS:
            for seed in SEEDS:
                pl.seed_everything(seed)
                watch = Watch()
                run = trainer(
                    precision=precision,
                    max_steps=STEPS,
                    max_epochs=-1,
                    limit_val_batches=0,
                    callbacks=[watch],
                )
                run.fit(
                    MagnificationModule(
                        tiny, optimizer=partial(torch.optim.Adam, lr=3e-3), channels_last=True
                    ),
                    data(),
                )
                _RUNS[precision, seed] = watch
    return _RUNS


def final(watch: Watch) -> float:
    """The mean image loss of the last twelve steps, three rounds of the 16 samples."""
    return sum(watch.losses[-12:]) / 12


@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_are_finite_and_the_loss_falls(runs, precision) -> None:
    for seed in SEEDS:
        watch = runs[precision, seed]
        assert len(watch.norms) == len(watch.losses) == STEPS
        assert all(math.isfinite(value) and value > 0 for value in watch.norms)
        # Measured: 0.46 to 0.68 of where it began.
        assert final(watch) < 0.75 * watch.losses[0]


def test_bf16_ends_where_32_bit_ends(runs) -> None:
    """The difference of the mean ends against the spread that the seed of the weights alone makes.

    Measured: 0.0009 against 0.0134.
    """
    ends = {precision: [final(runs[precision, seed]) for seed in SEEDS] for precision in PRECISIONS}
    mean = {precision: sum(values) / len(SEEDS) for precision, values in ends.items()}
    noise = torch.tensor(ends["32-true"]).std().item()
    assert abs(mean["bf16-mixed"] - mean["32-true"]) < noise
    # They are not the same training under two names.
    assert runs["bf16-mixed", 0].losses != runs["32-true", 0].losses
