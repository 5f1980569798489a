"""Random numbers that depend on the seed, the purpose and the position, and look independent in all three."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from mm.synthesis.random import SampleRandom

SEEDS = torch.tensor([0, 1, 12345, 2**32 + 5, 2**61 + 987654321])


@pytest.mark.parametrize("purpose", ["noise", "motion"])
def test_uniform(purpose: str) -> None:
    draws = SampleRandom(SEEDS).uniform(purpose, 20000).double().numpy()
    assert draws.min() >= 0
    assert draws.max() < 1
    for row in draws:
        assert stats.kstest(row, "uniform").pvalue > 1e-3
        # The bits that a Kolmogorov–Smirnov test does not see.
        low_bits = np.bincount((row * 2**24).astype(int) % 64, minlength=64)
        assert stats.chisquare(low_bits).pvalue > 1e-3


def test_normal() -> None:
    draws = SampleRandom(SEEDS).normal("noise", 3, 67, 100).double()
    assert draws.shape == (5, 3, 67, 100)
    assert draws.isfinite().all()
    for row in draws.flatten(1).numpy():
        assert stats.kstest(row, "norm").pvalue > 1e-3


def test_odd_counts_of_normal_numbers() -> None:
    assert SampleRandom(SEEDS).normal("noise", 7).shape == (5, 7)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack((a.double(), b.double())))[0, 1])


def test_consecutive_seeds_are_independent() -> None:
    draws = SampleRandom(torch.arange(20000)).uniform("factor", 2)
    assert stats.kstest(draws[:, 0].numpy(), "uniform").pvalue > 1e-3
    for lag in (1, 2, 64):
        assert abs(correlation(draws[:-lag, 0], draws[lag:, 0])) < 0.03
    many = SampleRandom(torch.tensor([41, 42])).uniform("noise", 20000)
    assert abs(correlation(many[0], many[1])) < 0.03


def test_positions_are_independent() -> None:
    row = SampleRandom(torch.tensor([3])).uniform("noise", 20000)[0]
    for lag in (1, 2, 3, 64, 96):
        assert abs(correlation(row[:-lag], row[lag:])) < 0.03


def test_purposes_are_independent() -> None:
    random = SampleRandom(torch.tensor([3]))
    names = ("noise", "rounding", "motion", "centre")
    rows = [random.uniform(name, 20000)[0] for name in names]
    for i, a in enumerate(rows):
        for b in rows[:i]:
            assert abs(correlation(a, b)) < 0.03
            # Nor is one a piece of the other, shifted; of numbers of 24 bits some few agree by chance.
            assert np.intersect1d(a.numpy(), b.numpy()).size < 100


@pytest.mark.parametrize("bit", [0, 30, 31, 32, 33, 45, 61])
def test_every_bit_of_the_seed_counts(bit: int) -> None:
    a, b = SampleRandom(torch.tensor([77, 77 ^ (1 << bit)])).uniform("motion", 1000)
    assert abs(correlation(a, b)) < 0.12
    assert (a == b).sum() < 3


def test_a_number_does_not_depend_on_what_else_is_drawn() -> None:
    all_of_them = SampleRandom(SEEDS).uniform("motion", 9, 3)
    assert torch.equal(SampleRandom(SEEDS).uniform("motion", 5, 3), all_of_them[:, :5])
    assert torch.equal(SampleRandom(SEEDS[2:3]).uniform("motion", 9, 3), all_of_them[2:3])


def test_between() -> None:
    draws = SampleRandom(SEEDS).between("phase", -0.5, 0.5, 1000)
    assert -0.5 <= draws.min() < -0.49
    assert 0.49 < draws.max() < 0.5
