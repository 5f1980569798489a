"""Muon: what it makes orthogonal is so, what it leaves to Adam is Adam's, and a run resumes to the bit."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from mm.errors import InputError
from mm.networks import MagnificationNetwork
from mm.training import MagnificationModule
from mm.training.muon import Muon, hidden_and_other, orthogonalise

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
    optimizer = Muon([{"params": [weight], "orthogonal": True}], lr=0.01)
    torch.manual_seed(0)
    weight.grad = 1e-6 * torch.randn_like(weight)
    optimizer.step()
    # 0.2 is what Liu et al. 2025 measured of Adam; five iterations leave singular values of 0.7 to 1.2.
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.2 * 0.01, rel=0.25)


def test_tall_matrices_are_made_orthogonal_too():
    weight = torch.nn.Parameter(torch.zeros(64, 16, 1, 1))
    optimizer = Muon([{"params": [weight], "orthogonal": True}], lr=1.0, momentum=0.0)
    torch.manual_seed(0)
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    values = torch.linalg.svdvals(weight.detach().flatten(1) / (0.2 * 64**0.5))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_the_other_parameters_follow_torch_s_adam():
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(3, 5)) for _ in range(2))
    mine = Muon([{"params": [ours], "orthogonal": False}], lr=0.01, betas=(0.8, 0.95))
    adam = torch.optim.Adam([theirs], lr=0.01, betas=(0.8, 0.95))
    for _ in range(5):
        ours.grad = torch.randn(3, 5)
        theirs.grad = ours.grad.clone()
        mine.step()
        adam.step()
    torch.testing.assert_close(ours, theirs)


def test_layers_between_image_and_features_are_adam_s():
    network = MagnificationNetwork()
    groups = hidden_and_other(network)
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    assert all(p.ndim == 4 and min(p.shape[:2]) > 3 for p in groups[0]["params"])
    image = {p.shape for p in groups[1]["params"] if p.ndim == 4}
    assert image == {torch.Size([16, 3, 7, 7]), torch.Size([3, 32, 7, 7])}


def test_it_learns_one_batch_and_resumes_to_the_bit(data, trainer, tiny, tmp_path):
    def run(steps: int, resume: str | None = None) -> MagnificationModule:
        pl.seed_everything(0)
        module = MagnificationModule(tiny, learning_rate=2e-3, optimizer="muon")
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


@pytest.mark.parametrize("options", [{"fused": True}, {"weight_decay": 0.1}])
def test_what_it_does_not_have_is_refused(tiny, options):
    with pytest.raises(InputError, match="muon has no weight decay and no fused kernel"):
        MagnificationModule(tiny, optimizer="muon", **options)


def test_another_optimizer_is_refused(tiny):
    with pytest.raises(InputError, match="must be adam or muon, got 'sgd'"):
        MagnificationModule(tiny, optimizer="sgd")
