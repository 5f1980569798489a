"""Muon beside Adam, and the learning rate over the steps of a run."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import ConcatDataset, DataLoader

from mm.errors import InputError
from mm.networks import MagnificationNetwork
from mm.training import MagnificationModule, PaperLoss
from mm.training.optimizers import MuonAdam, WarmupCosine, orthogonalise

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*GPU available.*")


@pytest.mark.parametrize("shape", [(8, 8), (16, 144), (64, 576)])
def test_singular_values_come_near_one_and_their_directions_stay(shape):
    torch.manual_seed(0)
    matrix = torch.randn(1, *shape)
    u, _, v = torch.linalg.svd(matrix[0], full_matrices=False)
    found = u.mT @ orthogonalise(matrix)[0] @ v.mT
    diagonal = found.diagonal()
    assert (found - torch.diag(diagonal)).abs().max() < 1e-3
    # The smallest value of a square random matrix is beyond the reach of five iterations.
    assert diagonal.max() < 1.3
    assert diagonal.median() > 0.65


def test_a_hidden_convolution_s_step_has_the_size_of_adam_s():
    weight = torch.nn.Parameter(torch.zeros(32, 16, 3, 3))
    optimizer = MuonAdam([weight], lr=0.01)
    torch.manual_seed(0)
    weight.grad = 1e-6 * torch.randn_like(weight)
    optimizer.step()
    # 0.2 is what Liu et al. 2025 measured of Adam; five iterations leave singular values of 0.7 to 1.2.
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.2 * 0.01, rel=0.25)


def test_tall_matrices_are_made_orthogonal_too():
    weight = torch.nn.Parameter(torch.zeros(64, 16, 1, 1))
    optimizer = MuonAdam([weight], lr=1.0, momentum=0.0)
    torch.manual_seed(0)
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    values = torch.linalg.svdvals(weight.detach().flatten(1) / (0.2 * 64**0.5))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_the_other_parameters_follow_torch_s_adam():
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(3, 5)) for _ in range(2))
    mine = MuonAdam([ours], lr=0.01, betas=(0.8, 0.95))
    adam = torch.optim.Adam([theirs], lr=0.01, betas=(0.8, 0.95))
    for _ in range(5):
        ours.grad = torch.randn(3, 5)
        theirs.grad = ours.grad.clone()
        mine.step()
        adam.step()
    torch.testing.assert_close(ours, theirs)


def test_many_parameters_follow_torch_s_adam_each_with_its_own_count_of_steps():
    """Of several shapes, one of them without a gradient at the second step."""
    torch.manual_seed(0)
    shapes = [(4,), (3, 4, 7, 7), (1,)]
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    mine = MuonAdam(ours, lr=0.01)
    adam = torch.optim.Adam(theirs, lr=0.01)
    for step in range(4):
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            one.grad = None if (step, place) == (1, 2) else torch.randn_like(one)
            other.grad = None if one.grad is None else one.grad.clone()
        mine.step()
        adam.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
    assert [mine.state[p]["step"] for p in ours] == [4, 4, 3]


def test_a_step_without_any_gradient_moves_nothing():
    weight = torch.nn.Parameter(torch.ones(3))
    MuonAdam([weight], lr=0.01).step()
    assert torch.equal(weight, torch.ones(3))


def test_it_learns_one_batch_and_resumes_to_the_bit(data, trainer, tiny, tmp_path):
    def run(steps: int, resume: str | None = None) -> MagnificationModule:
        pl.seed_everything(0)
        module = MagnificationModule(tiny, optimizer=partial(MuonAdam, lr=2e-3))
        fit = trainer(max_steps=steps, limit_val_batches=0, enable_checkpointing=True)
        fit.fit(module, data(count=4), ckpt_path=resume)
        fit.save_checkpoint(tmp_path / f"{steps}.ckpt")
        return module

    batch = next(iter(data(count=4).train_dataloader()))
    with torch.no_grad():
        pl.seed_everything(0)
        fresh = MagnificationModule(tiny)
        before = (fresh(batch["xa"], batch["xb"], batch["factor"]) - batch["y"]).abs().mean()
        whole = run(30)
        after = (whole(batch["xa"], batch["xb"], batch["factor"]) - batch["y"]).abs().mean()
    assert after < 0.7 * before
    run(15)
    resumed = run(30, resume=str(tmp_path / "15.ckpt"))
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_accumulated_batches_are_one_batch_and_resume_to_the_bit(data, trainer, tiny, tmp_path, precision):
    """With the losses beside the paper's: each is a mean over samples, so halves of a batch add up to it."""
    loss = PaperLoss(image="log", ssim=0.5)
    parts = {"batch_size": 4, "accumulate_grad_batches": 2}

    class Rounds(type(data())):
        def train_dataloader(self) -> DataLoader:
            # An epoch of many rounds of the samples, one a step: they are the same wherever a run goes on.
            samples = super().train_dataloader().dataset
            return DataLoader(ConcatDataset([samples] * 5), batch_size=self.batch_size)

    def run(steps: int, batch_size: int, accumulate_grad_batches: int, resume: str | None = None) -> Any:
        pl.seed_everything(0)
        module = MagnificationModule(tiny, loss, partial(MuonAdam, lr=1e-3))
        fit = trainer(
            max_steps=steps,
            max_epochs=-1,
            precision=precision,
            accumulate_grad_batches=accumulate_grad_batches,
            limit_val_batches=0,
            enable_checkpointing=True,
        )
        fit.fit(module, Rounds(count=8, batch_size=batch_size), ckpt_path=resume)
        fit.save_checkpoint(tmp_path / f"{steps}.ckpt")
        assert fit.global_step == steps
        return torch.nn.utils.parameters_to_vector(module.parameters()).detach()

    pl.seed_everything(0)
    fresh = torch.nn.utils.parameters_to_vector(MagnificationModule(tiny).parameters()).detach()
    whole, one_batch = run(4, **parts), run(4, batch_size=8, accumulate_grad_batches=1)
    # bf16 rounds the two sums of a gradient otherwise than the one.
    apart, way = (whole - one_batch).norm(), (one_batch - fresh).norm()
    assert way > 0
    assert apart < (1e-3 if precision == "32-true" else 0.2) * way
    run(2, **parts)
    assert torch.equal(run(4, **parts, resume=str(tmp_path / "2.ckpt")), whole)


def test_layers_between_image_and_features_are_adam_s():
    network = MagnificationNetwork()
    hidden, other = MuonAdam(network.parameters()).param_groups
    assert len(hidden["params"]) + len(other["params"]) == len(list(network.parameters()))
    assert all(p.ndim == 4 and min(p.shape[:2]) > 3 for p in hidden["params"])
    image = {p.shape for p in other["params"] if p.ndim == 4}
    assert image == {torch.Size([16, 3, 7, 7]), torch.Size([3, 32, 7, 7])}


def rates(steps: int, **options: Any) -> list[float]:
    """The rates of the first steps, of an optimiser whose peak is 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, found = WarmupCosine(optimizer, **options), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_constant_rate_after_warmup():
    assert rates(6, warmup_steps=4, eta_min=1.0) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_rate():
    found = rates(501, warmup_steps=10, total_steps=110, eta_min=0.2)
    assert found[10] == 1
    assert found[60] == pytest.approx(0.6)
    assert found[35] == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)
    assert found[110] == found[500] == pytest.approx(0.2)


@pytest.mark.parametrize("options", [{"warmup_steps": -3}, {"eta_min": 2.0}, {"eta_min": -1.0}])
def test_a_schedule_out_of_range(options):
    with pytest.raises(InputError, match=next(iter(options))):
        rates(1, **options)
